/* Tallies: each name has its own, for as long as anybody would miss it, and memory is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "sql/tally.c"

static void each_name_has_its_own_whatever_comes_between(void **state)
{
    struct tallies all = {0};
    char name[32];
    (void)state;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "m%d", i);
        tallies_find(&all, i % 2 ? HEALTH_KEY : HEALTH_TARGET, "p", name)->turn = (uint64_t)i + 1;
    }
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "m%d", i);
        assert_int_equal(tallies_find(&all, i % 2 ? HEALTH_KEY : HEALTH_TARGET, "p", name)->turn, i + 1);
    }
    assert_int_equal(all.count, 3000);
    tallies_find(&all, HEALTH_KEY, "pm", "1")->turn = 7; /* not provider "p", name "m1" */
    assert_int_equal(tallies_find(&all, HEALTH_KEY, "p", "m1")->turn, 2);
    assert_int_equal(tallies_find(&all, HEALTH_TARGET, "p", "m1")->turn, 0);
    assert_int_equal(tallies_find(&all, HEALTH_TARGET, "new", "")->latency_ms, -1);
    tallies_end(&all);
    assert_int_equal(all.size, 0);
}

/* However many names come by, those in use are kept; only a table full of them takes no more. */
static void what_nobody_would_miss_makes_room(void **state)
{
    struct tallies all = {0};
    char name[32];
    (void)state;
    tallies_find(&all, HEALTH_KEY, "p", "in flight")->in_flight = 1;
    tallies_find(&all, HEALTH_KEY, "p", "not flushed")->requests = 3;
    tallies_find(&all, HEALTH_KEY, "p", "spared")->spare_until = clock_mono_ms() + 3600000;
    tallies_find(&all, HEALTH_KEY, "p", "spared no more")->spare_until = clock_mono_ms();
    for (int i = 0; i < 5 * BOUND_TALLIES; i++) {
        snprintf(name, sizeof name, "m%d", i);
        assert_non_null(tallies_find(&all, HEALTH_TARGET, "p", name));
        assert_true(all.count <= BOUND_TALLIES);
    }
    assert_int_equal(tallies_find(&all, HEALTH_KEY, "p", "in flight")->in_flight, 1);
    assert_int_equal(tallies_find(&all, HEALTH_KEY, "p", "not flushed")->requests, 3);
    assert_true(tallies_find(&all, HEALTH_KEY, "p", "spared")->spare_until > 0);
    assert_int_equal(tallies_find(&all, HEALTH_KEY, "p", "spared no more")->spare_until, 0);
    for (int i = 0; i < 2 * BOUND_TALLIES; i++) {
        snprintf(name, sizeof name, "busy%d", i);
        struct tally *t = tallies_find(&all, HEALTH_TARGET, "p", name);
        if (t) t->in_flight = 1;
        assert_true(t || all.count == BOUND_TALLIES);
    }
    assert_int_equal(all.count, BOUND_TALLIES);
    assert_null(tallies_find(&all, HEALTH_TARGET, "p", "one more"));
    tallies_find(&all, HEALTH_TARGET, "p", "busy0")->in_flight = 0;
    assert_non_null(tallies_find(&all, HEALTH_TARGET, "p", "one more"));
    tallies_end(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_has_its_own_whatever_comes_between),
        cmocka_unit_test(what_nobody_would_miss_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
