/* Key sets: what is good for the method is taken out as PEM, all else is passed over, and what is no set is refused. */
#include "fcgi/provider/jwks.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/token_keys.h"

#define RSA_KEY "\"kty\":\"RSA\",\"n\":\"" RS256_N "\",\"e\":\"" RS256_E "\""
#define EC_KEY(crv, x, y) "\"kty\":\"EC\",\"crv\":\"" crv "\",\"x\":\"" x "\",\"y\":\"" y "\""

/* What is read of the set; NULL: refused. */
static const char *taken(struct buf *out, const char *set, enum jwt_method m)
{
    const char *fault = NULL;
    buf_clear(out);
    enum weir_err err = jwks_read(span_of(set), m, out, &fault);
    assert_true(err == WEIR_OK || (err == WEIR_INVALID && fault));
    return err == WEIR_OK ? buf_cstr(out) : NULL;
}

/* [{"kid":"k1","pem":PEM}] */
static void expect_one(struct buf *out, const char *set, enum jwt_method m, const char *pem)
{
    const char *text = taken(out, set, m);
    struct jval list, key;
    struct jfault fault;
    struct span none;
    assert_non_null(text);
    assert_int_equal(jscan_check(span_of(text), 4, &list, &fault), WEIR_OK);
    assert_int_equal(jscan_count(list), 1);
    struct jiter it = jscan_iter(list);
    assert_true(jscan_next(&it, &none, &key));
    assert_true(jval_is(jscan_find(key, "pem"), pem));
    assert_true(jval_is(jscan_find(key, "kid"), "k1"));
}

static void numbers_become_the_key_they_are(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, BOUND_KEY_SET);
    expect_one(&out, "{\"keys\":[{" RSA_KEY ",\"kid\":\"k1\"}]}", JWT_RS256, RS256_PEM);
    expect_one(&out, "{\"keys\":[{" RSA_KEY ",\"kid\":\"k1\",\"alg\":\"RS512\",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"]}]}", JWT_RS512, RS256_PEM);
    expect_one(&out, "{\"keys\":[{" EC_KEY("P-256", ES256_X, ES256_Y) ",\"kid\":\"k1\"}]}", JWT_ES256, ES256_PEM);
    expect_one(&out, "{\"keys\":[{" EC_KEY("P-384", ES384_X, ES384_Y) ",\"kid\":\"k1\"}]}", JWT_ES384, ES384_PEM);
    expect_one(&out, "{\"keys\":[{" EC_KEY("P-521", ES512_X, ES512_Y) ",\"kid\":\"k1\"}]}", JWT_ES512, ES512_PEM);
    assert_non_null(taken(&out, "{\"keys\":[{" RSA_KEY "}]}", JWT_RS256));
    assert_null(strstr(buf_cstr(&out), "kid"));
    buf_free(&out);
}

