/* How a dialect's call goes out: its body, its address, its headers, and the key. Within dialects only. */
#ifndef WEIR_PROVIDER_SEND_H
#define WEIR_PROVIDER_SEND_H

#include "fcgi/provider/provider.h"

/* Writes the body into c->body: the caller's own with only what must change, or the conversation's. WEIR_NOMEM. */
enum weir_err body_write(const struct call *c);

/* "/chat/completions": where a face is served behind the base address. */
const char *send_path(enum face face);
/* The provider's base address with the path behind it, before its query if it has one. NULL: no memory. */
char *send_url(const struct call *c, const char *path);

struct sending {
    const char *url;           /* NULL: no memory */
    const char *secret_header; /* "Authorization: Bearer " */
    struct http_header more[2]; /* besides the provider's own; name NULL ends them */
    bool asks;                 /* a GET: there is no body */
};
/* Writes the body and starts the call. WEIR_NOMEM, and http_open's. */
enum weir_err send_call(const struct call *c, const struct sending *s, struct upstream **out);

/* The secret header by the provider's `auth`: "bearer", "x-api-key", "api-key"; by default `standard`. */
const char *send_secret_header(const struct provider_row *p, const char *standard);

#endif
