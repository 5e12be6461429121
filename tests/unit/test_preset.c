/* Presets: an alias's system text goes before the caller's own on every face, its parameters yield to the caller's. */
#include "fcgi/provider/preset.c"

#include "fcgi/stage/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void each_face_has_its_own_place_for_a_preset(void **state)
{
    static const struct { enum face face; const char *in, *out; } all[] = {
        {FACE_CHAT, "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
         "{\"model\":\"a\",\"temperature\":0.2,\"max_tokens\":50,\"reasoning_effort\":\"low\",\"messages\":[{\"role\":\"system\",\"content\":\"Be \\\"kind\\\".\"},{\"role\":\"user\",\"content\":\"x\"}]}"},
        {FACE_CHAT, "{\"messages\":[{\"role\":\"developer\",\"content\":\"Y\"}],\"temperature\":0,\"model\":\"a\",\"max_completion_tokens\":9}",
         "{\"messages\":[{\"role\":\"developer\",\"content\":\"Be \\\"kind\\\".\\n\\nY\"}],\"temperature\":0,\"model\":\"a\",\"reasoning_effort\":\"low\",\"max_completion_tokens\":9}"},
        {FACE_CHAT, "{\"model\":\"a\",\"max_tokens\":1,\"temperature\":null,\"reasoning_effort\":\"high\",\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"Y\"}]}]}",
         "{\"model\":\"a\",\"max_tokens\":1,\"temperature\":null,\"reasoning_effort\":\"high\",\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"Be \\\"kind\\\".\"},{\"type\":\"text\",\"text\":\"Y\"}]}]}"},
        {FACE_MESSAGES, "{\"model\":\"a\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
         "{\"model\":\"a\",\"system\":\"Be \\\"kind\\\".\",\"temperature\":0.2,\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"},
        {FACE_MESSAGES, "{\"model\":\"a\",\"system\":\"Y\",\"max_tokens\":1,\"temperature\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
         "{\"model\":\"a\",\"system\":\"Be \\\"kind\\\".\\n\\nY\",\"max_tokens\":1,\"temperature\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"},
        {FACE_MESSAGES, "{\"model\":\"a\",\"system\":[],\"max_tokens\":1,\"temperature\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
         "{\"model\":\"a\",\"system\":[{\"type\":\"text\",\"text\":\"Be \\\"kind\\\".\"}],\"max_tokens\":1,\"temperature\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"},
        {FACE_RESPONSES, "{\"model\":\"a\",\"input\":\"x\"}",
         "{\"model\":\"a\",\"instructions\":\"Be \\\"kind\\\".\",\"temperature\":0.2,\"max_output_tokens\":50,\"input\":\"x\"}"},
        {FACE_RESPONSES, "{\"instructions\":null,\"model\":\"a\",\"max_output_tokens\":5,\"temperature\":1}",
         "{\"instructions\":\"Be \\\"kind\\\".\",\"model\":\"a\",\"max_output_tokens\":5,\"temperature\":1}"},
        {FACE_COMPLETIONS, "{\"model\":\"a\",\"prompt\":\"x\"}",
         "{\"model\":\"a\",\"temperature\":0.2,\"max_tokens\":50,\"prompt\":\"Be \\\"kind\\\".\\n\\nx\"}"},
        {FACE_COMPLETIONS, "{\"model\":\"a\",\"prompt\":[1,2],\"max_tokens\":3,\"temperature\":1}",
         "{\"model\":\"a\",\"prompt\":[1,2],\"max_tokens\":3,\"temperature\":1}"},
        {FACE_EMBEDDINGS, "{\"model\":\"a\",\"input\":\"x\"}",
         "{\"model\":\"a\",\"input\":\"x\"}"},
    };
    const struct model_row m = {.alias = "a", .system = "Be \"kind\".",
                                .defaults = "{\"temperature\":0.2,\"max_tokens\":50,\"reasoning_effort\":\"low\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct arena memory;
        struct chat chat;
        struct problem p;
        struct buf out;
        arena_init(&memory);
        buf_init(&out, 10000);
        assert_int_equal(parse_chat(all[i].face, span_of(all[i].in), &memory, &chat, &p), WEIR_OK);
        assert_int_equal(preset_write(&m, &chat, &memory, &out), WEIR_OK);
        assert_string_equal(buf_cstr(&out), all[i].out);
        assert_int_equal(parse_chat(all[i].face, buf_all(&out), &memory, &chat, &p), WEIR_OK);
        buf_free(&out);
        arena_end(&memory);
    }
}

static void two_maxima_are_told_as_one(void **state)
{
    static const struct { enum face face; const char *in, *out; } all[] = {
        {FACE_CHAT, "{\"model\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
         "{\"model\":\"a\",\"max_tokens\":50,\"max_completion_tokens\":50,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"},
        {FACE_RESPONSES, "{\"model\":\"a\",\"input\":\"x\"}", "{\"model\":\"a\",\"max_output_tokens\":50,\"input\":\"x\"}"},
        {FACE_COMPLETIONS, "{\"model\":\"a\",\"prompt\":\"x\"}", "{\"model\":\"a\",\"max_tokens\":50,\"prompt\":\"x\"}"},
    };
    const struct model_row m = {.alias = "a", .defaults = "{\"max_tokens\":50,\"max_completion_tokens\":50}"};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct arena memory;
        struct chat chat;
        struct problem p;
        struct buf out;
        arena_init(&memory);
        buf_init(&out, 10000);
        assert_int_equal(parse_chat(all[i].face, span_of(all[i].in), &memory, &chat, &p), WEIR_OK);
        assert_int_equal(preset_write(&m, &chat, &memory, &out), WEIR_OK);
        assert_string_equal(buf_cstr(&out), all[i].out);
        buf_free(&out);
        arena_end(&memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_face_has_its_own_place_for_a_preset),
        cmocka_unit_test(two_maxima_are_told_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
