/* One-time codes are those of RFC 6238, for a minute and a half, and a secret's text is read as it was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "admin/totp.c"

static const struct span key = {"12345678901234567890", 20}; /* RFC 6238, appendix B */

static void codes_are_those_of_the_standard(void **state)
{
    static const struct { int64_t s; const char *code; } known[] = {
        {1111111109, "081804"}, {1111111111, "050471"}, {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int64_t step = 0;
        assert_true(totp_fits(key, known[i].code, known[i].s * 1000, &step));
        assert_int_equal(step, known[i].s / 30);
        assert_true(totp_fits(key, known[i].code, (known[i].s / 30 + 1) * 30000 + 29999, &step));
        assert_true(totp_fits(key, known[i].code, (known[i].s / 30 - 1) * 30000, &step));
        assert_int_equal(step, known[i].s / 30);
        assert_false(totp_fits(key, known[i].code, (known[i].s / 30 + 2) * 30000, &step));
        assert_false(totp_fits(key, known[i].code, (known[i].s / 30 - 1) * 30000 - 1, &step));
    }
}

static void what_is_no_code_fits_never(void **state)
{
    static const char *const bad[] = {"", "28708", "2870820", "287083", "28708a", "      ", "-87082"};
    int64_t step;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(totp_fits(key, bad[i], 59000, &step));
    assert_true(totp_fits(key, " 287 082 ", 59000, &step));
}

static void a_secret_is_read_as_it_was_written(void **state)
{
    static const char *const bad[] = {"", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQG",
                                      "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ="};
    unsigned char read[TOTP_KEY];
    char made[TOTP_TEXT + 1], other[TOTP_TEXT + 1];
    (void)state;
    assert_int_equal(secret_start(), WEIR_OK);
    assert_true(totp_read("gezd gnbv gy3t qojq GEZDGNBVGY3TQOJQ", read));
    assert_memory_equal(read, key.at, TOTP_KEY);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(totp_read(bad[i], read));
    totp_make(made);
    totp_make(other);
    assert_true(totp_read(made, read));
    assert_string_not_equal(made, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_the_standard),
        cmocka_unit_test(what_is_no_code_fits_never),
        cmocka_unit_test(a_secret_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
