/* The circuit breaker against a model of its rules, over histories of any kind, clock steps among them. */
#include "sql/breaker.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static uint64_t seed;

static uint64_t below(uint64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % n;
}

/* ---- the model: the same rules told the long way, from the whole history ---- */

struct model {
    enum breaker_state state;
    int64_t failed[4000]; /* when, in a row and since it was last closed */
    int count;
    int64_t until, opens, trial_since, tried;
};

static bool model_due(const struct model *m, int64_t now)
{
    int64_t most = m->state == BREAKER_OPEN ? 300000 : 60000;
    return now >= m->until || m->until > now + most;
}

static enum breaker_may model_may(const struct model *m, int64_t now)
{
    if (m->state == BREAKER_CLOSED) return BREAKER_GO;
    if (model_due(m, now)) return BREAKER_CLAIM;
    return m->state == BREAKER_OPEN && (now >= m->tried + 1000 || now < m->tried) ? BREAKER_RESORT : BREAKER_WAIT;
}

static void model_open(struct model *m, int64_t now)
{
    int64_t ms = 10000;
    for (int64_t i = 0; i < m->opens && ms < 300000; i++) ms *= 2;
    m->state = BREAKER_OPEN;
    m->until = now + (ms > 300000 ? 300000 : ms);
    m->opens++;
    m->count = 0;
    m->tried = now;
}

static void model_bad(struct model *m, int64_t now)
{
    int recent = 0;
    if (m->state == BREAKER_OPEN) return;
    if (m->state == BREAKER_CLOSED && m->opens && (now >= m->trial_since + 300000 || now < m->trial_since)) m->opens = 0;
    m->failed[m->count++] = now;
    for (int i = m->count > 5 ? m->count - 5 : 0; i < m->count; i++) recent += m->failed[i] <= now && m->failed[i] >= now - 60000;
    if (m->state == BREAKER_HALF_OPEN || m->opens || recent == 5) model_open(m, now);
}

static void model_good(struct model *m, int64_t now, bool claimed)
{
    if (!claimed && m->state == BREAKER_OPEN && !model_due(m, now)) return;
    *m = (struct model){.state = BREAKER_CLOSED};
}

static bool model_claim(struct model *m, int64_t now)
{
    if (model_may(m, now) == BREAKER_RESORT) {
        m->tried = now;
        return true;
    }
    if (model_may(m, now) != BREAKER_CLAIM) return false;
    m->state = BREAKER_HALF_OPEN;
    m->until = now + 60000;
    return true;
}

static void model_trial(struct model *m, int64_t now)
{
    if (m->state == BREAKER_CLOSED) return;
    m->state = BREAKER_CLOSED;
    m->count = 0;
    m->until = 0;
    m->trial_since = now;
}

static void both_agree(const struct breaker *b, const struct model *m, int64_t now)
{
    assert_int_equal(b->state, m->state);
    assert_int_equal(breaker_may(b, now), model_may(m, now));
    if (b->state != BREAKER_CLOSED) assert_int_equal(b->until, m->until);
}

static int64_t pass_time(int64_t now)
{
    switch (below(12)) {
    case 0: return now + (int64_t)below(400000);
    case 1: return now - (int64_t)below(400000); /* the clock is set back */
    case 2: return now + 10000;
    case 3: return now + 60000;
    default: return now + (int64_t)below(9000);
    }
}

static void the_breaker_does_what_the_rules_say(void **state)
{
    (void)state;
    for (uint64_t history = 0; history < 400; history++) {
        struct breaker b = {0};
        struct model m = {.state = BREAKER_CLOSED};
        int64_t now = 1000000000000;
        seed = history;
        uint64_t luck = 2 + below(12);
        for (int i = 0; i < 1500; i++) {
            now = pass_time(now);
            switch (below(luck)) {
            case 0: {
                bool claimed = below(2);
                breaker_good(&b, now, claimed);
                model_good(&m, now, claimed);
                break;
            }
            case 1: assert_int_equal(breaker_claim(&b, now), model_claim(&m, now)); break;
            case 2: if (below(20) == 0) { breaker_trial(&b, now); model_trial(&m, now); } break;
            default: breaker_bad(&b, now); model_bad(&m, now); break;
            }
            both_agree(&b, &m, now);
        }
    }
}

