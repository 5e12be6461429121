/* Number arrays of an embeddings answer, written as base64 where they lie. */
#include "fcgi/provider/embeddings.h"

#include <stdlib.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/jscan.h"
#include "fcgi/base/text.h"

static void add_float(struct buf *packed, double value)
{
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    const unsigned char bytes[4] = {(unsigned char)bits, (unsigned char)(bits >> 8), (unsigned char)(bits >> 16),
                                    (unsigned char)(bits >> 24)};
    buf_add(packed, bytes, sizeof bytes);
}

/* The text behind a number is never a digit, so strtod ends where it does (and body is terminated). */
static enum weir_err encode(struct jval array, struct buf *packed, struct buf *out)
{
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(array);
    buf_clear(packed);
    while (jscan_next(&it, &key, &v)) {
        if (v.kind != JSON_NUMBER) return WEIR_INVALID;
        add_float(packed, strtod(v.text.at, NULL));
    }
    buf_char(out, '"');
    if (packed->len) base64_add(out, packed->at, packed->len);
    buf_char(out, '"');
    return packed->err ? packed->err : out->err;
}

static enum weir_err encode_all(struct jval data, const char **from, struct buf *packed, struct buf *out)
{
    struct span key;
    struct jval item;
    struct jiter it = jscan_iter(data);
    while (jscan_next(&it, &key, &item)) {
        struct jval numbers = jscan_find(item, "embedding");
        if (numbers.kind != JSON_ARRAY) continue;
        buf_add(out, *from, (size_t)(numbers.text.at - *from));
        *from = numbers.text.at + numbers.text.len;
        enum weir_err err = encode(numbers, packed, out);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

enum weir_err embeddings_to_base64(struct buf *body)
{
    struct buf packed, out;
    struct jval root;
    struct jfault fault;
    const char *from = buf_cstr(body);
    buf_init(&packed, BOUND_ANSWER);
    buf_init(&out, BOUND_ANSWER);
    enum weir_err err = jscan_check(buf_all(body), BOUND_JSON_DEPTH, &root, &fault);
    if (err == WEIR_OK) err = encode_all(jscan_find(root, "data"), &from, &packed, &out);
    if (err == WEIR_OK && from != body->at) err = buf_add(&out, from, (size_t)(body->at + body->len - from));
    buf_free(&packed);
    if (err == WEIR_OK && from != body->at) {
        struct buf old = *body;
        *body = out;
        out = old;
    }
    buf_free(&out);
    return err;
}
