/* jscan: what is JSON passes, what is not is refused at the right byte, and walking finds what stands there. */
#include "fcgi/base/jcheck.c"
#include "fcgi/base/jscan.c"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct jval checked(const char *text)
{
    struct jval root;
    struct jfault fault;
    assert_int_equal(jscan_check(span_of(text), BOUND_JSON_DEPTH, &root, &fault), WEIR_OK);
    return root;
}

static void expect_fault(struct span text, size_t at, const char *what)
{
    struct jval root;
    struct jfault fault = {SIZE_MAX, ""};
    char *copy = malloc(text.len + 1); /* of its own size, so that reading on behind it is seen */
    assert_non_null(copy);
    memcpy(copy, text.at ? text.at : "", text.len);
    char *exact = realloc(copy, text.len ? text.len : 1);
    assert_int_equal(jscan_check((struct span){exact, text.len}, BOUND_JSON_DEPTH, &root, &fault), WEIR_INVALID);
    assert_int_equal(fault.at, at);
    assert_string_equal(fault.what, what);
    free(exact);
}

static void good_texts_pass_with_their_kind(void **state)
{
    (void)state;
    static const struct { const char *text; enum json_kind kind; } good[] = {
        {"null", JSON_NULL}, {" true ", JSON_TRUE}, {"false\n", JSON_FALSE}, {"0", JSON_NUMBER}, {"-0.5e+10", JSON_NUMBER},
        {"1E5", JSON_NUMBER}, {"\"\"", JSON_STRING}, {"\t\"a\\u00e9\\n\\/\"", JSON_STRING}, {"[]", JSON_ARRAY}, {"[ ]", JSON_ARRAY},
        {"{}", JSON_OBJECT}, {"{ }", JSON_OBJECT}, {"[1,[2,{\"a\":[]}],null]", JSON_ARRAY}, {"\"\\ud800\"", JSON_STRING},
        {"\"\x7F\xC2\x80\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\"", JSON_STRING},
        {"{\"a\" : 1 , \"b\" : [ true , false ] }", JSON_OBJECT},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(checked(good[i].text).kind, good[i].kind);
    struct jval v = checked(" \n[1, 2] ");
    assert_true(span_is(v.text, "[1, 2]"));
}

static void bad_texts_are_refused_where_they_are_bad(void **state)
{
    (void)state;
    expect_fault(SPAN_NONE, 0, "unexpected end");
    expect_fault(SPAN("  "), 2, "unexpected end");
    expect_fault(SPAN("[1,"), 3, "unexpected end");
    expect_fault(SPAN("[1,]"), 3, "unexpected character");
    expect_fault(SPAN("[,1]"), 1, "unexpected character");
    expect_fault(SPAN("{\"a\"}"), 4, "a colon is missing");
    expect_fault(SPAN("{\"a\":}"), 5, "unexpected character");
    expect_fault(SPAN("{a:1}"), 1, "a member name is missing");
    expect_fault(SPAN("{\"a\":1,}"), 7, "a member name is missing");
    expect_fault(SPAN("[1 2]"), 3, "a comma or closing bracket is missing");
    expect_fault(SPAN("[1}"), 2, "a comma or closing bracket is missing");
    expect_fault(SPAN("{\"a\":1]"), 6, "a comma or closing bracket is missing");
    expect_fault(SPAN("{} {}"), 3, "more than one value");
    expect_fault(SPAN("[1]\0"), 3, "more than one value");
    expect_fault(SPAN("]"), 0, "unexpected character");
    expect_fault(SPAN("tru"), 0, "unexpected character");
    expect_fault(SPAN("'a'"), 0, "unexpected character");
    expect_fault(SPAN("NaN"), 0, "unexpected character");
    expect_fault(SPAN("\xEF\xBB\xBF{}"), 0, "unexpected character");
}

static void bad_numbers_are_refused(void **state)
{
    (void)state;
    expect_fault(SPAN("01"), 1, "more than one value");
    expect_fault(SPAN("-"), 1, "unexpected end");
    expect_fault(SPAN("-x"), 1, "invalid number");
    expect_fault(SPAN("+1"), 0, "unexpected character");
    expect_fault(SPAN(".5"), 0, "unexpected character");
    expect_fault(SPAN("[1.]"), 3, "invalid number");
    expect_fault(SPAN("[1e]"), 3, "invalid number");
    expect_fault(SPAN("1e+"), 3, "unexpected end");
}

static void bad_strings_are_refused(void **state)
{
    (void)state;
    expect_fault(SPAN("\"a"), 2, "unexpected end");
    expect_fault(SPAN("\"\\"), 2, "unexpected end");
    expect_fault(SPAN("\"\\u12"), 5, "unexpected end");
    expect_fault(SPAN("\"\\x\""), 1, "invalid escape");
    expect_fault(SPAN("\"\\\0\""), 1, "invalid escape");
    expect_fault(SPAN("\"\\u12g4\""), 1, "invalid escape");
    expect_fault(SPAN("\"a\nb\""), 2, "control character in a string");
    expect_fault(SPAN("\"a\0b\""), 2, "control character in a string");
}

static void bad_utf8_is_refused_anywhere_in_a_string(void **state)
{
    (void)state;
    static const struct span bad[] = {
        {"\x80", 1}, {"\xC0\xAF", 2}, {"\xC1\xBF", 2}, {"\xE0\x9F\xBF", 3}, {"\xED\xA0\x80", 3}, {"\xF0\x8F\xBF\xBF", 4},
        {"\xF4\x90\x80\x80", 4}, {"\xF5\x80\x80\x80", 4}, {"\xFF", 1}, {"\xC3", 1}, {"\xE2\x82", 2}, {"\xF0\x9F\x98", 3},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int lead = 0; lead < 40; lead++) {
            char text[100] = "\"";
            size_t n = 1 + (size_t)lead;
            memset(text + 1, 'a', (size_t)lead);
            memcpy(text + n, bad[i].at, bad[i].len);
            n += bad[i].len;
            expect_fault((struct span){text, n}, 1 + (size_t)lead, "invalid UTF-8");
            memcpy(text + n, "aaaaaaaaaaaaaaaaaaaa\"", 21);
            expect_fault((struct span){text, n + 21}, 1 + (size_t)lead, "invalid UTF-8");
        }
    }
}

