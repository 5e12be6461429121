/* Integers packed small. */
#include "sql/packed.h"

unsigned char *packed_put(unsigned char *to, uint64_t n)
{
    for (; n > 127; n >>= 7) *to++ = (unsigned char)(n | 128);
    *to++ = (unsigned char)n;
    return to;
}

bool packed_take(struct span *left, int64_t *out)
{
    uint64_t n = 0;
    for (int shift = 0; left->len && shift < 64; shift += 7) {
        unsigned char byte = (unsigned char)*left->at++;
        left->len--;
        n |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) { *out = (int64_t)n; return true; }
    }
    return false;
}
