/* Strategies: whatever the order, every target and every key stands in it once; and the shares, turns and ranks are those
 * that were asked for. Chance is seeded. */
#include "fcgi/stage/order.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define MOST 12

static const char *const strategies[] = {"priority", "weighted", "round_robin", "least_latency", "cheapest", "unheard-of"};
static const char *const key_strategies[] = {"priority", "round_robin", "least_used"};

static struct target_row rows[MOST];
static struct upstream_key keys[MOST];

static void fill(struct dice *d, struct target_choice *list, int count)
{
    for (int i = 0; i < count; i++) {
        rows[i] = (struct target_row){.model = "m", .weight = 1 + (int64_t)dice_below(d, 1000000)};
        list[i] = (struct target_choice){&rows[i], (int64_t)dice_below(d, 50) - 1, (int64_t)dice_below(d, 9)};
    }
}

static void each_stands_once(const struct target_choice *list, int count)
{
    unsigned seen = 0;
    for (int i = 0; i < count; i++) seen |= 1u << (list[i].row - rows);
    assert_int_equal(seen, (1u << count) - 1);
}

static void every_target_stands_in_every_order_once(void **state)
{
    struct dice d = {7};
    struct target_choice list[MOST];
    (void)state;
    for (int round = 0; round < 20000; round++) {
        int count = (int)dice_below(&d, MOST + 1);
        const char *strategy = strategies[round % 6];
        fill(&d, list, count);
        order_targets(strategy, dice_below(&d, UINT64_MAX), &d, list, count);
        each_stands_once(list, count);
    }
}

static void every_key_stands_in_every_order_once(void **state)
{
    struct dice d = {8};
    (void)state;
    for (int round = 0; round < 6000; round++) {
        int count = (int)dice_below(&d, MOST + 1);
        struct key_choice list[MOST];
        unsigned seen = 0;
        for (int i = 0; i < count; i++) list[i] = (struct key_choice){&keys[i], (int64_t)dice_below(&d, 3), (int64_t)dice_below(&d, 9)};
        order_keys(key_strategies[round % 3], dice_below(&d, UINT64_MAX), list, count);
        for (int i = 0; i < count; i++) seen |= 1u << (list[i].key - keys);
        assert_int_equal(seen, (1u << count) - 1);
        for (int i = 1; i < count && round % 3 == 2; i++) {
            bool right = list[i - 1].in_flight < list[i].in_flight ||
                         (list[i - 1].in_flight == list[i].in_flight && list[i - 1].requests <= list[i].requests);
            assert_true(right);
        }
    }
}

static void shares_follow_the_weights(void **state)
{
    struct dice d = {9};
    int first[3] = {0}, second_of_big = 0;
    (void)state;
    for (int round = 0; round < 30000; round++) {
        struct target_choice list[3];
        for (int i = 0; i < 3; i++) {
            rows[i] = (struct target_row){.weight = i == 0 ? 1 : i == 1 ? 3 : 6};
            list[i] = (struct target_choice){&rows[i], -1, 0};
        }
        order_targets("weighted", 0, &d, list, 3);
        first[list[0].row - rows]++;
        second_of_big += list[0].row == &rows[2] && list[1].row == &rows[1];
    }
    assert_in_range(first[0], 2700, 3300);
    assert_in_range(first[1], 8600, 9400);
    assert_in_range(first[2], 17500, 18500);
    assert_in_range(second_of_big * 100 / first[2], 72, 78); /* who is left draws by weight too */
}

static void turns_go_round(void **state)
{
    struct dice d = {10};
    (void)state;
    for (uint64_t turn = 0; turn < 9; turn++) {
        struct target_choice list[3];
        struct key_choice k[3];
        for (int i = 0; i < 3; i++) {
            list[i] = (struct target_choice){&rows[i], -1, 0};
            k[i] = (struct key_choice){&keys[i], 0, 0};
        }
        order_targets("round_robin", turn, &d, list, 3);
        order_keys("round_robin", turn, k, 3);
        for (uint64_t i = 0; i < 3; i++) {
            assert_ptr_equal(list[i].row, &rows[(turn + i) % 3]);
            assert_ptr_equal(k[i].key, &keys[(turn + i) % 3]);
        }
    }
}

/* The rest of the time somebody else goes first, so that what is slow now is measured again. */
static void the_fastest_is_first_but_for_one_request_in_twenty(void **state)
{
    struct dice d = {11};
    int fastest = 0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct target_choice list[4];
        static const int64_t ms[] = {300, 20, 900, 20};
        for (int i = 0; i < 4; i++) list[i] = (struct target_choice){&rows[i], ms[i], 0};
        order_targets("least_latency", 0, &d, list, 4);
        fastest += list[0].row == &rows[1];
    }
    assert_in_range(fastest, 19000, 19500); /* 95 % and a quarter of the rest */
}

static void who_is_unknown_is_tried_before_the_fastest(void **state)
{
    struct dice d = {1};
    struct target_choice list[2] = {{&rows[0], 5, 0}, {&rows[1], -1, 0}};
    (void)state;
    order_targets("least_latency", 0, &d, list, 2);
    assert_ptr_equal(list[0].row, &rows[1]);
}

static void cheap_ones_first_equals_as_they_stand_and_the_unpriced_last(void **state)
{
    struct dice d = {12};
    struct target_choice list[4] = {{&rows[0], -1, INT64_MAX}, {&rows[1], -1, 70}, {&rows[2], -1, 7}, {&rows[3], -1, 70}};
    (void)state;
    order_targets("cheapest", 0, &d, list, 4);
    assert_ptr_equal(list[0].row, &rows[2]);
    assert_ptr_equal(list[1].row, &rows[1]);
    assert_ptr_equal(list[2].row, &rows[3]);
    assert_ptr_equal(list[3].row, &rows[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_target_stands_in_every_order_once),
        cmocka_unit_test(every_key_stands_in_every_order_once),
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(turns_go_round),
        cmocka_unit_test(the_fastest_is_first_but_for_one_request_in_twenty),
        cmocka_unit_test(who_is_unknown_is_tried_before_the_fastest),
        cmocka_unit_test(cheap_ones_first_equals_as_they_stand_and_the_unpriced_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
