/* Lists of models, as each provider writes them. */
#include "fcgi/provider/model_list.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena memory;

static void expect(bool (*reader)(struct span, struct arena *, struct model_list *), const char *body, const char *ids)
{
    struct model_list list;
    struct buf got;
    buf_init(&got, 1000);
    if (!reader(span_of(body), &memory, &list)) fail_msg("%s", body);
    for (int i = 0; i < list.count; i++)
        buf_printf(&got, "%s %lld %lld;", list.models[i].id, (long long)list.models[i].context_window, (long long)list.models[i].max_output);
    assert_string_equal(buf_cstr(&got), ids);
    buf_free(&got);
}

static void each_providers_list_is_read(void **state)
{
    (void)state;
    expect(models_openai, "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1,\"owned_by\":\"x\"},{\"id\":\"o3\"}]}", "gpt-4o 0 0;o3 0 0;");
    expect(models_openai, "{\"data\":[{\"id\":\"llama-3.1-8b-instant\",\"context_window\":131072,\"max_completion_tokens\":131072}]}", "llama-3.1-8b-instant 131072 131072;");
    expect(models_openai, "{\"data\":[{\"id\":\"Qwen/Qwen3\",\"max_model_len\":40960}]}", "Qwen/Qwen3 40960 0;");
    expect(models_openai, "[{\"id\":\"meta/llama\",\"context_length\":8192}]", "meta/llama 8192 0;");
    expect(models_anthropic, "{\"data\":[{\"type\":\"model\",\"id\":\"claude-x\",\"display_name\":\"X\",\"max_input_tokens\":200000,\"max_tokens\":64000}],\"has_more\":false}", "claude-x 200000 64000;");
    expect(models_gemini, "{\"object\":\"list\",\"data\":[{\"id\":\"models/gemini-2.5-pro\",\"object\":\"model\"},{\"id\":\"other\"}]}", "gemini-2.5-pro 0 0;other 0 0;");
}

static void entries_that_name_no_model_are_passed_over(void **state)
{
    (void)state;
    expect(models_openai, "{\"data\":[1,{},{\"id\":7},{\"id\":\"\"},{\"id\":\"a\\nb\"},{\"id\":\"\\u00e9\"},{\"id\":\"ok\",\"context_window\":-1}]}", "ok 0 0;");
    expect(models_openai, "{\"data\":[]}", "");
}

static void what_is_no_list_is_refused(void **state)
{
    static const char *const none[] = {"", "{}", "{\"data\":{}}", "\"x\"", "{\"data\":[", "<html>"};
    struct model_list list;
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_false(models_openai(span_of(none[i]), &memory, &list));
        assert_int_equal(list.count, 0);
    }
    arena_end(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_providers_list_is_read),
        cmocka_unit_test(entries_that_name_no_model_are_passed_over),
        cmocka_unit_test(what_is_no_list_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
