/* Who is asked next: everybody once before anybody twice, nobody twice whom a second try does not help, nobody after the
 * deadline, and no pause that is too long to be kept waiting for. */
#include "fcgi/stage/queue.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define MOST 8

static struct arena memory;
static int64_t now;
static struct provider_row providers[3];
static struct upstream_key keys[3];
static struct target targets[MOST];

static int64_t mono_ms(void) { return now; }

static int set_up(void **state)
{
    (void)state;
    now = 1000;
    clock_replace(NULL, mono_ms);
    arena_init(&memory);
    for (int i = 0; i < MOST; i++) targets[i] = (struct target){.provider = &providers[i % 3], .key = &keys[i % 2], .model = "m"};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_end(&memory);
    clock_replace(NULL, NULL);
    return 0;
}

static struct queue of(int count, int64_t retries)
{
    struct queue q;
    assert_true(queue_start(&q, targets, count, retries, 600000, &memory));
    return q;
}

static int next(struct queue *q)
{
    int64_t pause;
    int i = queue_next(q, &pause);
    if (i >= 0) now += pause;
    return i;
}

static void everybody_is_asked_once_before_anybody_twice(void **state)
{
    (void)state;
    for (int count = 0; count <= MOST; count++)
        for (int64_t retries = 0; retries < 5; retries++) {
            struct queue q = of(count, retries);
            int64_t pause;
            now = 1000;
            for (int i = 0; i < count; i++) {
                assert_true(queue_has_fresh(&q));
                assert_int_equal(queue_next(&q, &pause), i);
                assert_int_equal(pause, 0);
                queue_note(&q, i, TROUBLE_BROKEN, 0);
            }
            assert_false(queue_has_fresh(&q));
            int again = 0, tried[MOST] = {0};
            for (int i; (i = next(&q)) >= 0; again++, queue_note(&q, i, TROUBLE_BROKEN, 0)) tried[i]++;
            assert_int_equal(again, count ? retries : 0);
            for (int i = 0; i < count; i++) assert_true(tried[i] <= retries / count + 1);
        }
}

static void only_what_may_pass_is_tried_again(void **state)
{
    static const struct { enum trouble trouble; bool again; } all[] = {
        {TROUBLE_UNREACHED, true}, {TROUBLE_BROKEN, true}, {TROUBLE_LIMITED, true}, {TROUBLE_QUOTA, false}, {TROUBLE_KEY, false},
        {TROUBLE_UNKNOWN, false}, {TROUBLE_OURS, false}, {TROUBLE_NONE, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct queue q = of(1, 2);
        assert_int_equal(next(&q), 0);
        queue_note(&q, 0, all[i].trouble, 0);
        assert_int_equal(next(&q), all[i].again ? 0 : -1);
    }
}

static void a_refused_key_is_out_for_all_of_its_models(void **state)
{
    struct queue q = of(MOST, 2);
    (void)state;
    assert_int_equal(next(&q), 0);
    queue_note(&q, 0, TROUBLE_KEY, 0);
    for (int want = 1; want < MOST; want++)
        if (want % 3 || want % 2) assert_int_equal(next(&q), want); /* 6 has the key and the provider of 0 */
    assert_int_equal(next(&q), -1);
}

static void who_asks_for_time_gets_it_unless_it_is_long(void **state)
{
    int64_t pause;
    struct queue q = of(2, 3);
    (void)state;
    next(&q);
    queue_note(&q, 0, TROUBLE_LIMITED, 5000);
    next(&q);
    queue_note(&q, 1, TROUBLE_LIMITED, 3000);
    assert_int_equal(queue_next(&q, &pause), 1); /* the one that may be asked sooner */
    assert_in_range(pause, 3000, WAIT_MOST_MS);
    queue_note(&q, 1, TROUBLE_LIMITED, 60000);
    assert_int_equal(queue_next(&q, &pause), 0);
    queue_note(&q, 0, TROUBLE_LIMITED, WAIT_MOST_MS + 1);
    assert_int_equal(queue_next(&q, &pause), -1);
}

static void nothing_begins_behind_the_deadline(void **state)
{
    struct queue q = of(3, 2);
    (void)state;
    assert_int_equal(next(&q), 0);
    now = 600000;
    assert_int_equal(next(&q), -1);
    q = of(1, 2);
    now = 600000 - 10;
    assert_int_equal(next(&q), 0);
    queue_note(&q, 0, TROUBLE_BROKEN, 10);
    assert_int_equal(next(&q), -1);
}

static void pauses_grow_and_are_never_the_same_for_all(void **state)
{
    int64_t most[3] = {0}, least[3] = {INT64_MAX, INT64_MAX, INT64_MAX};
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct queue q = of(1, 3);
        int64_t pause;
        now = 1000;
        queue_next(&q, &pause);
        for (int k = 0; k < 3; k++) {
            queue_note(&q, 0, TROUBLE_BROKEN, 0);
            assert_int_equal(queue_next(&q, &pause), 0);
            if (pause > most[k]) most[k] = pause;
            if (pause < least[k]) least[k] = pause;
        }
    }
    for (int k = 0; k < 3; k++) {
        assert_in_range(most[k], (BACKOFF_MS << k) * 8 / 10, BACKOFF_MS << k);
        assert_true(least[k] < (BACKOFF_MS << k) / 5);
    }
}

#define QUEUED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUED(everybody_is_asked_once_before_anybody_twice),
        QUEUED(only_what_may_pass_is_tried_again),
        QUEUED(a_refused_key_is_out_for_all_of_its_models),
        QUEUED(who_asks_for_time_gets_it_unless_it_is_long),
        QUEUED(nothing_begins_behind_the_deadline),
        QUEUED(pauses_grow_and_are_never_the_same_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
