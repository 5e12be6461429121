/* The libjwt door: a key verifies what its own method signed, and libjwt's kindness (WIRE.md 7) opens nothing. */
#include "fcgi/door/jwt.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/token_keys.h"

static const char secret[] = "a secret of 32 characters or so";

/* A token made by libjwt itself. alg none: unsigned. */
static char *made(jwt_alg_t alg, const char *key)
{
    jwt_t *jwt;
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grant(jwt, "sub", "ada"), 0);
    if (alg != JWT_ALG_NONE) assert_int_equal(jwt_set_alg(jwt, alg, (const unsigned char *)key, (int)strlen(key)), 0);
    char *text = jwt_encode_str(jwt);
    assert_non_null(text);
    jwt_free(jwt);
    return text;
}

static void each_method_takes_its_own_and_no_other(void **state)
{
    char *tokens[3] = {made(JWT_ALG_HS256, secret), made(JWT_ALG_HS384, secret), made(JWT_ALG_HS512, secret)};
    (void)state;
    for (int t = 0; t < 3; t++)
        for (int m = 0; m < JWT_METHODS; m++)
            assert_int_equal(jwt_is_signed(tokens[t], (enum jwt_method)m, span_of(secret)), t == m);
    assert_false(jwt_is_signed(tokens[0], JWT_HS256, SPAN("a secret of 32 characters or s")));
    assert_false(jwt_is_signed(tokens[0], JWT_HS256, SPAN("a secret of 32 characters or so ")));
    for (int t = 0; t < 3; t++) free(tokens[t]);
    static const struct { const char *token, *pem; enum jwt_method m; } all[] = {
        {RS256_TOKEN, RS256_PEM, JWT_RS256}, {ES256_TOKEN, ES256_PEM, JWT_ES256}, {ES384_TOKEN, ES384_PEM, JWT_ES384}, {ES512_TOKEN, ES512_PEM, JWT_ES512}};
    for (int t = 0; t < 4; t++)
        for (int k = 0; k < 4; k++)
            for (int m = 0; m < JWT_METHODS; m++)
                assert_int_equal(jwt_is_signed(all[t].token, (enum jwt_method)m, span_of(all[k].pem)), t == k && (int)all[t].m == m);
}

static void without_a_key_nothing_is_signed(void **state)
{
    char *none = made(JWT_ALG_NONE, NULL), *good = made(JWT_ALG_HS256, secret);
    (void)state;
    for (int m = 0; m < JWT_METHODS; m++) {
        assert_false(jwt_is_signed(good, (enum jwt_method)m, SPAN_NONE));
        assert_false(jwt_is_signed(good, (enum jwt_method)m, SPAN("")));
        assert_false(jwt_is_signed(none, (enum jwt_method)m, SPAN_NONE));
        assert_false(jwt_is_signed(none, (enum jwt_method)m, span_of(secret)));
        assert_false(jwt_is_signed(none, (enum jwt_method)m, SPAN(RS256_PEM)));
    }
    free(none);
    free(good);
}

/* libjwt by itself takes this one: signed by HMAC with the text of the public key. */
static void a_public_key_is_no_secret(void **state)
{
    char *confused = made(JWT_ALG_HS256, RS256_PEM);
    jwt_t *jwt = NULL;
    (void)state;
    assert_int_equal(jwt_decode(&jwt, confused, (const unsigned char *)RS256_PEM, (int)strlen(RS256_PEM)), 0);
    jwt_free(jwt);
    assert_false(jwt_is_signed(confused, JWT_RS256, SPAN(RS256_PEM)));
    free(confused);
}

static void what_is_no_token_is_not_signed(void **state)
{
    static const char *const bad[] = {"", ".", "..", "...", "a.b.c", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.", "eyJhbGciOiJIUzI1NiJ9..", "eyJhbGciOiJIUzI1NiJ9.e30.",
                                      "bnVsbA.e30.AAAA", "W10.e30.AAAA", "e30.e30.AAAA", "eyJhbGciOjF9.e30.AAAA", "eyJhbGciOiJIUzI1NiJ9=.e30.AAAA"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(jwt_is_signed(bad[i], JWT_HS256, span_of(secret)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_method_takes_its_own_and_no_other),
        cmocka_unit_test(without_a_key_nothing_is_signed),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(what_is_no_token_is_not_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
