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
    struct blocks *b = blocks_new(64, 2);
    for (int i = 0; i < 3; i++) memset(at[i] = blocks_take(b), i, 64);
    for (int i = 0; i < 3; i++) blocks_give(b, at[i]); /* the third is one too many */
    for (int i = 1; i >= 0; i--) {
        void *again = blocks_take(b);
        if (KEEPS) assert_ptr_equal(again, at[i]);
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
    struct blocks *b = blocks_new(64, 2);
    void *one = blocks_take(b), *two = blocks_take(b);
    blocks_end(b);
    memset(one, 1, 64);
    blocks_give(b, one);
    memset(two, 2, 64);
    blocks_give(b, two);
}

static void *takes_and_gives(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        uintptr_t *block = blocks_take(arg);
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
    struct blocks *b = blocks_new(64, 2);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, takes_and_gives, b), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    blocks_end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_block_used_last_comes_first_and_so_many_are_kept),
        cmocka_unit_test(a_block_outlives_its_pool_s_owner),
        cmocka_unit_test(threads_share_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
