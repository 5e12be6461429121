/* The brake: so many failures at once, so many a minute, for each address by itself, in a table that does not grow. */
#include "fcgi/stage/brake.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void so_many_at_once_and_then_one_by_one(void **state)
{
    struct brake *b = brake_new();
    const struct span ip = SPAN("192.0.2.1");
    int64_t now = 1;
    (void)state;
    for (int i = 0; i < BOUND_FAILURES; i++) {
        assert_int_equal(brake_wait_ms(b, ip, now), 0);
        brake_note(b, ip, now);
    }
    assert_int_equal(brake_wait_ms(b, ip, now), REFILL_MS);
    for (int i = 0; i < 100; i++) brake_note(b, ip, now); /* those that were let in at the same moment */
    int64_t wait = brake_wait_ms(b, ip, now);
    assert_true(wait > 0 && wait <= 2 * REFILL_MS);
    assert_int_equal(brake_wait_ms(b, ip, now + wait), 0);
    brake_note(b, ip, now + wait);
    assert_true(brake_wait_ms(b, ip, now + wait) > 0);
    now += 60000 + wait;
    for (int i = 0; i < BOUND_FAILURES - 1; i++) brake_note(b, ip, now);
    assert_int_equal(brake_wait_ms(b, ip, now), 0);
    brake_free(b);
}

static void addresses_are_counted_apart_and_ipv6_by_64_bits(void **state)
{
    struct brake *b = brake_new();
    (void)state;
    for (int i = 0; i < BOUND_FAILURES; i++) {
        brake_note(b, SPAN("192.0.2.1"), 1);
        brake_note(b, SPAN("2001:db8:0:1::1"), 1);
        brake_note(b, SPAN("nonsense"), 1);
    }
    assert_true(brake_wait_ms(b, SPAN("::ffff:192.0.2.1"), 1) > 0);
    assert_true(brake_wait_ms(b, SPAN("2001:db8:0:1:ffff::2"), 1) > 0);
    assert_true(brake_wait_ms(b, SPAN(""), 1) > 0);
    assert_int_equal(brake_wait_ms(b, SPAN("192.0.2.2"), 1), 0);
    assert_int_equal(brake_wait_ms(b, SPAN("2001:db8:0:2::1"), 1), 0);
    brake_free(b);
}

static void many_addresses_push_out_those_with_least_to_say(void **state)
{
    struct brake *b = brake_new();
    char ip[32];
    (void)state;
    for (int i = 0; i < BOUND_FAILURES; i++) brake_note(b, SPAN("192.0.2.1"), 1);
    for (int i = 0; i < 100 * BOUND_BRAKE; i++) {
        snprintf(ip, sizeof ip, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
        brake_note(b, span_of(ip), 1);
    }
    assert_true(brake_wait_ms(b, SPAN("192.0.2.1"), 1) > 0);
    brake_free(b);
    assert_int_equal(brake_wait_ms(NULL, SPAN("192.0.2.1"), 1), 0);
    brake_note(NULL, SPAN("192.0.2.1"), 1);
    brake_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_at_once_and_then_one_by_one),
        cmocka_unit_test(addresses_are_counted_apart_and_ipv6_by_64_bits),
        cmocka_unit_test(many_addresses_push_out_those_with_least_to_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