/* ---- the rules one by one ---- */

static void five_in_a_row_within_a_minute_open_it_and_four_do_not(void **state)
{
    struct breaker b = {0};
    (void)state;
    for (int64_t t = 1000; t < 5000; t += 1000) {
        breaker_bad(&b, t);
        assert_int_equal(breaker_may(&b, t), BREAKER_GO);
    }
    breaker_bad(&b, 5000);
    assert_int_equal(breaker_may(&b, 5999), BREAKER_WAIT);
    assert_int_equal(breaker_may(&b, 14999), BREAKER_RESORT);
    assert_int_equal(breaker_may(&b, 15000), BREAKER_CLAIM);
}

static void the_minute_slides(void **state)
{
    struct breaker b = {0};
    static const int64_t at[] = {1000, 50000, 55000, 58000, 61001, 61002};
    (void)state;
    for (int i = 0; i < 5; i++) breaker_bad(&b, at[i]);
    assert_int_equal(breaker_may(&b, 61001), BREAKER_GO);
    breaker_bad(&b, at[5]);
    assert_int_equal(breaker_may(&b, 61002), BREAKER_WAIT);
}

static void a_success_begins_the_row_again(void **state)
{
    struct breaker b = {0};
    (void)state;
    for (int i = 0; i < 4; i++) breaker_bad(&b, 1000);
    assert_true(breaker_good(&b, 1000, false));
    assert_false(breaker_good(&b, 1000, false)); /* of which nobody need be told */
    for (int i = 0; i < 4; i++) breaker_bad(&b, 1000);
    assert_int_equal(breaker_may(&b, 1000), BREAKER_GO);
}

static void one_probe_at_a_time_and_pauses_that_double_to_five_minutes(void **state)
{
    struct breaker b = {0};
    static const int64_t s[] = {10, 20, 40, 80, 160, 300, 300, 300};
    int64_t now = 1000;
    (void)state;
    for (int i = 0; i < 5; i++) breaker_bad(&b, now);
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        assert_int_equal(b.until - now, s[i] * 1000);
        now = b.until;
        assert_true(breaker_claim(&b, now));
        assert_false(breaker_claim(&b, now));
        assert_int_equal(breaker_may(&b, now), BREAKER_WAIT);
        breaker_bad(&b, now);
    }
    now = b.until;
    assert_true(breaker_claim(&b, now));
    breaker_good(&b, now, false);
    assert_int_equal(breaker_may(&b, now), BREAKER_GO);
    for (int i = 0; i < 5; i++) breaker_bad(&b, now);
    assert_int_equal(b.until - now, 10000);
}

static void a_probe_that_nobody_tells_of_is_somebody_else_s_after_a_minute(void **state)
{
    struct breaker b = {0};
    (void)state;
    for (int i = 0; i < 5; i++) breaker_bad(&b, 1000);
    assert_true(breaker_claim(&b, 11000));
    assert_int_equal(breaker_may(&b, 70999), BREAKER_WAIT);
    assert_true(breaker_claim(&b, 71000));
    breaker_unclaim(&b, 71001);
    assert_true(breaker_claim(&b, 71001));
}

static void on_trial_one_failure_is_enough(void **state)
{
    struct breaker b = {0};
    (void)state;
    for (int i = 0; i < 5; i++) breaker_bad(&b, 1000);
    assert_true(breaker_trial(&b, 11000));
    assert_int_equal(breaker_may(&b, 11000), BREAKER_GO);
    breaker_bad(&b, 12000);
    assert_int_equal(b.until, 12000 + 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_breaker_does_what_the_rules_say),
        cmocka_unit_test(five_in_a_row_within_a_minute_open_it_and_four_do_not),
        cmocka_unit_test(the_minute_slides),
        cmocka_unit_test(a_success_begins_the_row_again),
        cmocka_unit_test(one_probe_at_a_time_and_pauses_that_double_to_five_minutes),
        cmocka_unit_test(a_probe_that_nobody_tells_of_is_somebody_else_s_after_a_minute),
        cmocka_unit_test(on_trial_one_failure_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
