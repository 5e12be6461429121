/* A set of names with a number each: what a document or the database holds, found at once among 100,000. */
#ifndef WEIR_ADMIN_NAMES_H
#define WEIR_ADMIN_NAMES_H

#include <stdint.h>
#include "fcgi/base/err.h"
#include "fcgi/base/span.h"

struct name_slot { char *name; size_t len; int64_t number; };
struct names { struct name_slot *slots; size_t room, count; };

void names_free(struct names *n); /* a zeroed struct is an empty set; may be called twice */
/* Copies the name. WEIR_EXISTS: it is there already, its number is kept; WEIR_NOMEM. */
enum weir_err names_add(struct names *n, struct span name, int64_t number);
bool names_find(const struct names *n, struct span name, int64_t *number); /* number may be NULL */

#endif