static void every_byte_of_a_long_string_is_looked_at(void **state)
{
    (void)state;
    for (size_t at = 1; at < 80; at++) {
        char text[81];
        memset(text, 'x', sizeof text);
        text[0] = text[80] = '"';
        text[at] = 0x1F;
        if (at < 80)
            expect_fault((struct span){text, sizeof text}, at, "control character in a string");
        text[at] = '"';
        if (at < 79)
            expect_fault((struct span){text, sizeof text}, at + 1, "more than one value");
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    static char deep[200000];
    struct jval root;
    struct jfault fault;
    memset(deep, '[', 100000);
    memset(deep + 100000, ']', 100000);
    assert_int_equal(jscan_check((struct span){deep, sizeof deep}, BOUND_JSON_DEPTH, &root, &fault), WEIR_INVALID);
    assert_int_equal(fault.at, 64);
    assert_string_equal(fault.what, "nested deeper than 64");
    assert_int_equal(jscan_check((struct span){deep + 100000 - 64, 128}, BOUND_JSON_DEPTH, &root, &fault), WEIR_OK);
    assert_int_equal(jscan_check((struct span){deep + 100000 - 65, 130}, BOUND_JSON_DEPTH, &root, &fault), WEIR_INVALID);
    assert_int_equal(jscan_check(SPAN("[[1]]"), 1, &root, &fault), WEIR_INVALID);
    assert_int_equal(jscan_check(SPAN("[{\"a\":[{\"b\":[]},1]},{}]"), 5, &root, &fault), WEIR_OK);
    assert_int_equal(jscan_check(SPAN("1"), 0, &root, &fault), WEIR_OK);
}

static void members_are_found_in_order(void **state)
{
    (void)state;
    struct jval v = checked("{ \"a\" : \"x\\\"}\\\\\" , \"b\":[1,{\"c\":\"]\"}] ,\"d\":-1.5e3, \"e\":{},\"f\":null}");
    static const struct { const char *key, *text; enum json_kind kind; } want[] = {
        {"a", "\"x\\\"}\\\\\"", JSON_STRING}, {"b", "[1,{\"c\":\"]\"}]", JSON_ARRAY}, {"d", "-1.5e3", JSON_NUMBER},
        {"e", "{}", JSON_OBJECT}, {"f", "null", JSON_NULL},
    };
    struct jiter it = jscan_iter(v);
    struct span key;
    struct jval val;
    for (size_t i = 0; i < 5; i++) {
        assert_true(jscan_next(&it, &key, &val));
        assert_true(span_is(key, want[i].key));
        assert_true(span_is(val.text, want[i].text));
        assert_int_equal(val.kind, want[i].kind);
    }
    assert_false(jscan_next(&it, &key, &val));
    assert_false(jscan_next(&it, &key, &val));
    assert_int_equal(jscan_count(v), 5);
    assert_int_equal(jscan_find(v, "e").kind, JSON_OBJECT);
    assert_int_equal(jscan_find(v, "c").kind, JSON_ABSENT);
    assert_int_equal(jscan_find(checked("[\"a\"]"), "a").kind, JSON_ABSENT);
    assert_int_equal(jscan_count(checked("[[],[1,2],\"[,\" , 3]")), 4);
    assert_int_equal(jscan_count(checked("\"abc\"")), 0);
    assert_int_equal(jscan_count((struct jval){JSON_ABSENT, SPAN_NONE}), 0);
}

/* The text of exactly its size, so that reading on behind it is seen. */
static struct jval checked_exactly(struct buf *text, char **exact)
{
    struct jval root;
    struct jfault fault;
    *exact = malloc(text->len);
    assert_non_null(*exact);
    memcpy(*exact, text->at, text->len);
    assert_int_equal(jscan_check((struct span){*exact, text->len}, BOUND_JSON_DEPTH, &root, &fault), WEIR_OK);
    return root;
}

/* Of any length up to several strides, with an escaped quote or backslash at any place in it, at the text's end or not. */
static void strings_end_where_they_end(void **state)
{
    (void)state;
    static const char *const escapes[] = {"", "\\\"", "\\\\", "\xC3\xA9"}, *const behind[] = {"", ",\"z\":[{\"b\":\"}]\"}]"};
    for (size_t len = 0; len < 70; len++)
        for (size_t place = 0; place <= len; place++)
            for (size_t e = 0; e < 4; e++) {
                char string[160], *exact;
                struct buf text;
                struct span key;
                struct jval val;
                snprintf(string, sizeof string, "\"%.*s%s%.*s\"", (int)place, "----------------------------------------------"
                         "------------------------", escapes[e], (int)(len - place), "......................................"
                         "................................");
                buf_init(&text, 1000);
                buf_printf(&text, "{%s:%s,\"in\":[%s,{%s:%s}]%s}", string, string, string, string, string, behind[len % 2]);
                struct jiter it = jscan_iter(checked_exactly(&text, &exact));
                assert_true(jscan_next(&it, &key, &val));
                assert_true(span_is((struct span){key.at - 1, key.len + 2}, string));
                assert_true(span_is(val.text, string));
                assert_true(jscan_next(&it, &key, &val));
                assert_true(span_is(key, "in"));
                assert_int_equal(val.text.len, 3 * strlen(string) + 6);
                assert_int_equal(jscan_next(&it, &key, &val), len % 2);
                free(exact);
                buf_free(&text);
            }
}

static void a_roots_members_are_noted_and_no_others(void **state)
{
    (void)state;
    struct jnote notes[] = {{.name = "a"}, {.name = "b"}, {.name = "none"}};
    struct jval root;
    struct jfault fault;
    struct span text = SPAN("{\"a\" : 1, \"x\":{\"b\":2,\"none\":3}, \"b\":[{\"a\":4}] ,\"\\u0061\":\"last\",\"y\":[\"none\"]}");
    assert_int_equal(jscan_check_noting(text, BOUND_JSON_DEPTH, notes, 3, &root, &fault), WEIR_OK);
    assert_true(span_is(notes[0].v.text, "\"last\"") && notes[0].v.kind == JSON_STRING);
    assert_true(span_is(notes[1].v.text, "[{\"a\":4}]") && notes[1].v.kind == JSON_ARRAY);
    assert_int_equal(notes[2].v.kind, JSON_ABSENT);
    assert_true(span_eq(root.text, text));

    static const char *const others[] = {"[\"a\",{\"a\":1}]", "\"a\"", "{}", "{\"\":{\"a\":1}}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct jnote one = {.name = "a"};
        assert_int_equal(jscan_check_noting(span_of(others[i]), BOUND_JSON_DEPTH, &one, 1, &root, &fault), WEIR_OK);
        assert_int_equal(one.v.kind, JSON_ABSENT);
    }
}

static void names_mean_what_their_escapes_say(void **state)
{
    (void)state;
    assert_true(jkey_is(SPAN("mod\\u0065l"), "model"));
    assert_true(jkey_is(SPAN("\\u006d\\u006F\\u0064\\u0065\\u006c"), "model"));
    assert_false(jkey_is(SPAN("model\\u0000"), "model"));
    assert_false(jkey_is(SPAN("mod\\u0065"), "model"));
    assert_false(jkey_is(SPAN("mod\\u0065ls"), "model"));
    assert_true(jkey_is(SPAN("\\ud83d\\ude00\\/\\\"\\\\"), "\xF0\x9F\x98\x80/\"\\"));
    assert_false(jkey_is(SPAN("a\\nb"), "a\\nb")); /* that is a line's end */
    assert_true(jkey_is(SPAN("a\\\\nb"), "a\\nb"));
    assert_false(jkey_is(SPAN_NONE, ""));
    assert_true(jkey_is(SPAN(""), ""));
}

static void equal_names_are_found_whatever_their_escapes(void **state)
{
    (void)state;
    struct span dup;
    assert_true(jscan_is_unique(checked("{\"a\":{\"b\":1,\"b\":2},\"b\":1}"), &dup));
    assert_true(jscan_is_unique(checked("{\"a\\u0000\":1,\"a\":1}"), &dup));
    assert_true(jscan_is_unique(checked("[1,1]"), &dup));
    assert_false(jscan_is_unique(checked("{\"model\":1,\"x\":2,\"mod\\u0065l\":3}"), &dup));
    assert_true(span_is(dup, "mod\\u0065l"));

    struct buf many;
    buf_init(&many, 100000);
    buf_char(&many, '{');
    for (int i = 0; i < BOUND_JSON_MEMBERS; i++)
        buf_printf(&many, "%s\"k%d\":%d", i ? "," : "", i, i);
    size_t len = many.len;
    buf_char(&many, '}');
    assert_true(jscan_is_unique(checked(buf_cstr(&many)), &dup));
    many.len = len;
    buf_str(&many, ",\"one more\":1}");
    assert_false(jscan_is_unique(checked(buf_cstr(&many)), &dup));
    assert_null(dup.at);
    buf_free(&many);
}

static void whole_numbers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct { const char *text; int64_t n; } good[] = {
        {"0", 0}, {"-0", 0}, {"-1", -1}, {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN},
    };
    static const char *const bad[] = {
        "9223372036854775808", "-9223372036854775809", "99999999999999999999999", "1.0", "1e3", "\"1\"", "true", "[1]",
    };
    int64_t n = 77;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(jval_int(checked(good[i].text), &n));
        assert_true(n == good[i].n);
    }
    n = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(jval_int(checked(bad[i]), &n));
    assert_int_equal(n, 77);
    bool b = false;
    assert_true(jval_bool(checked("true"), &b) && b);
    assert_true(jval_bool(checked("false"), &b) && !b);
    assert_false(jval_bool(checked("1"), &b));
}

