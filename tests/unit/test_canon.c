/* The canonical form: the same for what means the same, different for what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "fcgi/base/bounds.h"
#include "fcgi/base/canon.c"

static void form(const char *text, const char *const *skip, struct buf *out)
{
    struct jval root;
    struct jfault fault;
    buf_init(out, 1 << 20);
    if (jscan_check(span_of(text), BOUND_JSON_DEPTH, &root, &fault) != WEIR_OK) fail_msg("%s: %s", text, fault.what);
    assert_int_equal(canon_write(root, skip, out), WEIR_OK);
}

static void becomes(const char *text, const char *expected)
{
    struct buf out, again;
    form(text, NULL, &out);
    assert_string_equal(buf_cstr(&out), expected);
    form(expected, NULL, &again); /* and is its own form */
    assert_string_equal(buf_cstr(&again), expected);
    buf_free(&out);
    buf_free(&again);
}

static void what_means_the_same_is_written_the_same(void **state)
{
    (void)state;
    becomes(" { \"b\" : 1 , \"a\" : [ 1 , { } , [ ] , null , true ] } ", "{\"a\":[1,{},[],null,true],\"b\":1}");
    becomes("{\"\\u0062\":1,\"a\":2}", "{\"a\":2,\"b\":1}");
    becomes("{\"z\":{\"y\":1,\"x\":\"\\u0041\\/\\n\"},\"\":0}", "{\"\":0,\"z\":{\"x\":\"A/\\n\",\"y\":1}}");
    becomes("{\"ab\":1,\"a\":2,\"abc\":3}", "{\"a\":2,\"ab\":1,\"abc\":3}");
    becomes("\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"");
    becomes("[\"\\\"\\\\\"]", "[\"\\\"\\\\\"]");
    becomes("\"\\b\\f\\n\\r\\t\\\"\\\\\"", "\"\\b\\f\\n\\r\\t\\\"\\\\\"");
    becomes("\"\\\\/\\\\u0041\\/\\u000a\\u000B\"", "\"\\\\/\\\\u0041/\\n\\u000b\"");
}

static void what_differs_stays_different(void **state)
{
    (void)state;
    becomes("[1,1.0,1e0,-0]", "[1,1.0,1e0,-0]");
    becomes("[2,1]", "[2,1]");
    becomes("{\"a\":1,\"b\":2,\"a\":0}", "{\"a\":1,\"a\":0,\"b\":2}");
    becomes("{\"a\":\"1\"}", "{\"a\":\"1\"}");
    becomes("{\"A\":1,\"a\":1}", "{\"A\":1,\"a\":1}");
}

static void a_lone_surrogate_is_like_no_other(void **state)
{
    struct buf a, b;
    (void)state;
    form("{\"k\":\"\\ud800\"}", NULL, &a);
    form("{\"k\":\"\\udbff\"}", NULL, &b);
    assert_string_not_equal(buf_cstr(&a), buf_cstr(&b));
    buf_free(&b);
    form("{\"k\":\"\xef\xbf\xbd\"}", NULL, &b);
    assert_string_not_equal(buf_cstr(&a), buf_cstr(&b));
    buf_free(&a);
    buf_free(&b);
}

static void what_lies_very_deep_stays_as_it_is(void **state)
{
    char text[200] = "", same[200] = "";
    (void)state;
    for (int i = 0; i < DEEP; i++) strcat(text, "["), strcat(same, "[");
    strcat(text, "{ \"b\":1,\"a\":2}");
    strcat(same, "{ \"b\":1,\"a\":2}");
    for (int i = 0; i < DEEP; i++) strcat(text, " ]"), strcat(same, "]");
    becomes(text, same);
}

static void only_the_outer_members_are_skipped(void **state)
{
    static const char *const skip[] = {"stream", "stream_options", NULL};
    struct buf out;
    (void)state;
    form("{\"str\\u0065am\":true,\"x\":{\"stream\":1},\"stream_options\":{},\"a\":0}", skip, &out);
    assert_string_equal(buf_cstr(&out), "{\"a\":0,\"x\":{\"stream\":1}}");
    buf_free(&out);
}

/* ---- property: members shuffled and escapes added, the form stays; a value changed, it does not ---- */

static uint32_t seed;
static uint32_t draw(uint32_t n) { seed = seed * 1664525u + 1013904223u; return (seed >> 8) % n; }

/* Writes a value chosen by `shape` alone; how it is written is chosen by `seed`. *changed: counts down, at 0 a leaf differs. */
static void scribble(struct buf *out, uint32_t shape, int depth, int *changed)
{
    static const char *const blanks[] = {"", " ", "\n\t", "\r"};
    uint32_t kind = shape % (depth ? 5 : 3), n = shape / 7 % 4;
    buf_str(out, blanks[draw(4)]);
    if (kind < 3) {
        bool other = --*changed == 0;
        if (kind == 0) buf_printf(out, "%u", (unsigned)(shape % 1000 + other));
        else if (kind == 1) buf_printf(out, draw(2) ? "\"s%c\\u0041\"" : "\"s%cA\"", (int)('a' + shape % 20 + other));
        else buf_str(out, other ? "null" : shape & 8 ? "true" : "false");
    } else {
        uint32_t first = kind == 4 && n ? draw(n) : 0;
        buf_char(out, kind == 4 ? '{' : '[');
        for (uint32_t i = 0; i < n; i++) {
            uint32_t at = (first + i) % n;
            if (i) buf_char(out, ',');
            if (kind == 4) buf_printf(out, draw(2) ? "\"k%u\":" : "\"\\u006b%u\" :", (unsigned)at);
            scribble(out, shape / 3 + at * 2654435761u, depth - 1, changed);
        }
        buf_char(out, kind == 4 ? '}' : ']');
    }
    buf_str(out, blanks[draw(4)]);
}

static void writing_it_otherwise_changes_nothing_and_any_other_leaf_does(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 5000; round++) {
        struct buf text[3], forms[3];
        uint32_t shape = round * 2246822519u + 5;
        for (int i = 0; i < 3; i++) {
            int changed = i == 2 ? 1 : -1;
            seed = round * 31 + (uint32_t)i * 17;
            buf_init(&text[i], 1 << 20);
            scribble(&text[i], shape, 4, &changed);
            form(buf_cstr(&text[i]), NULL, &forms[i]);
            if (i == 1 && !span_eq(buf_all(&forms[0]), buf_all(&forms[1])))
                fail_msg("%s\n%s", buf_cstr(&forms[0]), buf_cstr(&forms[1]));
            if (i == 2 && changed <= 0 && span_eq(buf_all(&forms[0]), buf_all(&forms[2]))) fail_msg("same: %s", buf_cstr(&forms[2]));
        }
        for (int i = 0; i < 3; i++) buf_free(&text[i]), buf_free(&forms[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_means_the_same_is_written_the_same),
        cmocka_unit_test(what_differs_stays_different),
        cmocka_unit_test(a_lone_surrogate_is_like_no_other), cmocka_unit_test(what_lies_very_deep_stays_as_it_is),
        cmocka_unit_test(only_the_outer_members_are_skipped),
        cmocka_unit_test(writing_it_otherwise_changes_nothing_and_any_other_leaf_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
