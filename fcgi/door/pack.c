/* Packing by zstd at its fastest level: prompts and answers are text, and halve. */
#include "fcgi/door/pack.h"

#include <zstd.h>

#define PLAIN 'p'
#define ZSTD  'z'
#define WORTH 2048 /* bytes; less is not packed: undoing it would cost more than the room is worth */
#define LEVEL 1

enum weir_err pack(struct span bytes, struct buf *out)
{
    size_t start = out->len;
    if (bytes.len >= WORTH) {
        size_t most = ZSTD_compressBound(bytes.len);
        char *room = buf_room(out, most + 1);
        if (!room) return out->err;
        room[0] = ZSTD;
        size_t n = ZSTD_compress(room + 1, most, bytes.at, bytes.len, LEVEL);
        if (!ZSTD_isError(n) && n < bytes.len) {
            buf_added(out, n + 1);
            return out->err;
        }
    }
    out->len = start;
    buf_char(out, PLAIN);
    return buf_span(out, bytes);
}

struct span packed_plain(struct span packed)
{
    return packed.len && *packed.at == PLAIN ? (struct span){packed.at + 1, packed.len - 1} : SPAN_NONE;
}

enum weir_err unpack(struct span packed, struct buf *out)
{
    if (!packed.len) return WEIR_CORRUPT;
    struct span inside = {packed.at + 1, packed.len - 1};
    if (*packed.at == PLAIN) return buf_span(out, inside);
    if (*packed.at != ZSTD) return WEIR_CORRUPT;
    unsigned long long n = ZSTD_getFrameContentSize(inside.at, inside.len);
    if (n == ZSTD_CONTENTSIZE_ERROR || n == ZSTD_CONTENTSIZE_UNKNOWN) return WEIR_CORRUPT;
    if (n > out->max - out->len) return WEIR_FULL;
    char *room = buf_room(out, (size_t)n);
    if (!room) return out->err;
    if (ZSTD_decompress(room, (size_t)n, inside.at, inside.len) != n) return WEIR_CORRUPT;
    buf_added(out, (size_t)n);
    return out->err;
}