static void expect_meaning(const char *text, struct span want)
{
    struct buf out;
    buf_init(&out, 1000);
    assert_int_equal(jval_string(checked(text), &out), WEIR_OK);
    assert_true(span_eq(buf_all(&out), want));
    buf_free(&out);
}

static void strings_mean_what_their_escapes_say(void **state)
{
    (void)state;
    expect_meaning("\"\"", SPAN(""));
    expect_meaning("\"plain\"", SPAN("plain"));
    expect_meaning("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", SPAN("\"\\/\b\f\n\r\t"));
    expect_meaning("\"a\\u0000b\\u00e9\\u20ac\"", SPAN("a\0b\xC3\xA9\xE2\x82\xAC"));
    expect_meaning("\"\\uD83D\\uDE00!\"", SPAN("\xF0\x9F\x98\x80!"));
    expect_meaning("\"\\ud800\"", SPAN("\xEF\xBF\xBD"));
    expect_meaning("\"\\ud800\\ud83d\\ude00\"", SPAN("\xEF\xBF\xBD\xF0\x9F\x98\x80"));
    expect_meaning("\"\\ude00\\ud83dx\\n\"", SPAN("\xEF\xBF\xBD\xEF\xBF\xBDx\n"));
    struct buf small;
    buf_init(&small, 3);
    assert_int_equal(jval_string(checked("\"abcd\""), &small), WEIR_FULL);
    buf_free(&small);
    assert_int_equal(jval_string(checked("1"), &small), WEIR_INVALID);
    assert_true(jval_is(checked("\"st\\u006fp\""), "stop"));
    assert_false(jval_is(checked("\"stop2\""), "stop"));
    assert_false(jval_is(checked("null"), "null"));
}

