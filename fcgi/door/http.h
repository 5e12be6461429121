/* The libcurl door: calls to providers over HTTP(S), through a pool of warm handles. The only file that includes curl.
 * Certificates are always checked. Redirects are not followed. */
#ifndef WEIR_DOOR_HTTP_H
#define WEIR_DOOR_HTTP_H

#include "fcgi/base/secret.h"
#include "fcgi/door/upstream.h"

struct http_header { const char *name, *value; };

struct http_call {
    const char *origin;     /* what handles are pooled by: "https://api.openai.com/v1" */
    const char *url;
    struct span body;       /* absent: GET. Must live until the call is closed. */
    const char *accept;     /* Accept header; NULL: any */
    const struct http_header *headers; /* names and values safe for a header line */
    int header_count;
    const char *secret_header;   /* "Authorization: Bearer " or "api-key: "; NULL: none */
    const struct secret *secret; /* its value; NULL: none */
    int64_t connect_ms;
    bool http2;
    bool in_small_pieces;   /* a stream: a small buffer will do */
};

struct http_pool;

/* Once in a process, before threads. */
enum weir_err http_start(void);
/* stop_fd: readable when running calls must end (UPSTREAM_STOP); -1 for none. */
enum weir_err http_pool_new(int stop_fd, struct http_pool **out);
void http_pool_free(struct http_pool *p); /* no call may be open */
/* Connections are kept until this finds that nobody has needed them lately, or another upstream needs their descriptors;
 * BOUND_IDLE_UPSTREAM of an upstream are left. */
void http_pool_tidy(struct http_pool *p);

/* Starts the call; it proceeds inside wait. Everything but c->body is copied. */
enum weir_err http_open(struct http_pool *p, const struct http_call *c, struct upstream **out);

/* Has the peer of the web server's connection closed it? (also used where no call is open) */
bool http_client_is_gone(int client_fd);

#endif
