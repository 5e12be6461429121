/* Fuzz target: the translation of requests. The first byte is the face, the rest its body. What is refused is refused with a
 * sentence in UTF-8, of a field that has a name; what fits is written as JSON for both wires, and what was written is read
 * as the same again. */
#include "fcgi/provider/conversation.c"

#include <stdlib.h>
#include "fcgi/base/text.h"
#include "tests/unit/translated.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* A schema lies one deeper in a chat's tool than in the other faces'. */
#define DEPTH (BOUND_JSON_DEPTH - 2)

static void must(bool what)
{
    if (!what)
        abort();
}

static void check_refused(enum weir_err err, const struct problem *p)
{
    must(err == WEIR_INVALID && p->err == err);
    must(*p->text && text_is_utf8(span_of(p->text)) && text_is_utf8(span_of(p->param)));
}

static void check_written(enum face to, struct span body, const struct conversation *c)
{
    struct arena memory;
    struct chat chat;
    struct conversation again;
    struct problem p = {.err = WEIR_OK};
    struct buf before, after;
    must(chat_of(to, body, BOUND_JSON_DEPTH, &chat));
    must(jval_is(jscan_find(chat.root, "model"), "m") && jscan_find(chat.root, "messages").kind == JSON_ARRAY);
    arena_init(&memory);
    buf_init(&before, SIZE_MAX / 2);
    buf_init(&after, SIZE_MAX / 2);
    must(conversation_read(&chat, &memory, &again, &p) == WEIR_OK);
    mean_tools_and_options(&before, c);
    mean_tools_and_options(&after, &again);
    must(span_eq(buf_all(&before), buf_all(&after)));
    buf_free(&after);
    buf_free(&before);
    arena_end(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const enum face faces[] = {FACE_CHAT, FACE_COMPLETIONS, FACE_RESPONSES, FACE_MESSAGES};
    static const enum face wires[] = {FACE_CHAT, FACE_MESSAGES};
    struct chat chat;
    if (n < 2 || !chat_of(faces[bytes[0] % 4], (struct span){(const char *)bytes + 1, n - 1}, DEPTH, &chat)) return 0;
    for (int i = 0; i < 2; i++) {
        struct arena memory;
        struct conversation c;
        struct problem p = {.err = WEIR_OK};
        struct buf out;
        arena_init(&memory);
        buf_init(&out, SIZE_MAX / 2);
        enum weir_err err = translate(&chat, &memory, wires[i], &c, &out, &p);
        if (err == WEIR_OK) check_written(wires[i], buf_all(&out), &c);
        else check_refused(err, &p);
        must(memory.used <= 64 * n + 65536);
        buf_free(&out);
        arena_end(&memory);
    }
    return 0;
}
