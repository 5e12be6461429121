/* The arena: memory is zeroed and apart, disposers run once and backwards, nothing is leaked (the ASan run sees). */
#include "fcgi/base/arena.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    char *at[300];
    for (size_t i = 0; i < 300; i++) {
        size_t size = i % 50 == 49 ? 20000 : i;
        at[i] = arena_alloc(&a, size);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(at[i][k], 0);
        memset(at[i], (int)i, size);
    }
    for (size_t i = 1; i < 300; i++)
        assert_int_equal((unsigned char)at[i][0], i & 0xFF);
    arena_end(&a);
    arena_end(&a);
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 1));
    arena_end(&a);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX / 2 + 1));
    assert_null(arena_str(&a, (struct span){"", SIZE_MAX}));
    arena_end(&a);
}

static void texts_are_copied(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    assert_string_equal(arena_str(&a, (struct span){"hello", 4}), "hell");
    assert_string_equal(arena_str(&a, SPAN("")), "");
    assert_null(arena_str(&a, SPAN_NONE));
    assert_string_equal(arena_printf(&a, "%s/%d", "a", 7), "a/7");
    arena_end(&a);
}

static void memory_that_is_given_is_used_first_and_again(void **state)
{
    (void)state;
    struct arena a;
    _Alignas(max_align_t) char room[1000];
    arena_init_in(&a, room, sizeof room);
    for (int turn = 0; turn < 3; turn++) {
        char *first = arena_alloc(&a, 100), *large = arena_alloc(&a, 20000), *small = arena_alloc(&a, 100);
        assert_ptr_equal(first, room + sizeof(struct arena_block));
        assert_true(small > room && small < room + sizeof room);
        memset(first, 1, 100), memset(large, 2, 20000), memset(small, 3, 100);
        for (int i = 0; i < 10; i++) memset(arena_alloc(&a, 200), 4, 200);
        assert_int_equal(first[99], 1);
        assert_int_equal(large[19999], 2);
        assert_int_equal(small[0], 3);
        arena_end(&a);
        assert_int_equal(a.used, 0);
    }
    arena_init_in(&a, room, 8); /* too small to be of use */
    assert_non_null(arena_alloc(&a, 8));
    arena_end(&a);
}

struct trace { char at[8]; size_t n; };
struct mark { struct trace *trace; char name; struct arena *more; };

static void leave_mark(void *arg)
{
    struct mark *m = arg;
    m->trace->at[m->trace->n++] = m->name;
    if (m->more) {
        struct arena *a = m->more;
        m->more = NULL;
        m->name = '+';
        arena_defer(a, leave_mark, m);
    }
}

static void disposers_run_backwards_and_once(void **state)
{
    (void)state;
    struct trace trace = {.n = 0};
    struct arena a;
    arena_init(&a);
    struct mark one = {&trace, '1', NULL}, two = {&trace, '2', &a}, three = {&trace, '3', NULL};
    assert_true(arena_defer(&a, leave_mark, &one));
    assert_true(arena_defer(&a, leave_mark, &two));
    assert_true(arena_defer(&a, leave_mark, &three));
    arena_end(&a);
    arena_end(&a);
    assert_string_equal(trace.at, "32+1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(memory_that_is_given_is_used_first_and_again),
        cmocka_unit_test(disposers_run_backwards_and_once),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
