/* One counter's arithmetic, calendar periods and prices: exact at every edge. */
#include "sql/calendar.c"
#include "sql/counter.c"
#include "sql/price.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

static int64_t utc(int year, int month, int day, int hour, int minute)
{
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute};
    return (int64_t)timegm(&tm) * 1000;
}

static void a_month_ends_where_it_ends(void **state)
{
    (void)state;
    struct calendar_period p = calendar_period(CALENDAR_MONTH, 0, utc(2028, 2, 29, 23, 59));
    assert_int_equal(p.start, utc(2028, 2, 1, 0, 0));
    assert_int_equal(p.end, utc(2028, 3, 1, 0, 0));
    p = calendar_period(CALENDAR_MONTH, 0, utc(2100, 2, 28, 12, 0)); /* no leap year */
    assert_int_equal(p.end, utc(2100, 3, 1, 0, 0));
    assert_int_equal(p.end - p.start, 28 * DAY_MS);
    p = calendar_period(CALENDAR_MONTH, 120, utc(2026, 12, 31, 22, 0)); /* there it is January */
    assert_int_equal(p.start, utc(2026, 12, 31, 22, 0));
    assert_int_equal(p.end, utc(2027, 1, 31, 22, 0));
    p = calendar_period(CALENDAR_MONTH, -300, utc(2027, 1, 1, 4, 59)); /* there it is December */
    assert_int_equal(p.end, utc(2027, 1, 1, 5, 0));
    p = calendar_period(CALENDAR_DAY, 330, utc(2026, 11, 21, 18, 30) - 1);
    assert_int_equal(p.end, utc(2026, 11, 21, 18, 30));
    p = calendar_period(CALENDAR_WEEK, 0, utc(2026, 11, 22, 23, 59)); /* a Sunday */
    assert_int_equal(p.start, utc(2026, 11, 16, 0, 0));
    assert_int_equal(p.end, utc(2026, 11, 23, 0, 0));
    p = calendar_period(CALENDAR_HOUR, 30, utc(2026, 11, 22, 23, 29));
    assert_int_equal(p.end, utc(2026, 11, 22, 23, 30));
    p = calendar_period(CALENDAR_MONTH, 0, -1); /* before 1970 */
    assert_int_equal(p.start, utc(1969, 12, 1, 0, 0));
    assert_int_equal(p.end, 0);
}

static void months_are_the_c_library_s(void **state)
{
    (void)state;
    for (int64_t ms = utc(1999, 1, 1, 0, 0); ms < utc(2103, 1, 1, 0, 0); ms += 7 * DAY_MS + 12345678) {
        struct calendar_period p = calendar_period(CALENDAR_MONTH, 0, ms);
        time_t t = (time_t)(ms / 1000), last = (time_t)(p.end / 1000 - 1), first = (time_t)(p.start / 1000);
        struct tm at, end, start;
        gmtime_r(&t, &at);
        gmtime_r(&last, &end);
        gmtime_r(&first, &start);
        assert_int_equal(at.tm_mon, end.tm_mon);
        assert_int_equal(at.tm_mon, start.tm_mon);
        assert_int_equal(start.tm_mday, 1);
        assert_int_equal(calendar_period(CALENDAR_MONTH, 0, p.end).start, p.end);
    }
}

static const struct rule bucket = {.metric = METRIC_TOKENS, .shape = SHAPE_BUCKET, .amount = 1000, .refill = 333333333, .warn_percent = 80};

static void many_small_refills_are_one_large_one(void **state)
{
    struct counter one = {.used = 1000}, many = {.used = 1000};
    (void)state;
    srand(1);
    int64_t now = 0;
    while (now < 2500000) {
        now += rand() % 700;
        counter_roll(&bucket, &many, now, 1, 0);
    }
    counter_roll(&bucket, &one, now, 1, 0);
    assert_int_equal(one.used, many.used);
    assert_int_equal(one.rem, many.rem);
    assert_true(one.used > 0 && one.used < 1000);
}

static void a_clock_that_steps_back_gains_nothing(void **state)
{
    struct counter c = {.used = 1000};
    (void)state;
    counter_roll(&bucket, &c, 3000, 1, 0);
    assert_int_equal(c.used, 1000);
    for (int i = 0; i < 100; i++) {
        counter_roll(&bucket, &c, 100, 1, 0);
        counter_roll(&bucket, &c, 3000, 1, 0);
    }
    assert_int_equal(c.used, 1000);
    counter_roll(&bucket, &c, 3001, 1, 0);
    assert_int_equal(c.used, 999);
}

