/* The record of a stream: every text once and in its place, whatever the face and however the bytes are divided; what has no
 * place of its own is kept as it is; never more than its bound, and then said so. */
#include "fcgi/stage/record.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* Records the bytes in pieces of `step`; gives the JSON, "" for none. */
static const char *record_of(const char *bytes, size_t step, size_t most, struct arena *a, bool *cut)
{
    struct record *r = record_new(most, a);
    assert_non_null(r);
    for (size_t at = 0, len = strlen(bytes); at < len; at += step)
        record_take(r, (struct span){bytes + at, len - at < step ? len - at : step});
    struct span json = record_json(r, a, cut);
    struct jval root;
    struct jfault fault;
    if (!json.at) return "";
    assert_int_equal(jscan_check(json, BOUND_JSON_DEPTH, &root, &fault), WEIR_OK);
    assert_true(json.len <= most);
    return arena_str(a, json);
}

static void reads(const char *bytes, const char *expected)
{
    const size_t steps[] = {1, 7, 1 << 20};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct arena a;
        bool cut;
        arena_init(&a);
        assert_string_equal(record_of(bytes, steps[i], 1 << 16, &a, &cut), expected);
        assert_false(cut);
        arena_end(&a);
    }
}

#define CHUNK(delta) "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]}\n\n"

static void text_is_put_together(void **state)
{
    (void)state;
    reads(CHUNK("{\"role\":\"assistant\",\"content\":\"\"}") CHUNK("{\"content\":\"a\\nb \\ud83d\"}") ": keep-alive\n\n"
          CHUNK("{\"content\":\"\\ude00\\\"\"}") CHUNK("{}") "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n"
          "data: [DONE]\n\n",
          "[{\"choice\":0,\"text\":\"a\\nb \\ud83d\\ude00\\\"\"}]");
    reads("data: {\"choices\":[{\"text\":\"x\",\"index\":0}]}\r\rdata: {\"choices\":[{\"text\":\"y\",\"index\":0}]}\r\r",
          "[{\"choice\":0,\"text\":\"xy\"}]");
    reads("data: [DONE]\n\n", "");
    reads("", "");
}

static void choices_reasoning_and_tools_are_kept_apart(void **state)
{
    (void)state;
    reads("data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}},{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n"
          "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"B\"}}]}\n\n",
          "[{\"choice\":1,\"text\":\"bB\"},{\"choice\":0,\"text\":\"a\"}]");
    reads(CHUNK("{\"reasoning_content\":\"hm\",\"reasoning\":\"hm\"}") CHUNK("{\"reasoning\":\"!\"}") CHUNK("{\"refusal\":\"no\"}"),
          "[{\"choice\":0,\"reasoning\":\"hm!\"},{\"choice\":0,\"refusal\":\"no\"}]");
    reads(CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"i\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}},"
                "{\"index\":1,\"function\":{\"name\":\"g\"}}]}")
          CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":\"}}]}")
          CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]}"),
          "[{\"choice\":0,\"tool\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"},{\"choice\":0,\"tool\":\"g\",\"arguments\":\"\"}]");
    reads(CHUNK("{\"content\":[{\"type\":\"text\",\"text\":\"t\"}]}"),
          "[{\"events\":[[{\"type\":\"text\",\"text\":\"t\"}]]}]");
}

static void blocks_and_items_are_read_too(void **state)
{
    (void)state;
    reads("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n"
          "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n"
          "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n"
          "data: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"name\":\"f\"}}\n\n"
          "data: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\n"
          "data: {\"type\":\"message_stop\"}\n\n",
          "[{\"choice\":0,\"reasoning\":\"hm\"},{\"choice\":0,\"text\":\"hi\"},{\"choice\":0,\"tool\":\"f\",\"arguments\":\"{}\"}]");
    reads("data: {\"type\":\"response.created\",\"response\":{}}\n\n"
          "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"hi\"}\n\n"
          "data: {\"type\":\"response.output_text.done\",\"text\":\"hi\"}\n\n"
          "data: {\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"type\":\"function_call\",\"name\":\"f\"}}\n\n"
          "data: {\"type\":\"response.function_call_arguments.delta\",\"output_index\":1,\"delta\":\"{}\"}\n\n"
          "data: {\"type\":\"response.completed\",\"response\":{\"output\":[\"hi\"]}}\n\n",
          "[{\"choice\":0,\"text\":\"hi\"},{\"choice\":0,\"tool\":\"f\",\"arguments\":\"{}\"}]");
}

static void what_has_no_place_is_kept_as_it_is(void **state)
{
    (void)state;
    reads(CHUNK("{\"content\":\"a\"}") "data: {\"error\": {\"message\":\"broke\"}}\n\ndata: {\"type\":\"novel\"}\n\n",
          "[{\"choice\":0,\"text\":\"a\"},{\"events\":[{\"error\": {\"message\":\"broke\"}},{\"type\":\"novel\"}]}]");
}

static void a_record_ends_at_its_bound_and_is_whole_json(void **state)
{
    (void)state;
    for (size_t most = 100; most < 400; most++) {
        struct arena a;
        bool cut;
        arena_init(&a);
        const char *json = record_of(CHUNK("{\"content\":\"\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\"}")
                                     CHUNK("{\"content\":\"\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\"}")
                                     "data: {\"error\":{\"message\":\"0123456789\"}}\n\n"
                                     "data: {\"error\":{\"message\":\"0123456789\"}}\n\n"
                                     CHUNK("{\"reasoning\":\"and so on\"}"), 1 << 20, most, &a, &cut);
        assert_int_equal(cut, !strstr(json, "and so on"));
        arena_end(&a);
    }
}

static void endless_choices_end_the_record(void **state)
{
    struct arena a;
    struct buf bytes;
    bool cut;
    (void)state;
    arena_init(&a);
    buf_init(&bytes, 1 << 20);
    for (int i = 0; i <= PIECES_MOST; i++)
        buf_printf(&bytes, "data: {\"choices\":[{\"index\":%d,\"delta\":{\"content\":\"x\"}}]}\n\n", i);
    record_of(buf_cstr(&bytes), 4096, 1 << 18, &a, &cut);
    assert_true(cut);
    buf_free(&bytes);
    arena_end(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_put_together),
        cmocka_unit_test(choices_reasoning_and_tools_are_kept_apart),
        cmocka_unit_test(blocks_and_items_are_read_too),
        cmocka_unit_test(what_has_no_place_is_kept_as_it_is),
        cmocka_unit_test(a_record_ends_at_its_bound_and_is_whole_json),
        cmocka_unit_test(endless_choices_end_the_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