static void what_is_no_good_is_passed_over(void **state)
{
    static const char *const bad[] = {
        "1", "null", "\"k\"", "[]", "{}", "{\"kty\":\"RSA\"}", "{\"kty\":\"oct\",\"k\":\"AAAA\"}", "{" RSA_KEY ",\"use\":\"enc\"}", "{" RSA_KEY ",\"use\":null}",
        "{" RSA_KEY ",\"alg\":\"RS384\"}", "{" RSA_KEY ",\"alg\":\"HS256\"}", "{" RSA_KEY ",\"key_ops\":[\"encrypt\"]}", "{" RSA_KEY ",\"key_ops\":\"verify\"}",
        "{" RSA_KEY ",\"kid\":1}", "{\"kty\":\"rsa\",\"n\":\"" RS256_N "\",\"e\":\"AQAB\"}", "{\"kty\":\"RSA\",\"n\":\"" RS256_N "\",\"e\":\"AQ\"}",
        "{\"kty\":\"RSA\",\"n\":\"" RS256_N "\",\"e\":\"Ag\"}", "{\"kty\":\"RSA\",\"n\":\"" RS256_N "\",\"e\":\"\"}", "{\"kty\":\"RSA\",\"n\":\"" RS256_N "=\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", "{\"kty\":\"RSA\",\"n\":[1],\"e\":\"AQAB\"}", "{" EC_KEY("P-256", ES256_X, ES256_Y) "}",
    };
    struct buf out, set;
    (void)state;
    buf_init(&out, BOUND_KEY_SET);
    buf_init(&set, BOUND_KEY_SET);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_clear(&set);
        buf_printf(&set, "{\"keys\":[%s]}", bad[i]);
        if (taken(&out, buf_cstr(&set), JWT_RS256)) fail_msg("%s", bad[i]);
    }
    buf_clear(&set);
    buf_str(&set, "{\"keys\":[");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) buf_printf(&set, "%s,", bad[i]);
    buf_str(&set, "{" RSA_KEY ",\"kid\":\"k1\"},{" RSA_KEY ",\"kid\":\"k1\"}]}"); /* the second of that name, too */
    expect_one(&out, buf_cstr(&set), JWT_RS256, RS256_PEM);
    static const char *const curves[] = {
        "{" EC_KEY("P-256", ES256_X, ES256_X) "}", "{" EC_KEY("P-384", ES256_X, ES256_Y) "}", "{" EC_KEY("P-384", ES384_X, ES384_Y) "}", "{" EC_KEY("secp256k1", ES256_X, ES256_Y) "}",
        "{" EC_KEY("P-256", "", ES256_Y) "}", "{" EC_KEY("P-256", "AAAA", "AAAA") "}", "{\"kty\":\"EC\",\"x\":\"" ES256_X "\",\"y\":\"" ES256_Y "\"}"};
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        buf_clear(&set);
        buf_printf(&set, "{\"keys\":[%s]}", curves[i]);
        if (taken(&out, buf_cstr(&set), JWT_ES256)) fail_msg("%s", curves[i]);
    }
    assert_null(taken(&out, "{\"keys\":[{" RSA_KEY "}]}", JWT_HS256));
    buf_free(&set);
    buf_free(&out);
}

static void what_is_no_set_is_refused(void **state)
{
    static const char *const bad[] = {"", "[]", "{}", "null", "{\"keys\":{}}", "{\"keys\":[]}", "{\"keys\":[", "<html>", "{\"keys\":[[[[[[[[[[[[]]]]]]]]]]]]}"};
    struct buf out;
    (void)state;
    buf_init(&out, BOUND_KEY_SET);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_null(taken(&out, bad[i], JWT_RS256));
    buf_free(&out);
}

static void keys_are_bounded(void **state)
{
    struct buf out, set;
    (void)state;
    buf_init(&out, BOUND_KEY_SET);
    buf_init(&set, BOUND_KEY_SET);
    buf_str(&set, "{\"keys\":[");
    for (int i = 0; i < BOUND_SET_KEYS + 2; i++) buf_printf(&set, "%s{" EC_KEY("P-256", ES256_X, ES256_Y) ",\"kid\":\"%d\"}", i ? "," : "", i);
    buf_str(&set, "]}");
    assert_non_null(taken(&out, buf_cstr(&set), JWT_ES256));
    assert_non_null(strstr(buf_cstr(&out), "\"kid\":\"63\""));
    assert_null(strstr(buf_cstr(&out), "\"kid\":\"64\""));
    buf_free(&set);
    buf_free(&out);
}

static void a_pem_is_what_it_holds(void **state)
{
    (void)state;
    assert_int_equal(pem_kind_of(SPAN(RS256_PEM)), PEM_RSA);
    assert_int_equal(pem_kind_of(SPAN(ES256_PEM)), PEM_P256);
    assert_int_equal(pem_kind_of(SPAN(ES384_PEM)), PEM_P384);
    assert_int_equal(pem_kind_of(SPAN(ES512_PEM)), PEM_P521);
    assert_int_equal(pem_kind_of(SPAN("")), PEM_NONE);
    assert_int_equal(pem_kind_of(SPAN("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")), PEM_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_become_the_key_they_are),
        cmocka_unit_test(what_is_no_good_is_passed_over),
        cmocka_unit_test(what_is_no_set_is_refused),
        cmocka_unit_test(keys_are_bounded),
        cmocka_unit_test(a_pem_is_what_it_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