static void a_bucket_waits_exactly_as_long_as_it_must(void **state)
{
    (void)state;
    for (int64_t excess = 1; excess <= 1000; excess += 37) {
        struct counter c = {.used = 1000, .rem = 123456789}, before, after;
        int64_t ms = counter_wait(&bucket, &c, excess);
        before = after = c;
        counter_roll(&bucket, &after, ms, 1, 0);
        counter_roll(&bucket, &before, ms - 1, 1, 0);
        assert_true(1000 - after.used >= excess);
        assert_true(1000 - before.used < excess);
    }
    struct rule dry = bucket;
    dry.refill = 0;
    struct counter c = {.used = 10};
    assert_int_equal(counter_wait(&dry, &c, 1), WAIT_NEVER);
    assert_int_equal(counter_wait(&bucket, &c, 11), WAIT_NEVER);
    assert_int_equal(counter_reset_ms(&dry, &c), -1);
}

/* What has refilled since is not given twice, and what is given back stops at a full bucket. */
static void a_bucket_takes_back_no_more_than_it_gave(void **state)
{
    const struct rule r = {.metric = METRIC_REQUESTS, .shape = SHAPE_BUCKET, .amount = 10, .refill = 1000000000};
    struct counter c = {.used = 5, .at = 1000};
    (void)state;
    counter_charge(&c, 1);
    counter_roll(&r, &c, 1400, 2, 0);
    counter_give_back(&r, &c, 1, 1000);
    counter_roll(&r, &c, 2000, 2, 0); /* 6 less a second's refill, less the 0.6 that had not refilled */
    assert_int_equal(c.used, 5);
    assert_int_equal(c.rem, (int64_t)600 * 1000000000);
    counter_roll(&r, &c, 9000, 2, 0);
    assert_int_equal(c.used, 0);
    counter_give_back(&r, &c, 3, 8999);
    assert_int_equal(c.used, 0);
    assert_int_equal(c.rem, 0);
}

static void a_window_s_charge_leaves_late_by_a_slot_at_most_and_never_early(void **state)
{
    static const int64_t lengths[] = {1, 3, 7, 60, 3600, 86400, 2592000, 31536000};
    (void)state;
    srand(2);
    for (int i = 0; i < 8; i++)
        for (int n = 0; n < 2000; n++) {
            int64_t seconds = lengths[i], then = 1700000000000 + rand() % 100000007, length = seconds * 1000;
            int64_t leaves = window_leaves(seconds, window_slot(seconds, then));
            assert_true(leaves > then + length || (then * 256 % length == 0 && leaves >= then + length));
            assert_true(leaves <= then + length + length / 256 + 1);
            assert_true(window_slot(seconds, then) < window_edge(seconds, leaves));
            assert_true(window_slot(seconds, then) >= window_edge(seconds, leaves - 1));
        }
}

static void nothing_wraps_near_the_largest_number(void **state)
{
    const struct rule r = {.metric = METRIC_COST, .shape = SHAPE_BUCKET, .amount = INT64_MAX, .refill = INT64_MAX, .warn_percent = 100};
    struct counter c = {.used = INT64_MAX - 5};
    (void)state;
    assert_int_equal(counter_hold(&c, INT64_MAX), INT64_MAX);
    assert_int_equal(counter_hold(&c, 10), 0);
    assert_int_equal(counter_room(&r, &c), -(INT64_MAX - 5));
    assert_int_equal(counter_charge(&c, 10), 5);
    assert_int_equal(c.used, INT64_MAX);
    assert_int_equal(counter_room(&r, &c), -INT64_MAX);
    struct rule lowered = r;
    lowered.amount = 1;
    assert_true(counter_room(&lowered, &c) < -INT64_MAX + 2);
    assert_true(counter_warns(&r, &c, 1));
    c.held = 0;
    assert_int_equal(counter_wait(&r, &c, INT64_MAX), 1000);
    counter_roll(&r, &c, INT64_MAX / 2, 1, 0);
    assert_int_equal(c.used, 0);
}

