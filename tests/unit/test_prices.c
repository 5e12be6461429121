/* Prices as others write them: dollars a token to nano-dollars per million tokens, to the last digit or not at all; and the
 * built-in list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "admin/price_list.c"
#include "admin/price_text.c"

#define CENT INT64_C(10000000)

static void a_price_a_token_is_moved_to_the_digit(void **state)
{
    static const struct { const char *text; int64_t nano; } all[] = {
        {"1.5e-07", 15 * CENT},          {"1.5E-7", 15 * CENT},           {"0.00000015", 15 * CENT},
        {"15e-8", 15 * CENT},            {"0.15e-6", 15 * CENT},          {"150e-9", 15 * CENT},
        {"0.000000150000000000000000000000000", 15 * CENT},
        {"2.5e-06", 250 * CENT},         {"1e-05", 1000 * CENT},          {"7.5e-08", 75 * CENT / 10},
        {"0", 0},                        {"0.0", 0},                      {"0e99999999999999999999", 0},
        {"-0", 0},                       {"1e-15", 1},                    {"0.000000000000001", 1},
        {"1.000000000000001", INT64_C(1000000000000001)},                 {"3e3", INT64_C(3000000000000000000)},
        {"9e+3", INT64_C(9000000000000000000)},                           {"9000", INT64_C(9000000000000000000)},
        {"8999.999999999999999", INT64_C(8999999999999999999)},           {"1000.5", INT64_C(1000500000000000000)},
        {"1.0e0", INT64_C(1000000000000000)},                             {"1.23456789012e-4", INT64_C(123456789012)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t nano = -1;

        if (price_per_token(span_of(all[i].text), &nano) || nano != all[i].nano)
            fail_msg("%s gives %lld", all[i].text, (long long)nano);
    }
}

static void a_price_that_does_not_fit_is_refused(void **state)
{
    static const struct { const char *text, *word; } all[] = {
        {"-1e-07", "below 0"},       {"-0.5", "below 0"},
        {"1e-16", "finer"},          {"1.5000000000000002e-07", "finer"}, {"0.0000000000000001", "finer"},
        {"1e-99999999999999", "finer"}, {"1.0000000000000001", "finer"},   {"12345678901234567890.1e-21", "finer"},
        {"9001", "above"},           {"9000.000000000000001", "above"},   {"1e99999999999999", "above"},
        {"12345678901234567890", "above"}, {"123456789012345678901234567890", "above"}, {"1e5", "above"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t nano = -1;
        const char *why = price_per_token(span_of(all[i].text), &nano);

        if (!why || !strstr(why, all[i].word)) fail_msg("%s: %s", all[i].text, why ? why : "taken");
    }
}

/* Each number of dollars per million, written as dollars a token in several ways, comes out as money_parse has it. */
static void every_way_of_writing_gives_the_same(void **state)
{
    (void)state;
    for (int64_t nano = 1; nano < INT64_C(1000000000000000000); nano = nano * 3 + 1) {
        char plain[64], exponent[64], wide[80], million[MONEY_TEXT];
        int64_t a, b, c, d;

        snprintf(plain, sizeof plain, "%lld.%015lld", (long long)(nano / 1000000000000000), (long long)(nano % 1000000000000000));
        snprintf(exponent, sizeof exponent, "%llde-15", (long long)nano);
        snprintf(wide, sizeof wide, "%lld000.000e-18", (long long)nano);
        money_text(nano, million);
        assert_null(price_per_token(span_of(plain), &a));
        assert_null(price_per_token(span_of(exponent), &b));
        assert_null(price_per_token(span_of(wide), &c));
        assert_true(money_parse(span_of(million), &d));
        assert_int_equal(a, nano);
        assert_int_equal(b, nano);
        assert_int_equal(c, nano);
        assert_int_equal(d, nano);
    }
}

static void the_built_in_list_is_whole(void **state)
{
    int count = 0;

    (void)state;
    assert_true(*price_list_date && *price_list_source);
    for (const struct list_price *l = price_list; l->model; l++, count++) {
        struct price p = price_of(l);

        assert_true(p.known);
        assert_true(p.input > 0 && p.input <= 100 * 100 * CENT);
        assert_true(p.cached_input > 0 && p.cached_input <= p.input && p.cache_write >= p.input);
        assert_true(p.output >= p.input || p.output == 0);
        assert_ptr_equal(price_list_find(span_of(l->model)), l);
    }
    assert_true(count >= 17);
    assert_null(price_list_find(SPAN("gpt-4o-mini ")));
}

static void a_price_is_shown_as_the_document_takes_it(void **state)
{
    struct price p = price_of(price_list_find(SPAN("claude-sonnet-4-5")));
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    price_json(&out, &p);
    assert_string_equal(buf_cstr(&out),
                        "{\"input\": \"3.00\", \"cached_input\": \"0.30\", \"cache_write\": \"3.75\", \"output\": \"15.00\","
                        "\"searches\":\"10.00\",\"long_above\":200000,\"long_input\":\"6.00\",\"long_output\":\"22.50\"}");
    buf_clear(&out);
    price_json(&out, &(struct price){.known = false});
    assert_string_equal(buf_cstr(&out), "null");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_price_a_token_is_moved_to_the_digit),
        cmocka_unit_test(a_price_that_does_not_fit_is_refused),
        cmocka_unit_test(every_way_of_writing_gives_the_same),
        cmocka_unit_test(the_built_in_list_is_whole),
        cmocka_unit_test(a_price_is_shown_as_the_document_takes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
