/* Blocks: taken and given by any thread, the pool there until the last is back (the ASan run sees). */
#include "fcgi/base/blocks.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void the_block_used_last_comes_first_and_so_many_are_kept(void **state)
{
    (void)state;
    void *at[3];
    bool is_new;
    struct blocks *b = blocks_new(64, 2, NULL);
    for (int i = 0; i < 3; i++) memset(at[i] = blocks_take(b, &is_new), i, 64);
    assert_true(is_new);
    for (int i = 0; i < 3; i++) blocks_give(b, at[i]); /* the third is one too many */
    for (int i = 1; i >= 0; i--) {
        void *again = blocks_take(b, &is_new);
        if (KEEPS) assert_ptr_equal(again, at[i]);
        assert_int_equal(is_new, !KEEPS);
        at[i] = again;
    }
    blocks_give(b, at[0]);
    blocks_give(b, at[1]);
    blocks_end(b);
    blocks_end(NULL);
}

static void a_block_outlives_its_pool_s_owner(void **state)
{
    (void)state;
    bool is_new;
    struct blocks *b = blocks_new(64, 2, NULL);
    void *one = blocks_take(b, &is_new), *two = blocks_take(b, &is_new);
    blocks_end(b);
    memset(one, 1, 64);
    blocks_give(b, one);
    memset(two, 2, 64);
    blocks_give(b, two);
}

static int undone;
static void undo(void *block) { undone += *(int *)block; }

static void what_a_block_holds_is_undone_before_it_is_freed(void **state)
{
    (void)state;
    int *at[3];
    bool is_new;
    struct blocks *b = blocks_new(64, 2, undo);
    for (int i = 0; i < 3; i++) *(at[i] = blocks_take(b, &is_new)) = 1;
    blocks_give(b, at[0]), blocks_give(b, at[1]);
    assert_int_equal(undone, KEEPS ? 0 : 2);
    blocks_give(b, at[2]); /* one too many */
    assert_int_equal(undone, KEEPS ? 1 : 3);
    blocks_end(b);
    assert_int_equal(undone, 3);
}

static void *takes_and_gives(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        bool is_new;
        uintptr_t *block = blocks_take(arg, &is_new);
        block[0] = block[7] = (uintptr_t)&block;
        assert_int_equal(block[0], block[7]);
        blocks_give(arg, block);
    }
    return NULL;
}

static void threads_share_them(void **state)
{
    (void)state;
    pthread_t t[4];
    struct blocks *b = blocks_new(64, 2, NULL);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, takes_and_gives, b), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    blocks_end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_block_used_last_comes_first_and_so_many_are_kept),
        cmocka_unit_test(a_block_outlives_its_pool_s_owner),
        cmocka_unit_test(what_a_block_holds_is_undone_before_it_is_freed),
        cmocka_unit_test(threads_share_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