static void a_warning_is_given_once_a_period(void **state)
{
    const struct rule r = {.metric = METRIC_TOKENS, .shape = SHAPE_CALENDAR, .unit = CALENDAR_DAY, .amount = 100, .warn_percent = 80};
    struct counter c = counter_new(&r, 1000, 1);
    (void)state;
    counter_charge(&c, 79);
    assert_false(counter_warns(&r, &c, 1000));
    counter_charge(&c, 1);
    assert_true(counter_warns(&r, &c, 1000));
    counter_charge(&c, 20);
    assert_false(counter_warns(&r, &c, 2000));
    counter_roll(&r, &c, DAY_MS, 9, 0);
    assert_int_equal(c.first, 9);
    counter_charge(&c, 80);
    assert_true(counter_warns(&r, &c, DAY_MS));
}

static void costs_round_up_once_and_never_wrap(void **state)
{
    const struct price p = {.known = true, .input = 150000000, .cached_input = 75000000, .cache_write = 187500000, .output = 600000000}, dear = {.known = true, .input = INT64_MAX, .cached_input = INT64_MAX, .cache_write = INT64_MAX, .output = INT64_MAX};
    (void)state;
    assert_int_equal(price_cost(&p, &(struct price_use){.prompt = 120, .cached = 20, .cache_write = 10, .completion = 80}),
                     90 * 150 + 20 * 75 + 1875 + 80 * 600);
    const struct price odd = {.known = true, .input = 333333, .cached_input = 0, .cache_write = 0, .output = 1};
    assert_int_equal(price_cost(&odd, &(struct price_use){.prompt = 3}), 1);
    assert_int_equal(price_cost(&odd, &(struct price_use){.prompt = 3, .completion = 1}), 1);
    assert_int_equal(price_cost(&odd, &(struct price_use){.prompt = 3, .completion = 2}), 2);
    assert_int_equal(price_cost(&odd, &(struct price_use){0}), 0);
    assert_int_equal(price_cost(&p, &(struct price_use){.prompt = 5, .cached = 9, .cache_write = 9}), 375);
    assert_int_equal(price_cost(&dear, &(struct price_use){.prompt = INT64_MAX, .completion = INT64_MAX}), INT64_MAX);
    assert_int_equal(price_bound(&dear, INT64_MAX, INT64_MAX), INT64_MAX);
    assert_int_equal(price_cost(&(struct price){0}, &(struct price_use){.prompt = 1}), -1);
    assert_int_equal(price_bound(&p, 10, 10), 10 * 1875 / 10 + 6000); /* written to the cache is dearest */
}

static void what_fits_beside_a_prompt_is_the_most_that_fits(void **state)
{
    (void)state;
    srand(3);
    for (int i = 0; i < 5000; i++) {
        struct price p = {.known = true, .input = rand() % 3000000, .cached_input = rand() % 1000000, .cache_write = rand() % 4000000, .output = 1 + rand() % 5000000};
        int64_t prompt = rand() % 100, left = rand() % 1000, most = price_room(&p, prompt, left);
        if (most >= 0) assert_true(price_bound(&p, prompt, most) <= left);
        assert_true(price_bound(&p, prompt, most + 1) > left);
    }
    assert_int_equal(price_room(&(struct price){.known = true}, 5, 0), INT64_MAX);
    assert_int_equal(price_room(&(struct price){.known = true, .input = 1, .cached_input = 1, .cache_write = 1, .output = 1}, INT64_MAX, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_month_ends_where_it_ends),
        cmocka_unit_test(months_are_the_c_library_s),
        cmocka_unit_test(many_small_refills_are_one_large_one),
        cmocka_unit_test(a_clock_that_steps_back_gains_nothing),
        cmocka_unit_test(a_bucket_waits_exactly_as_long_as_it_must),
        cmocka_unit_test(a_bucket_takes_back_no_more_than_it_gave),
        cmocka_unit_test(a_window_s_charge_leaves_late_by_a_slot_at_most_and_never_early),
        cmocka_unit_test(nothing_wraps_near_the_largest_number),
        cmocka_unit_test(a_warning_is_given_once_a_period),
        cmocka_unit_test(costs_round_up_once_and_never_wrap),
        cmocka_unit_test(what_fits_beside_a_prompt_is_the_most_that_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
