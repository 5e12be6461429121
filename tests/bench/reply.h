/* Reads one HTTP/1.1 answer piece by piece for the load tool: status, framing, and what the bench asks of the body.
 * Knows nothing of sockets or of time but the stamps in the upstream's events. */
#ifndef WEIR_BENCH_REPLY_H
#define WEIR_BENCH_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reply_is { REPLY_MORE, REPLY_DONE, REPLY_BROKEN };

struct reply {
    int status;            /* 0 until the head is whole */
    bool close;            /* the server closes behind it */
    bool sse;              /* content-type text/event-stream */
    bool data_seen;        /* the first byte of the body, of a stream the first "data:" */
    uint64_t body_bytes;   /* without chunk framing */
    uint64_t events;       /* stamped content events */
    int64_t length;        /* content-length, -1 when absent */

    /* Calls stamp(arg, due_ns) for each content event of the bench's upstream; may be NULL. */
    void (*stamp)(void *arg, int64_t due_ns);
    void *arg;

    int framing;           /* reply.c only, from here on */
    char head[8192];
    size_t head_len, chunk_left;
    int digits;
    int64_t due_ns;
    char tail[16];         /* the last bytes of the body */
    size_t tail_len;
};

void reply_init(struct reply *r, void (*stamp)(void *arg, int64_t due_ns), void *arg);
/* Takes the next bytes. BROKEN also when bytes follow a finished answer. */
enum reply_is reply_feed(struct reply *r, const char *at, size_t len);
/* The server closed: was that the answer's end? */
enum reply_is reply_eof(struct reply *r);
/* A finished answer lacks its end: a stream without [DONE], or a body shorter than announced. */
bool reply_short(const struct reply *r);

#endif
