/* Buffers: the ceiling holds, failures stick, nothing is half written. */
#include "fcgi/base/buf.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void grows_to_its_ceiling_and_no_further(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10000);
    assert_null(b.at);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_char(&b, (char)('a' + i % 26)), WEIR_OK);
    assert_int_equal(b.cap, 10000);
    assert_int_equal(buf_char(&b, 'x'), WEIR_FULL);
    assert_int_equal(b.len, 10000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(b.at[i], 'a' + i % 26);
    buf_free(&b);
    buf_free(&b);
    assert_int_equal(b.max, 10000);
}

static void small_texts_take_one_allocation(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < BOUND_BUF_START; i++) buf_char(&b, 'x');
    assert_int_equal(b.cap, BOUND_BUF_START);
    buf_char(&b, 'x');
    assert_int_equal(b.cap, 2 * BOUND_BUF_START);
    buf_free(&b);
}

static void failure_sticks_until_cleared(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    buf_str(&b, "abc");
    assert_int_equal(buf_str(&b, "de"), WEIR_FULL);
    assert_int_equal(buf_char(&b, 'd'), WEIR_FULL);
    assert_int_equal(buf_printf(&b, "%d", 1), WEIR_FULL);
    assert_null(buf_room(&b, 0));
    assert_string_equal(buf_cstr(&b), "");
    assert_int_equal(b.len, 3);
    buf_clear(&b);
    assert_int_equal(buf_str(&b, "wxyz"), WEIR_OK);
    assert_string_equal(buf_cstr(&b), "wxyz");
    buf_free(&b);
}

static void huge_lengths_do_not_wrap(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    buf_str(&b, "abc");
    assert_null(buf_room(&b, SIZE_MAX));
    assert_int_equal(b.err, WEIR_FULL);
    buf_free(&b);
    buf_init(&b, SIZE_MAX);
    assert_null(buf_room(&b, SIZE_MAX));
    assert_int_equal(b.err, WEIR_NOMEM);
    buf_free(&b);
}

static void numbers_and_formats_are_exact(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_string_equal(buf_cstr(&b), "");
    buf_int(&b, 0);
    buf_char(&b, ' ');
    buf_int(&b, INT64_MIN);
    buf_char(&b, ' ');
    buf_int(&b, INT64_MAX);
    assert_string_equal(buf_cstr(&b), "0 -9223372036854775808 9223372036854775807");
    buf_clear(&b);
    buf_printf(&b, "%s-%*d", "x", 5000, 7);
    assert_int_equal(b.len, 5002);
    assert_int_equal(b.at[5001], '7');
    buf_free(&b);
}

static void exact_fit_takes_a_format(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 5);
    assert_int_equal(buf_printf(&b, "%s", "12345"), WEIR_OK);
    assert_string_equal(buf_cstr(&b), "12345");
    buf_free(&b);
}

static void dropping_keeps_the_rest(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    buf_drop(&b, 0);
    buf_str(&b, "hello world");
    buf_drop(&b, 6);
    assert_true(span_is(buf_all(&b), "world"));
    buf_drop(&b, 5);
    assert_int_equal(b.len, 0);
    assert_true(span_is(buf_all(&b), ""));
    buf_free(&b);
}

static void room_is_written_then_counted(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    char *room = buf_room(&b, 8);
    assert_non_null(room);
    memcpy(room, "abcdefgh", 8);
    buf_added(&b, 3);
    assert_true(span_is(buf_all(&b), "abc"));
    assert_int_equal(buf_span(&b, SPAN_NONE), WEIR_OK);
    buf_free(&b);
}

static void memory_that_is_given_is_used_until_it_is_outgrown(void **state)
{
    (void)state;
    struct buf b;
    char room[9] = "";
    buf_init_in(&b, room, sizeof room, 100);
    assert_string_equal(buf_cstr(&b), "");
    assert_int_equal(buf_str(&b, "12345678"), WEIR_OK);
    assert_ptr_equal(b.at, room);
    assert_string_equal(buf_cstr(&b), "12345678");
    assert_int_equal(buf_char(&b, '9'), WEIR_OK);
    assert_ptr_not_equal(b.at, room);
    assert_string_equal(buf_cstr(&b), "123456789");
    for (int i = 9; i < 100; i++) assert_int_equal(buf_char(&b, 'x'), WEIR_OK);
    assert_int_equal(buf_char(&b, 'x'), WEIR_FULL);
    assert_memory_equal(b.at, "123456789xx", 11);
    buf_free(&b);
    assert_int_equal(buf_str(&b, "again"), WEIR_OK);
    buf_free(&b);
    buf_init_in(&b, room, sizeof room, 4); /* its ceiling is lower */
    assert_int_equal(buf_str(&b, "1234"), WEIR_OK);
    assert_int_equal(buf_char(&b, '5'), WEIR_FULL);
    buf_free(&b);
    buf_init_in(&b, NULL, sizeof room, 100);
    assert_int_equal(buf_printf(&b, "%d", 12), WEIR_OK);
    assert_string_equal(buf_cstr(&b), "12");
    buf_free(&b);
    buf_init_in(&b, room, sizeof room, 100);
    assert_int_equal(buf_printf(&b, "%s", "longer than room"), WEIR_OK);
    assert_string_equal(buf_cstr(&b), "longer than room");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_is_given_is_used_until_it_is_outgrown),
        cmocka_unit_test(grows_to_its_ceiling_and_no_further),
        cmocka_unit_test(failure_sticks_until_cleared),
        cmocka_unit_test(huge_lengths_do_not_wrap),
        cmocka_unit_test(numbers_and_formats_are_exact),
        cmocka_unit_test(exact_fit_takes_a_format),
        cmocka_unit_test(dropping_keeps_the_rest),
        cmocka_unit_test(room_is_written_then_counted), cmocka_unit_test(small_texts_take_one_allocation),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
