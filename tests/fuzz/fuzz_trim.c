/* Fuzz target: trimming. The first byte says the face, the second the window; the rest is a request. Whatever it is that
 * parses, what is left of it parses too, holds no mark, is no longer, and fits or cannot. */
#include <stdlib.h>
#include "fcgi/stage/trim.c"

#include "fcgi/stage/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void must(bool what)
{
    if (!what) abort();
}

static const enum face faces[] = {FACE_CHAT, FACE_MESSAGES, FACE_RESPONSES, FACE_COMPLETIONS, FACE_EMBEDDINGS};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct arena a;
    struct chat chat, after;
    struct problem p;
    struct buf out;
    const char *told;
    if (n < 3) return 0;
    enum face face = faces[bytes[0] % 5];
    const struct model_row m = {.alias = "m", .context_action = "trim", .trim_at = 90, .trim_to = 60, .context_window = 1 + bytes[1]};
    struct experience *x = experience_new();
    arena_init(&a);
    buf_init(&out, n + 1);
    if (x && parse_chat(face, (struct span){(const char *)bytes + 2, n - 2}, &a, &chat, &p) == WEIR_OK &&
        trim_chat(&m, x, &a, &chat, &out, &told, &p) == WEIR_OK && out.len) {
        struct span key;
        struct jval item;
        must(parse_chat(face, buf_all(&out), &a, &after, &p) == WEIR_OK && out.len < n);
        struct jiter it = jscan_iter(jscan_find(after.root, list_name(&after)));
        while (jscan_next(&it, &key, &item)) must(jscan_find(item, TRIM_MARK).kind == JSON_ABSENT);
        must(estimate_weight(&after) <= estimate_weight(&chat));
    }
    buf_free(&out);
    arena_end(&a);
    experience_free(x);
    return 0;
}
