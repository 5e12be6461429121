/* The json-c door: trees are read strictly and exactly, changed, and written so that they read back. */
#include "fcgi/door/json.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct json *parsed(const char *text)
{
    struct json *j = NULL;
    struct jfault fault;
    assert_int_equal(json_parse(span_of(text), &j, &fault), WEIR_OK);
    assert_non_null(j);
    return j;
}

static void expect_written(const struct json *j, bool pretty, const char *want)
{
    struct buf out;
    buf_init(&out, 10000);
    assert_int_equal(json_write(j, pretty, &out), WEIR_OK);
    assert_string_equal(buf_cstr(&out), want);
    buf_free(&out);
}

static void documents_are_read_and_walked_in_order(void **state)
{
    (void)state;
    struct json *j = parsed(" {\"b\":[1,null,\"x\\u0000y\"],\"a\":null,\"c\":{\"t\":true,\"f\":false}} ");
    assert_int_equal(json_is(j), JSON_OBJECT);
    assert_int_equal(json_count(j), 3);
    struct json *b = json_get(j, "b");
    assert_int_equal(json_count(b), 3);
    assert_int_equal(json_is(json_at(b, 1)), JSON_NULL);
    assert_true(span_eq(json_text(json_at(b, 2)), SPAN("x\0y")));
    assert_null(json_at(b, 3));
    assert_null(json_at(j, 0));
    assert_int_equal(json_is(json_get(j, "a")), JSON_NULL);
    assert_null(json_get(j, "none"));
    assert_null(json_get(b, "a"));
    assert_null(json_get(json_get(j, "none"), "a"));
    assert_int_equal(json_is(NULL), JSON_ABSENT);
    bool t = false, f = true;
    assert_true(json_bool(json_get(json_get(j, "c"), "t"), &t) && t);
    assert_true(json_bool(json_get(json_get(j, "c"), "f"), &f) && !f);
    assert_false(json_bool(b, &f));
    assert_null(json_text(b).at);

    static const char *const names[] = {"b", "a", "c"};
    struct json_walk w;
    size_t n = 0;
    for (json_walk_start(j, &w); json_walk_next(&w); n++) {
        assert_string_equal(w.name, names[n]);
        assert_ptr_equal(w.value, json_get(j, names[n]));
    }
    assert_int_equal(n, 3);
    assert_null(w.name);
    json_walk_start(b, &w);
    assert_false(json_walk_next(&w));
    json_free(j);
}

static void numbers_are_exact_or_refused(void **state)
{
    (void)state;
    struct json *j = parsed("[0.50,1E5,9223372036854775807,9223372036854775808,18446744073709551615,-9223372036854775808,1.0,\"1\"]");
    static const char *const texts[] = {
        "0.50", "1E5", "9223372036854775807", "9223372036854775808", "18446744073709551615", "-9223372036854775808", "1.0", NULL,
    };
    for (size_t i = 0; i < 8; i++) {
        if (texts[i])
            assert_true(span_is(json_number_text(json_at(j, i)), texts[i]));
        int64_t n;
        assert_int_equal(json_int(json_at(j, i), &n), i == 2 || i == 5);
    }
    assert_null(json_number_text(json_at(j, 7)).at);
    json_free(j);
    static const char *const bad[] = {"[18446744073709551616]", "[-9223372036854775809]", "[111111111111111111111111]"};
    for (size_t i = 0; i < 3; i++) {
        struct json *none = NULL;
        struct jfault fault;
        assert_int_equal(json_parse(span_of(bad[i]), &none, &fault), WEIR_INVALID);
        assert_int_equal(fault.at, 1);
        assert_string_equal(fault.what, "number out of range");
        assert_null(none);
    }
    json_free(parsed("\"18446744073709551616\""));
}

