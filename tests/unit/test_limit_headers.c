/* Rate-limit headers: every form in which a provider says when a limit is whole again, and nonsense that says nothing. */
#include "fcgi/provider/limit_headers.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct limit_headers read(void (*reader)(const struct upstream *, int64_t, struct limit_headers *), const char *lines)
{
    struct upstream up = {.status = 200};
    struct limit_headers out;
    buf_init(&up.headers, 10000);
    buf_str(&up.headers, lines);
    reader(&up, 1700000000000, &out);
    buf_free(&up.headers);
    return out;
}

static void every_form_of_a_reset_is_read(void **state)
{
    static const struct { const char *text; int64_t ms; } all[] = { /* WIRE.md 1 to 3 */
        {"1s", 1000}, {"6m0s", 360000}, {"12ms", 12}, {"2m59.56s", 179560}, {"1h0m0s", 3600000}, {"1h2m3.5s", 3723500}, {"7.66s", 7660},
        {"0s", 0}, {"0", 0}, {"30", 30000}, {"1.5", 1500}, {"0.001", 1}, {"0.0001", 1}, {"1d", 86400000}, {"500us", 1}, {"20\xC2\xB5s", 1},
        {" 2s ", 2000}, {"2023-11-14T22:13:30Z", 10000}, {"2023-11-14T22:13:20.250Z", 250}, {"2023-11-14T23:13:30+01:00", 10000},
        {"2020-01-01T00:00:00Z", 0}, {"99999999999999999999s", 31622400000}, {"2400-01-01T00:00:00Z", 31622400000},
    };
    int64_t ms;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!limit_reset_parse(span_of(all[i].text), 1700000000000, &ms)) fail_msg("%s", all[i].text);
        if (ms != all[i].ms) fail_msg("%s: %lld", all[i].text, (long long)ms);
    }
    static const char *const none[] = {"", " ", "-1", "-1s", "s", "1x", "1s2", "1m 2s", ".", "1.s.", "soon", "Tue, 15 Nov 1994 08:12:31 GMT", "1e3"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (limit_reset_parse(span_of(none[i]), 0, &ms)) fail_msg("%s", none[i]);
}

static void openais_and_groqs_headers_are_read(void **state)
{
    (void)state;
    struct limit_headers h = read(limits_openai, "x-ratelimit-limit-requests: 14400\nX-RateLimit-Remaining-Requests: 14370\n"
                                                 "x-ratelimit-reset-requests: 2m59.56s\nx-ratelimit-limit-tokens: 18000\n"
                                                 "x-ratelimit-remaining-tokens: 17997\nx-ratelimit-reset-tokens: 7.66s\nretry-after: 2\n");
    assert_int_equal(h.requests.limit, 14400);
    assert_int_equal(h.requests.remaining, 14370);
    assert_int_equal(h.requests.resets_in_ms, 179560);
    assert_int_equal(h.tokens.limit, 18000);
    assert_int_equal(h.tokens.resets_in_ms, 7660);
    assert_int_equal(h.input.limit, -1);
    assert_int_equal(h.retry_after_ms, 2000);
}

static void anthropics_headers_are_read(void **state)
{
    (void)state;
    struct limit_headers h = read(limits_anthropic, "anthropic-ratelimit-requests-limit: 50\nanthropic-ratelimit-requests-remaining: 49\n"
                                                    "anthropic-ratelimit-requests-reset: 2023-11-14T22:13:30Z\nanthropic-ratelimit-input-tokens-limit: 30000\n"
                                                    "anthropic-ratelimit-output-tokens-limit: 8000\nanthropic-ratelimit-output-tokens-remaining: 0\n");
    assert_int_equal(h.requests.limit, 50);
    assert_int_equal(h.requests.remaining, 49);
    assert_int_equal(h.requests.resets_in_ms, 10000);
    assert_int_equal(h.tokens.limit, -1);
    assert_int_equal(h.input.limit, 30000);
    assert_int_equal(h.input.remaining, -1);
    assert_int_equal(h.output.remaining, 0);
    assert_int_equal(h.output.resets_in_ms, -1);
    assert_int_equal(h.retry_after_ms, -1);
}

static void a_limit_that_is_none_says_nothing(void **state)
{
    static const char *const none[] = {"-1", "0", "", "many", "1.5", "99999999999999999999"};
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char lines[200];
        snprintf(lines, sizeof lines, "x-ratelimit-limit-tokens: %s\nx-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-tokens: 1s\n", none[i]);
        struct limit_headers h = read(limits_openai, lines);
        assert_int_equal(h.tokens.limit, -1);
        assert_int_equal(h.tokens.remaining, -1);
    }
    assert_int_equal(read(limits_openai, "x-ratelimit-limit-tokens: 5\nx-ratelimit-remaining-tokens: 9\n").tokens.remaining, 5);
    assert_int_equal(read(limits_openai, "retry-after-ms: 250\nretry-after: 90\n").retry_after_ms, 250);
}

static struct limit_header left(int64_t limit, int64_t remaining, int64_t resets_in_ms)
{
    return (struct limit_header){limit, remaining, resets_in_ms};
}

static void who_is_nearly_out_is_spared_until_it_is_full_again(void **state)
{
    const struct limit_header none = {-1, -1, -1};
    static const struct { int64_t limit, remaining, resets, requests_ms, tokens_ms; } all[] = {
        {1000, 21, 5000, 0, 5000}, {1000, 20, 5000, 5000, 5000}, {1000, 0, 5000, 5000, 5000},
        {1000, 150, 5000, 0, 0}, {1000, 149, 5000, 0, 5000}, /* a request of 150 tokens */
        {10, 1, 5000, 0, 5000}, {10, 0, -1, 60000, 60000}, {10, 0, 86400000, 60000, 60000}, {10, 0, 0, 0, 0},
        {1000, -1, 5000, 0, 0}, {-1, 0, 5000, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct limit_header l = left(all[i].limit, all[i].remaining, all[i].resets);
        const struct limit_headers requests = {l, none, none, none, -1}, tokens = {none, l, none, none, -1};
        assert_int_equal(limits_spare_ms(&requests, 100, 50), all[i].requests_ms);
        assert_int_equal(limits_spare_ms(&tokens, 100, 50), all[i].tokens_ms);
    }
    const struct limit_headers both = {left(10, 0, 2000), left(1000, 0, 9000), left(1000, 99, 7000), left(1000, 50, 8000), -1};
    assert_int_equal(limits_spare_ms(&both, 100, 50), 9000);
    const struct limit_headers in = {none, none, left(1000, 99, 7000), left(1000, 50, 8000), -1};
    assert_int_equal(limits_spare_ms(&in, 100, 50), 7000);
    assert_int_equal(limits_spare_ms(&in, 99, 51), 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_a_reset_is_read),
        cmocka_unit_test(openais_and_groqs_headers_are_read),
        cmocka_unit_test(anthropics_headers_are_read),
        cmocka_unit_test(a_limit_that_is_none_says_nothing),
        cmocka_unit_test(who_is_nearly_out_is_spared_until_it_is_full_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
