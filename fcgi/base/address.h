/* What both responders take from a request's CGI variables in the same way: its path below the mount, and its id. */
#ifndef WEIR_BASE_ADDRESS_H
#define WEIR_BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/arena.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/span.h"

/* The variables of RFC 3875 and the web servers' own that tell of the address; NULL where absent. */
struct address_variables { const char *uri /* REQUEST_URI */, *script /* SCRIPT_NAME */, *info /* PATH_INFO */; };

struct address {
    struct span mount;  /* what stands before the path, as it was written */
    struct span path;   /* decoded, below the mount, begins with '/'; terminated. Absent: memory is out */
    bool is_bad;        /* it could not be decoded, or is longer than BOUND_PATH; path is "/" then */
};

/* mount: the prefix the application is mounted under, "" for none; one that the address lacks is no matter. */
void address_read(const struct address_variables *v, const char *mount, struct arena *a, struct address *out);

/* Where ids of requests come from that bring none: unique, not secret. Shared by all threads. */
struct id_source { uint64_t process; _Atomic uint64_t next; };
void ids_start(struct id_source *ids);
/* The caller's own if it is of the form [A-Za-z0-9._:-]{1,128}; else "req_", 16 hexadecimal digits of the process and 16 of
 * the request. given may be NULL. */
void ids_take(struct id_source *ids, const char *given, char out[BOUND_REQUEST_ID + 1]);

#endif
