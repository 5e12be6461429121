/* Inflating, a piece at a time: a few bytes may become a thousand times as many. */
#include "fcgi/door/inflate.h"

#include <stdlib.h>
#include <zlib.h>

#define PIECE 16384
#define EITHER_HEAD (MAX_WBITS + 32) /* gzip's or zlib's, whichever it is */

struct inflate { z_stream z; bool is_whole; };

enum weir_err inflate_new(struct span coding, struct inflate **out)
{
    *out = NULL;
    if (!span_is_nocase(coding, "gzip") && !span_is_nocase(coding, "x-gzip") && !span_is_nocase(coding, "deflate"))
        return WEIR_INVALID;
    struct inflate *i = calloc(1, sizeof *i);
    if (!i) return WEIR_NOMEM;
    if (inflateInit2(&i->z, EITHER_HEAD) != Z_OK) {
        free(i);
        return WEIR_NOMEM;
    }
    *out = i;
    return WEIR_OK;
}

void inflate_free(struct inflate *i)
{
    if (!i) return;
    inflateEnd(&i->z);
    free(i);
}

enum weir_err inflate_take(struct inflate *i, struct buf *packed, struct buf *plain, size_t enough)
{
    int rc = Z_OK;
    i->z.next_in = (unsigned char *)packed->at;
    i->z.avail_in = packed->len > PIECE ? PIECE : (unsigned)packed->len;
    size_t had = i->z.avail_in;
    while (rc == Z_OK && !i->is_whole && plain->len < enough) {
        char *room = buf_room(plain, PIECE);
        if (!room) return plain->err;
        i->z.next_out = (unsigned char *)room;
        i->z.avail_out = PIECE;
        rc = inflate(&i->z, Z_NO_FLUSH);
        buf_added(plain, PIECE - i->z.avail_out);
        i->is_whole = rc == Z_STREAM_END;
    }
    buf_drop(packed, i->is_whole ? packed->len : had - i->z.avail_in);
    return rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR ? WEIR_OK : WEIR_CORRUPT;
}

bool inflate_is_whole(const struct inflate *i) { return i->is_whole || !i->z.total_in; }