static void faults_have_their_offset(void **state)
{
    (void)state;
    static const struct { const char *text; size_t at; } bad[] = {
        {"", 0}, {"{\"a\":1,}", 7}, {"[1] x", 4}, {"{\"a\\u0000b\":1}", 3}, {"[\"a\\u0000\",{\"\\\\\\u0000\" :1}]", 15}, {"[\"\xFF\"]", 2},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct json *none = NULL;
        struct jfault fault;
        assert_int_equal(json_parse(span_of(bad[i].text), &none, &fault), WEIR_INVALID);
        assert_int_equal(fault.at, bad[i].at);
        assert_null(none);
    }
    json_free(parsed("{\"a\\\\u0000b\":\"\\u0000\"}"));
}

static void depth_is_the_same_as_jscans(void **state)
{
    (void)state;
    char text[200];
    for (int depth = 64; depth <= 65; depth++) {
        memset(text, '[', (size_t)depth);
        text[depth] = '1';
        memset(text + depth + 1, ']', (size_t)depth);
        struct json *j = NULL;
        struct jfault fault;
        enum weir_err err = json_parse((struct span){text, 2 * (size_t)depth + 1}, &j, &fault);
        assert_int_equal(err, depth == 64 ? WEIR_OK : WEIR_INVALID);
        json_free(j);
    }
}

static void scalars_are_documents_too(void **state)
{
    (void)state;
    static const struct { const char *text; enum json_kind kind; } good[] = {
        {"null", JSON_NULL}, {"12", JSON_NUMBER}, {" 1.5 ", JSON_NUMBER}, {"true", JSON_TRUE}, {"\"x\"", JSON_STRING},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct json *j = parsed(good[i].text);
        assert_int_equal(json_is(j), good[i].kind);
        json_free(j);
    }
    json_free(NULL);
}

static void what_is_built_is_written(void **state)
{
    (void)state;
    struct json *j = json_object(), *list = json_array();
    assert_true(json_push(list, json_int_new(INT64_MIN)));
    assert_true(json_push(list, json_null_new()));
    assert_true(json_push(list, json_bool_new(true)));
    assert_true(json_set(j, "list", list));
    assert_true(json_set(j, "text", json_string_new(SPAN("a/\"\n\0\xC3\xA9"))));
    assert_true(json_set(j, "bad", json_string_new(SPAN("a\xFF\xE2\x82z"))));
    assert_true(json_set(j, "none", json_string_new(SPAN_NONE)));
    assert_true(json_set(j, "empty", json_string_new(SPAN(""))));
    expect_written(j, false, "{\"list\":[-9223372036854775808,null,true],\"text\":\"a/\\\"\\n\\u0000\xC3\xA9\","
                             "\"bad\":\"a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\",\"none\":null,\"empty\":\"\"}");
    assert_true(json_set(j, "list", json_int_new(1)));
    assert_int_equal(json_count(j), 5);
    json_free(j);
    j = parsed("{\"a\":[0.10,{}]}");
    expect_written(j, false, "{\"a\":[0.10,{}]}");
    expect_written(j, true, "{\n  \"a\": [\n    0.10,\n    {\n    }\n  ]\n}");
    json_free(j);
    expect_written(json_null_new(), false, "null");
}

static void failed_values_are_freed_not_kept(void **state)
{
    (void)state;
    struct json *j = json_object();
    assert_false(json_set(j, "a", NULL));
    assert_false(json_push(j, json_int_new(1)));
    assert_false(json_set(NULL, "a", json_string_new(SPAN("x"))));
    assert_int_equal(json_count(j), 0);
    struct buf small;
    buf_init(&small, 1);
    assert_int_equal(json_write(j, false, &small), WEIR_FULL);
    buf_free(&small);
    json_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_read_and_walked_in_order),
        cmocka_unit_test(numbers_are_exact_or_refused),
        cmocka_unit_test(faults_have_their_offset),
        cmocka_unit_test(depth_is_the_same_as_jscans),
        cmocka_unit_test(scalars_are_documents_too),
        cmocka_unit_test(what_is_built_is_written),
        cmocka_unit_test(failed_values_are_freed_not_kept),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
