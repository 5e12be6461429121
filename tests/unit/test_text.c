/* Conversions between text and values: nothing gets out raw, nothing is read that is not there, all is exact. */
#include "fcgi/base/text.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void expect_json(struct span in, const char *want)
{
    struct buf out;
    buf_init(&out, 1000);
    assert_int_equal(json_string(&out, in), WEIR_OK);
    assert_string_equal(buf_cstr(&out), want);
    buf_free(&out);
}

static void json_strings_let_nothing_out_raw(void **state)
{
    (void)state;
    expect_json(SPAN_NONE, "null");
    expect_json(SPAN(""), "\"\"");
    expect_json(SPAN("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    expect_json(SPAN("\b\f\n\r\t\0\x1B\x7F"), "\"\\b\\f\\n\\r\\t\\u0000\\u001b\\u007f\"");
    expect_json(SPAN("\xC2\x9B\xC2\xA0\xC3\xA9\xF0\x9F\x98\x80"), "\"\\u009b\xC2\xA0\xC3\xA9\xF0\x9F\x98\x80\"");
    expect_json(SPAN("a\xFFz\xE2\x82"), "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void utf8_is_known_and_never_split(void **state)
{
    (void)state;
    assert_true(text_is_utf8(SPAN_NONE));
    assert_true(text_is_utf8(SPAN("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")));
    assert_false(text_is_utf8(SPAN("a\xC3")));
    assert_false(text_is_utf8(SPAN("\xED\xA0\x80")));
    assert_false(text_is_utf8(SPAN("\xC0\x80")));
    struct span s = SPAN("a\xE2\x82\xAC" "b\xF0\x9F\x98\x80");
    static const size_t want[] = {0, 1, 1, 1, 4, 5, 5, 5, 5, 9, 9};
    for (size_t most = 0; most < 11; most++)
        assert_int_equal(text_cut(s, most), want[most]);
    assert_int_equal(text_cut(SPAN("\x80\x80\x80\x80\x80\x80"), 5), 5);
}

static void header_lines_take_only_visible_ascii(void **state)
{
    (void)state;
    assert_true(text_is_header_safe(SPAN("a b~")));
    assert_false(text_is_header_safe(SPAN("a\nb")));
    assert_false(text_is_header_safe(SPAN("a\tb")));
    assert_false(text_is_header_safe(SPAN("a\0")));
    assert_false(text_is_header_safe(SPAN("\x7F")));
    assert_false(text_is_header_safe(SPAN("\xC3\xA9")));
}

static void expect_url(struct span in, bool plus, enum weir_err err, struct span want)
{
    struct buf out;
    buf_init(&out, 100);
    assert_int_equal(url_decode(&out, in, plus), err);
    assert_true(err || span_eq(buf_all(&out), want));
    buf_free(&out);
}

static void urls_are_decoded_or_refused(void **state)
{
    (void)state;
    expect_url(SPAN("a%2Fb%3a+c"), false, WEIR_OK, SPAN("a/b:+c"));
    expect_url(SPAN("a%20b+c"), true, WEIR_OK, SPAN("a b c"));
    expect_url(SPAN("%25%32%35"), false, WEIR_OK, SPAN("%25"));
    expect_url(SPAN("%"), false, WEIR_INVALID, SPAN_NONE);
    expect_url(SPAN("%2"), false, WEIR_INVALID, SPAN_NONE);
    expect_url(SPAN("%g0"), false, WEIR_INVALID, SPAN_NONE);
    expect_url(SPAN("a%00"), false, WEIR_INVALID, SPAN_NONE);
    expect_url(SPAN("a\0"), false, WEIR_INVALID, SPAN_NONE);
}

static void times_go_out_and_back(void **state)
{
    (void)state;
    static const struct { int64_t ms; const char *text; } pairs[] = {
        {0, "1970-01-01T00:00:00.000Z"}, {1795230245678, "2026-11-21T03:04:05.678Z"}, {-1, "1969-12-31T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"}, {253402300799999, "9999-12-31T23:59:59.999Z"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[TIME_TEXT];
        int64_t ms = 1;
        time_text(pairs[i].ms, text);
        assert_string_equal(text, pairs[i].text);
        assert_true(time_parse(span_of(text), &ms));
        assert_true(ms == pairs[i].ms);
    }
    char text[TIME_TEXT];
    time_text(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    time_text(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

static void times_of_other_forms_are_read_or_refused(void **state)
{
    (void)state;
    int64_t ms;
    assert_true(time_parse(SPAN("1970-01-01T01:00:00+01:00"), &ms) && ms == 0);
    assert_true(time_parse(SPAN("1969-12-31 18:30:00.5-05:30"), &ms) && ms == 500);
    assert_true(time_parse(SPAN("1970-01-01t00:00:01.123456789z"), &ms) && ms == 1123);
    assert_true(time_parse(SPAN("2016-12-31T23:59:60Z"), &ms) && ms == 1483228800000);
    static const char *const bad[] = {
        "", "2026-11-21", "2026-11-21T03:04Z", "2026-11-21T03:04:05", "2026-11-21T03:04:05.Z", "2026-13-21T03:04:05Z",
        "2026-00-01T03:04:05Z", "2026-02-29T03:04:05Z", "2026-11-00T03:04:05Z", "2026-11-21T24:00:00Z", "2026-11-21T03:60:00Z",
        "9999-12-31T23:59:60Z", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01", "2026-11-21T03:04:61Z", "2026-11-21T03:04:05Zx", "2026-11-21T03:04:05+1:00", "2026-11-21T03:04:05+24:00", "+026-11-21T03:04:05Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(time_parse(span_of(bad[i]), &ms));
}

static void durations_are_bounded(void **state)
{
    (void)state;
    static const struct { const char *text; int64_t ms; } good[] = {
        {"90d", 7776000000}, {"12h", 43200000}, {"30m", 1800000}, {"30s", 30000}, {"500ms", 500}, {"2w", 1209600000},
        {"36525d", 3155760000000},
    };
    static const char *const bad[] = {
        "", "0s", "5", "s", "-1s", "1.5h", "1 s", "1y", "36526d", "9223372036854775808ms", "99999999999999999999w", "1S", "1msx",
    };
    int64_t ms = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(duration_parse(span_of(good[i].text), &ms) && ms == good[i].ms);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(duration_parse(span_of(bad[i]), &ms));
}

static void money_is_exact_both_ways(void **state)
{
    (void)state;
    static const struct { const char *text; int64_t nano; const char *back; } good[] = {
        {"0.15", 150000000, "0.15"}, {"20", 20000000000, "20.00"}, {"20.00", 20000000000, "20.00"},
        {"0.000001234", 1234, "0.000001234"}, {"0", 0, "0.00"}, {"0.000000001", 1, "0.000000001"}, {"1.5", 1500000000, "1.50"},
        {"9000000000", 9000000000000000000, "9000000000.00"}, {"8999999999.999999999", 8999999999999999999, "8999999999.999999999"},
    };
    static const char *const bad[] = {
        "", ".5", "5.", "-1", "+1", "1e3", "1,5", "0.0000000001", "9000000000.000000001", "9000000001", "99999999999999999999", "1 ", "$1",
    };
    char text[MONEY_TEXT];
    int64_t nano = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(money_parse(span_of(good[i].text), &nano));
        assert_true(nano == good[i].nano);
        money_text(nano, text);
        assert_string_equal(text, good[i].back);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(money_parse(span_of(bad[i]), &nano));
    money_text(-1500000000, text);
    assert_string_equal(text, "-1.50");
    money_text(INT64_MIN, text);
    assert_string_equal(text, "-9223372036.854775808");
}

static void addresses_match_their_ranges_only(void **state)
{
    (void)state;
    static const struct { const char *address, *range; bool in; } cases[] = {
        {"10.1.2.3", "10.0.0.0/8", true}, {"11.1.2.3", "10.0.0.0/8", false}, {"10.1.2.3", "10.1.2.3", true},
        {"10.1.2.4", "10.1.2.3", false}, {"192.168.1.127", "192.168.1.0/25", true}, {"192.168.1.128", "192.168.1.0/25", false},
        {"1.2.3.4", "0.0.0.0/0", true}, {"::1", "0.0.0.0/0", false}, {"1.2.3.4", "::/0", false}, {"2001:db8::1", "::/0", true},
        {"2001:db8:1::5", "2001:db8::/32", true}, {"2001:db9::5", "2001:db8::/32", false}, {"::1", "::1", true},
        {"::ffff:10.1.2.3", "10.0.0.0/8", true}, {"10.1.2.3", "::ffff:10.0.0.0/104", true}, {"fe80::1", "fe80::/10", true},
        {"febf::1", "fe80::/10", true}, {"fec0::1", "fe80::/10", false}, {"x", "0.0.0.0/0", false}, {"", "0.0.0.0/0", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(ip_in_range(span_of(cases[i].address), span_of(cases[i].range)), cases[i].in);
    static const char *const bad[] = {
        "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/ 8", "host", "10.0.0.0/0008",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:1111",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(ip_range_is_valid(span_of(bad[i])));
    assert_false(ip_range_is_valid(SPAN_NONE));
    assert_false(ip_in_range(SPAN("1.2.3.4\0"), SPAN("1.2.3.4")));
}

static void base64_is_padded(void **state)
{
    (void)state;
    static const char *const want[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t n = 0; n < 7; n++) {
        struct buf out;
        buf_init(&out, 100);
        assert_int_equal(base64_add(&out, "foobar", n), WEIR_OK);
        assert_string_equal(buf_cstr(&out), want[n]);
        buf_free(&out);
    }
    struct buf out;
    buf_init(&out, 100);
    base64_add(&out, "\xFB\xFF\xBE", 3);
    assert_string_equal(buf_cstr(&out), "+/++");
    buf_free(&out);
}

static void base64url_is_read_strictly(void **state)
{
    static const struct { const char *text, *want; } good[] = {
        {"", ""}, {"Zg", "f"}, {"Zm8", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg", "foob"}, {"-_-_", "\xFB\xFF\xBF"}};
    static const char *const bad[] = {"Z", "Zg==", "Zh", "Zm9", "Zm9vY", "Zm9v\n", "Zm 9", "Zm+v", "Zm/v", "\xC3\xA9", "Zm9v="};
    struct buf out;
    (void)state;
    buf_init(&out, 4);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        buf_clear(&out);
        assert_int_equal(base64url_decode(&out, span_of(good[i].text)), WEIR_OK);
        assert_true(span_is(buf_all(&out), good[i].want));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_clear(&out);
        if (base64url_decode(&out, span_of(bad[i])) != WEIR_INVALID) fail_msg("%s", bad[i]);
    }
    buf_clear(&out);
    assert_int_equal(base64url_decode(&out, SPAN("Zm9vYmE")), WEIR_FULL);
    buf_free(&out);
}

static void an_address_has_one_text(void **state)
{
    static const struct { const char *text, *want; } all[] = {
        {"192.0.2.1", "192.0.2.1"}, {"::ffff:192.0.2.1", "192.0.2.1"}, {"2001:DB8:0::1", "2001:db8::1"}, {"::", "::"}};
    struct ip_address ip;
    char text[IP_TEXT];
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(ip_parse(span_of(all[i].text), &ip));
        ip_text(&ip, text);
        assert_string_equal(text, all[i].want);
    }
    assert_false(ip_parse(SPAN("192.0.2.1:80"), &ip) || ip_parse(SPAN("[::1]"), &ip) || ip_parse(SPAN("fe80::1%eth0"), &ip));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_strings_let_nothing_out_raw),
        cmocka_unit_test(utf8_is_known_and_never_split),
        cmocka_unit_test(header_lines_take_only_visible_ascii),
        cmocka_unit_test(urls_are_decoded_or_refused),
        cmocka_unit_test(times_go_out_and_back),
        cmocka_unit_test(times_of_other_forms_are_read_or_refused),
        cmocka_unit_test(durations_are_bounded),
        cmocka_unit_test(money_is_exact_both_ways),
        cmocka_unit_test(addresses_match_their_ranges_only),
        cmocka_unit_test(base64_is_padded),
        cmocka_unit_test(base64url_is_read_strictly),
        cmocka_unit_test(an_address_has_one_text),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
