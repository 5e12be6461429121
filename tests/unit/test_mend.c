/* Events that SDKs stumble over are mended, and all others stay as they are, byte for byte. */
#include "fcgi/provider/mend.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

typedef enum mended mender(struct mend *m, struct span data, struct buf *out);

/* out NULL: the event is not touched. */
static void expect(mender *mend, struct mend *m, const char *in, const char *out)
{
    struct buf got;
    buf_init(&got, 10000);
    enum mended end = mend(m, span_of(in), &got);
    assert_int_equal(end, out ? MEND_REWRITTEN : MEND_NOTHING);
    if (out) assert_string_equal(buf_cstr(&got), out);
    buf_free(&got);
}

#define CALL(more) "{\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[" more "]},\"finish_reason\":null}]}"

static void a_call_gets_the_index_id_and_type_that_it_lacks(void **state)
{
    struct mend m = {.serial = 0};
    (void)state;
    expect(mend_gemini, &m, CALL("{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"),
           CALL("{\"index\":0,\"id\":\"call_c1_0\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"));
    expect(mend_gemini, &m, CALL("{\"id\":\"\",\"type\":null,\"function\":{\"name\":\"g\"},\"index\":null,\"extra_content\":{\"x\":\"s\"}}"),
           CALL("{\"id\":\"call_c1_1\",\"type\":\"function\",\"function\":{\"name\":\"g\"},\"index\":1,\"extra_content\":{\"x\":\"s\"}}"));
    /* a piece that begins nothing goes on with the last call, and gets no id */
    expect(mend_gemini, &m, CALL("{\"function\":{\"arguments\":\"}\"}}"), CALL("{\"index\":1,\"function\":{\"arguments\":\"}\"}}"));
    expect(mend_gemini, &m, CALL("{\"index\":2,\"id\":\"i\",\"type\":\"function\",\"function\":{\"name\":\"h\"}}"), NULL);
}

static void a_stop_behind_calls_becomes_tool_calls(void **state)
{
    struct mend m = {.serial = 0};
    (void)state;
    expect(mend_gemini, &m, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}", NULL);
    m.calls[0] = 1;
    expect(mend_gemini, &m, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}",
           "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}");
    expect(mend_gemini, &m, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}", NULL);
    expect(mend_gemini, &m, "{\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}", NULL);
}

static void made_up_ids_differ_where_the_stream_has_none(void **state)
{
    static const char event[] = "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]}}]}";
    struct mend one = {.serial = 0}, other = {.serial = 0};
    struct buf a, b;
    (void)state;
    assert_int_equal(secret_start(), WEIR_OK);
    buf_init(&a, 1000);
    buf_init(&b, 1000);
    mend_gemini(&one, SPAN(event), &a);
    mend_gemini(&other, SPAN(event), &b);
    assert_non_null(strstr(buf_cstr(&a), "\"id\":\"call_"));
    assert_string_not_equal(buf_cstr(&a), buf_cstr(&b));
    buf_free(&a);
    buf_free(&b);
}

static void what_azures_filter_says_beside_the_answer_is_made_a_chunk_or_dropped(void **state)
{
    struct mend m = {.serial = 0};
    struct buf out;
    (void)state;
    buf_init(&out, 1000);
    assert_int_equal(mend_azure(&m, SPAN("{\"id\":\"\",\"choices\":[],\"prompt_filter_results\":[]}"), &out), MEND_DROPPED);
    buf_free(&out);
    expect(mend_azure, &m, "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}", NULL);
    expect(mend_azure, &m, "{ \"id\":\"\",\"object\":\"\",\"created\":0,\"model\":\"\",\"choices\":[{\"index\":0,\"content_filter_results\":{}}]}",
           "{ \"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"gpt\",\"choices\":[{\"delta\":{},\"index\":0,\"content_filter_results\":{}}]}");
    expect(mend_azure, &m, "{\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", NULL);
    expect(mend_azure, &m, "{\"error\":{\"code\":\"429\"}}", NULL);
}

static void groqs_usage_is_put_where_everybody_looks(void **state)
{
    struct mend m = {.serial = 0};
    (void)state;
    expect(mend_groq, &m, "{\"choices\":[{}],\"x_groq\":{\"usage\":{\"prompt_tokens\":1}}}",
           "{\"usage\":{\"prompt_tokens\":1},\"choices\":[{}],\"x_groq\":{\"usage\":{\"prompt_tokens\":1}}}");
    expect(mend_groq, &m, "{\"usage\":null,\"x_groq\":{\"usage\":{\"a\":1}}}", "{\"usage\":{\"a\":1},\"x_groq\":{\"usage\":{\"a\":1}}}");
    expect(mend_groq, &m, "{\"usage\":{},\"x_groq\":{\"usage\":{\"a\":1}}}", NULL);
    expect(mend_groq, &m, "{\"x_groq\":{\"id\":\"req\"}}", NULL);
}

static void what_is_no_event_is_left_alone(void **state)
{
    static mender *const all[] = {mend_gemini, mend_azure, mend_groq};
    static const char *const odd[] = {"", "[DONE]", "[1]", "{", "{\"choices\":{}}", "{\"choices\":[1,[]]}", "{\"choices\":[{\"index\":-5,\"delta\":{\"tool_calls\":[{}]}}]}",
                                      "{\"choices\":[{\"index\":9999,\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]}}]}"};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
            struct mend m = {.serial = 0};
            struct buf out;
            struct jval root;
            struct jfault fault;
            buf_init(&out, 1000);
            if (all[i](&m, span_of(odd[k]), &out) == MEND_REWRITTEN)
                assert_int_equal(jscan_check(buf_all(&out), 64, &root, &fault), WEIR_OK);
            buf_free(&out);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_gets_the_index_id_and_type_that_it_lacks),
        cmocka_unit_test(a_stop_behind_calls_becomes_tool_calls),
        cmocka_unit_test(made_up_ids_differ_where_the_stream_has_none),
        cmocka_unit_test(what_azures_filter_says_beside_the_answer_is_made_a_chunk_or_dropped),
        cmocka_unit_test(groqs_usage_is_put_where_everybody_looks),
        cmocka_unit_test(what_is_no_event_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
