/* HTTP/1.1 answers read as they come (RFC 9112): the head's lines, then a body by its length, in chunks, or up to the
 * connection's end. Knows no connection: it is given bytes. Believes nothing. */
#ifndef WEIR_BASE_HTTP1_H
#define WEIR_BASE_HTTP1_H

#include <stdint.h>
#include "fcgi/base/buf.h"

enum http1_state {
    HTTP1_HEAD,      /* status line and fields; interim answers (1xx but 101) are passed over */
    HTTP1_LENGTH,    /* `left` bytes of the body are to come */
    HTTP1_CHUNK,     /* a chunk's size line */
    HTTP1_DATA,      /* `left` bytes of the chunk are to come */
    HTTP1_DATA_END,  /* the line's end behind them */
    HTTP1_TRAILER,   /* fields behind the last chunk; passed over */
    HTTP1_TO_CLOSE,  /* the body ends with the connection */
    HTTP1_DONE,      /* the whole answer was read */
    HTTP1_BAD,       /* it is none */
    HTTP1_TOO_LONG   /* its heads and trailers together are longer than BOUND_UPSTREAM_HEADERS */
};

struct http1 {
    enum http1_state state;
    int status;
    bool keeps;          /* the connection is good for another request, once the answer is whole */
    bool has_length, is_chunked, is_coded;
    bool closes;         /* said so: nothing that is said besides keeps the connection */
    uint64_t left;
    size_t told;         /* bytes of all lines of interim answers, head and trailer */
    struct buf line;     /* the beginning of a line whose end is still to come */
    struct buf *headers; /* not owned: "name: value\n", those of the final answer */
};

void http1_start(struct http1 *h, struct buf *headers);
void http1_free(struct http1 *h);
/* Takes bytes, appends what is of the body to it, and returns how many it took: all, unless the answer ended or was found
 * bad. */
size_t http1_take(struct http1 *h, struct span bytes, struct buf *body);
/* The connection was closed in good order. */
void http1_closed(struct http1 *h);

#endif
