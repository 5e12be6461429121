/* What is known of a token verifier, beside its entry: which keys were fetched for it. */
#include "admin/verifier_state.h"

#include "fcgi/base/text.h"

#define DEPTH 8

static struct jval checked(const char *json)
{
    struct jval root;
    struct jfault fault;
    if (!json || jscan_check(span_of(json), DEPTH, &root, &fault) != WEIR_OK) return (struct jval){JSON_ABSENT, SPAN_NONE};
    return root;
}

struct jval verifier_entry(const struct jwt_row *j) { return checked(j->body); }

void verifier_kids_write(struct buf *out, const struct jwt_row *j)
{
    struct jiter it = jscan_iter(checked(j->keys));
    const char *lead = "[";
    struct span none;
    struct jval key;
    if (!j->keys) {
        buf_str(out, "null");
        return;
    }
    while (jscan_next(&it, &none, &key)) {
        struct jval kid = jscan_find(key, "kid");
        buf_str(out, lead);
        buf_span(out, kid.kind == JSON_STRING ? kid.text : SPAN("null"));
        lead = ",";
    }
    buf_str(out, *lead == '[' ? "[]" : "]");
}
