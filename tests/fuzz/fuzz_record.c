/* Fuzz target: the record of a stream. Whatever the bytes, what comes of them is JSON within its bound, and the same however
 * they are divided. The input is the stream itself; its bound and its pieces follow from its length. */
#include <stdlib.h>
#include "fcgi/stage/record.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what)
        abort();
}

static struct span record_of(const char *bytes, size_t n, size_t step, size_t most, struct arena *a, bool *cut)
{
    struct record *r = record_new(most, a);
    must(r != NULL);
    for (size_t at = 0; at < n; at += step)
        record_take(r, (struct span){bytes + at, n - at < step ? n - at : step});
    return record_json(r, a, cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct arena a;
    struct jval root;
    struct jfault fault;
    bool cut, again;
    size_t most = n % 3 ? BOUND_CONTENT : 200;
    arena_init(&a);
    struct span whole = record_of((const char *)bytes, n, n + 1, most, &a, &cut);
    struct span pieces = record_of((const char *)bytes, n, 1 + n % 13, most, &a, &again);
    must(span_eq(whole, pieces) && cut == again);
    must(whole.len <= most);
    must(!whole.at || jscan_check(whole, BOUND_JSON_DEPTH + RECORD_DEPTH, &root, &fault) == WEIR_OK);
    arena_end(&a);
    return 0;
}
