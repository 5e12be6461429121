/* A growing byte buffer, born with its ceiling. Errors stick: write on, ask once at the end. */
#ifndef WEIR_BASE_BUF_H
#define WEIR_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include "fcgi/base/err.h"
#include "fcgi/base/span.h"

struct buf {
    char *at;          /* NULL until the first byte; not terminated (see buf_cstr) */
    size_t len, cap;
    size_t max;        /* ceiling of len, bytes */
    char *room;        /* the caller's memory that it began in; NULL: none */
    enum weir_err err; /* WEIR_OK, WEIR_FULL or WEIR_NOMEM: the first failure; later writes do nothing */
};

void buf_init(struct buf *b, size_t max);                 /* allocates nothing */
/* In memory of the caller's until it grows out of it; NULL, or size 0: none. */
void buf_init_in(struct buf *b, void *room, size_t size, size_t max);
void buf_free(struct buf *b);                             /* may be called twice; leaves it as after buf_init */
void buf_clear(struct buf *b);                            /* len 0, err OK, memory kept */
void buf_drop(struct buf *b, size_t n);                   /* removes the first n bytes (n <= len) */

/* All return b->err. A write that would pass the ceiling adds nothing. */
enum weir_err buf_add(struct buf *b, const void *bytes, size_t n);
static inline enum weir_err buf_span(struct buf *b, struct span s) { return buf_add(b, s.at, s.len); }
static inline enum weir_err buf_str(struct buf *b, const char *text) { return buf_add(b, text, strlen(text)); }
enum weir_err buf_char(struct buf *b, char c);
enum weir_err buf_int(struct buf *b, int64_t n);
enum weir_err buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for n more bytes to be written at the returned place, then buf_added(b, n written). NULL on failure. */
char *buf_room(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);

/* The bytes with a NUL behind them (not counted in len); "" when empty or failed. Valid until the next write. */
const char *buf_cstr(struct buf *b);

static inline struct span buf_all(const struct buf *b)
{
    return (struct span){b->at ? b->at : "", b->len};
}

#endif