static void hostile_texts_take_linear_time(void **state)
{
    (void)state;
    size_t n = 8 << 20;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, '\\', n);
    text[0] = '[';
    text[1] = text[n - 2] = '"';
    text[n - 1] = ']';
    struct jval root;
    struct jfault fault;
    clock_t start = clock();
    for (size_t i = 3; i + 2 < n; i += 2) /* a string of nothing but escaped quotes */
        text[i] = '"';
    n -= n % 2;
    assert_int_equal(jscan_check((struct span){text, n}, BOUND_JSON_DEPTH, &root, &fault), WEIR_OK);
    assert_int_equal(jscan_count(root), 1);
    assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_pass_with_their_kind),
        cmocka_unit_test(bad_texts_are_refused_where_they_are_bad),
        cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(bad_strings_are_refused),
        cmocka_unit_test(bad_utf8_is_refused_anywhere_in_a_string),
        cmocka_unit_test(every_byte_of_a_long_string_is_looked_at),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(members_are_found_in_order),
        cmocka_unit_test(strings_end_where_they_end),
        cmocka_unit_test(a_roots_members_are_noted_and_no_others),
        cmocka_unit_test(names_mean_what_their_escapes_say),
        cmocka_unit_test(equal_names_are_found_whatever_their_escapes),
        cmocka_unit_test(whole_numbers_are_exact_or_refused),
        cmocka_unit_test(strings_mean_what_their_escapes_say),
        cmocka_unit_test(hostile_texts_take_linear_time),
    };
    return cmocka_run_group_tests_name("jscan", tests, NULL, NULL);
}
