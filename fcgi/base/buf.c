/* Growing byte buffers: the doubling, the ceiling and the sticking error are here and nowhere else.
 * Room for one NUL more than cap is always allocated, so a buffer can be read as a C string without growing. */
#include "fcgi/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "fcgi/base/bounds.h"

static enum weir_err grow(struct buf *b, size_t n)
{
    if (b->err)
        return b->err;
    if (b->len > b->max || n > b->max - b->len)
        return b->err = WEIR_FULL;
    size_t need = b->len + n;
    if (b->at && need <= b->cap)
        return WEIR_OK;

    size_t cap = b->cap ? b->cap : BOUND_BUF_START;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max)
        cap = b->max;
    if (cap == SIZE_MAX)
        return b->err = WEIR_NOMEM;
    bool moves = b->room && b->at == b->room;
    char *at = realloc(moves ? NULL : b->at, cap + 1);
    if (!at)
        return b->err = WEIR_NOMEM;
    if (moves)
        memcpy(at, b->room, b->len);
    b->at = at;
    b->cap = cap;
    return WEIR_OK;
}

/* Without growing, as it mostly is. */
static inline bool has_room(const struct buf *b, size_t n)
{
    return b->at && b->cap <= b->max && n <= b->cap - b->len;
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_init_in(struct buf *b, void *room, size_t size, size_t max)
{
    buf_init(b, max);
    if (!room || !size)
        return;
    b->at = b->room = room;
    b->cap = size - 1 < max ? size - 1 : max;
}

void buf_free(struct buf *b)
{
    if (!b->room || b->at != b->room)
        free(b->at);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->err = WEIR_OK;
}

void buf_drop(struct buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
    } else if (n) {
        memmove(b->at, b->at + n, b->len - n);
        b->len -= n;
    }
}

enum weir_err buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (b->err || n == 0)
        return b->err;
    if (has_room(b, n) || grow(b, n) == WEIR_OK) {
        memcpy(b->at + b->len, bytes, n);
        b->len += n;
    }
    return b->err;
}

enum weir_err buf_char(struct buf *b, char c)
{
    if (b->err || !has_room(b, 1))
        return buf_add(b, &c, 1);
    b->at[b->len++] = c;
    return WEIR_OK;
}

enum weir_err buf_int(struct buf *b, int64_t n)
{
    char digits[20]; /* 19 and a sign */
    size_t at = sizeof digits;
    uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (n < 0)
        digits[--at] = '-';
    return buf_add(b, digits + at, sizeof digits - at);
}

/* Written straight into the room there is; once more if that was too small. */
enum weir_err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    if (b->err)
        return b->err;
    size_t room = b->at ? b->cap - b->len + 1 : 0;
    va_start(args, fmt);
    int n = vsnprintf(room ? b->at + b->len : NULL, room, fmt, args);
    va_end(args);
    if (n < 0)
        return b->err = WEIR_INTERNAL;
    if ((size_t)n >= room) {
        if (grow(b, (size_t)n) != WEIR_OK)
            return b->err;
        va_start(args, fmt);
        vsnprintf(b->at + b->len, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    b->len += (size_t)n;
    return WEIR_OK;
}

char *buf_room(struct buf *b, size_t n)
{
    return grow(b, n) == WEIR_OK ? b->at + b->len : NULL;
}

void buf_added(struct buf *b, size_t n)
{
    b->len += n;
}

const char *buf_cstr(struct buf *b)
{
    if (b->err || !b->at || b->len == 0)
        return "";
    b->at[b->len] = '\0';
    return b->at;
}
