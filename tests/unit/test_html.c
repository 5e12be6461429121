/* Nothing that somebody sent becomes markup, an address of its own, or a member of JSON it should not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admin/form.c"
#include "admin/html.c"

static struct arena memory;

static int empty_memory(void **state)
{
    (void)state;
    arena_end(&memory);
    return 0;
}

static const char *written(struct buf *out)
{
    const char *text = arena_str(&memory, buf_all(out));
    assert_int_equal(out->err, WEIR_OK);
    buf_free(out);
    return text;
}

static void texts_stay_texts(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    HTML(&out, "<a title=\"{}\">{}</a>", H_TEXT("\"><script>'&"), H_NAME("<b>"));
    assert_string_equal(written(&out), "<a title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\"><bdi>&lt;b&gt;</bdi></a>");
    html_text(&out, (struct span){"a\0b\x01\xff\xc3\n", 7});
    assert_string_equal(written(&out), "a" REPLACED "b" REPLACED REPLACED REPLACED "\n");
    url_arg(&out, SPAN("a/b?c=d&e \xc3\xa4~"));
    assert_string_equal(written(&out), "a%2Fb%3Fc%3Dd%26e%20%C3%A4~");
}

static void braces_of_a_value_are_no_place(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    HTML(&out, "<p>{} {}</p>", H_TEXT("{}"), H_TEXT("x"));
    assert_string_equal(written(&out), "<p>{} x</p>");
}

static void a_form_that_does_not_fit_its_values_fails(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    HTML(&out, "{} {}", H_INT(1));
    assert_int_equal(out.err, WEIR_INTERNAL);
    buf_clear(&out);
    HTML(&out, "{}", H_INT(1), H_INT(2));
    assert_int_equal(out.err, WEIR_INTERNAL);
    buf_free(&out);
}

static void numbers_are_grouped_and_money_is_exact(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    HTML(&out, "{} {} {} {} {} {} {}", H_COUNT(0), H_COUNT(999), H_COUNT(-1234567), H_COUNT(INT64_MAX), H_MONEY(1234567890123456),
         H_MONEY(1), H_MONEY(-1));
    assert_string_equal(written(&out), "0 999 -1,234,567 9,223,372,036,854,775,807 $1,234,567.890123456 $0.000000001 \xe2\x80\x93");
    HTML(&out, "{} {}", H_TIME(0), H_TIME(1763694245678));
    assert_string_equal(written(&out),
                        "\xe2\x80\x93 <time datetime=\"2025-11-21T03:04:05.678Z\">2025-11-21 03:04:05 UTC</time>");
}

static void forms_are_read_or_refused_whole(void **state)
{
    static const struct { const char *text; enum weir_err err; const char *a; } all[] = {
        {"", WEIR_OK, NULL}, {"a=1&a=2", WEIR_OK, "1"}, {"a", WEIR_OK, ""}, {"b=1&&a=x+y%26z", WEIR_OK, "x y&z"}, {"%61=%C3%A4", WEIR_OK, "\xc3\xa4"},
        {"a=%00", WEIR_INVALID, NULL}, {"a=%ff", WEIR_INVALID, NULL}, {"a=%f", WEIR_INVALID, NULL}, {"%00=a", WEIR_INVALID, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct problem p = {0};
        struct form f;
        assert_int_equal(form_read(span_of(all[i].text), &memory, &f, &p), all[i].err);
        if (all[i].err != WEIR_OK) continue;
        const char *got = form_get(&f, "a");
        assert_true(got && all[i].a ? strcmp(got, all[i].a) == 0 : got == all[i].a);
    }
}

static void fields_become_an_entry_and_what_is_not_shown_stays(void **state)
{
    static const struct member table[] = {{"name", MEMBER_TEXT}, {"amount", MEMBER_NUMBER}, {"models", MEMBER_LIST}, {"flag", MEMBER_FLAG},
                                          {NULL, MEMBER_TEXT}};
    struct problem p;
    struct form f;
    struct buf out;
    (void)state;
    assert_int_equal(form_read(SPAN("name=%22x%22&amount=12&models=a%0D%0A+b+%0A%0A&other=1"), &memory, &f, &p), WEIR_OK);
    buf_init(&out, 4096);
    form_entry(&f, table, SPAN("{\"name\":\"old\",\"hidden\":{\"x\":[1]},\"n\\u0061me2\":null}"), &out);
    assert_string_equal(written(&out), "{\"name\":\"\\\"x\\\"\",\"amount\":12,\"models\":[\"a\",\"b\"],\"flag\":false,"
                                       "\"hidden\":{\"x\":[1]},\"n\\u0061me2\":null}");
    assert_int_equal(form_read(SPAN("amount=1,%22x%22:2&flag=1&name=+"), &memory, &f, &p), WEIR_OK);
    form_entry(&f, table, SPAN_NONE, &out);
    assert_string_equal(written(&out), "{\"amount\":\"1,\\\"x\\\":2\",\"flag\":true}");
}

static void an_entry_becomes_fields_and_fields_the_same_entry(void **state)
{
    static const struct member limits[] = {{"connect_ms", MEMBER_NUMBER}, {NULL, MEMBER_TEXT}};
    struct form f;
    (void)state;
    assert_int_equal(form_of_entry(SPAN("{\"alias\":\"a\",\"on\":true,\"off\":false,\"none\":null,\"list\":[\"x\",\"y\"],"
                                        "\"timeouts\":{\"connect_ms\":5},\"targets\":[{\"model\":\"m\",\"price\":{\"input\":\"1\"}}]}"),
                                   &memory, &f), WEIR_OK);
    assert_string_equal(form_text(&f, "alias"), "a");
    assert_string_equal(form_text(&f, "on"), "1");
    assert_null(form_get(&f, "off"));
    assert_null(form_get(&f, "none"));
    assert_string_equal(form_text(&f, "list"), "x\ny");
    assert_string_equal(form_text(&f, "targets.0.model"), "m");
    assert_string_equal(form_text(&f, "targets.0.price.input"), "1");
    assert_string_equal(form_object(&f, "timeouts.", limits, &memory), "{\"connect_ms\":5}");
    assert_null(form_object(&f, "nothing.", limits, &memory));
    assert_int_equal(form_of_entry(SPAN("{"), &memory, &f), WEIR_INVALID);
}

static void a_number_out_of_bounds_is_the_standard(void **state)
{
    struct problem p;
    struct form f;
    (void)state;
    assert_int_equal(form_read(SPAN("a=5&b=11&c=x&d=&e=99999999999999999999"), &memory, &f, &p), WEIR_OK);
    assert_int_equal(form_int(&f, "a", 0, 10, 7), 5);
    for (const char *name = "b\0c\0d\0e\0f\0"; *name; name += 2) assert_int_equal(form_int(&f, name, 0, 10, 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(texts_stay_texts, empty_memory),
        cmocka_unit_test_teardown(braces_of_a_value_are_no_place, empty_memory),
        cmocka_unit_test_teardown(a_form_that_does_not_fit_its_values_fails, empty_memory),
        cmocka_unit_test_teardown(numbers_are_grouped_and_money_is_exact, empty_memory),
        cmocka_unit_test_teardown(forms_are_read_or_refused_whole, empty_memory),
        cmocka_unit_test_teardown(fields_become_an_entry_and_what_is_not_shown_stays, empty_memory),
        cmocka_unit_test_teardown(an_entry_becomes_fields_and_fields_the_same_entry, empty_memory),
        cmocka_unit_test_teardown(a_number_out_of_bounds_is_the_standard, empty_memory),
    };
    arena_init(&memory);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
