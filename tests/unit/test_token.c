/* Tokens: which claims make a caller, and that nothing but a whole, timely, plain and signed token does. (Several hundred
 * more that do not: tests/flow/test_tokens.py.) */
#include "fcgi/stage/token.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include <jwt.h>
#include "tests/unit/token_keys.h"

#define SECRET_TEXT "a secret of 32 characters or so"
#define NOW 1790000000000

static struct arena arena;
static struct verifier own = {.name = "own", .method = JWT_HS256, .user = "sub", .team = "org.team", .role = "roles.1", .leeway_ms = 60000};

/* A token with these claims, signed by libjwt. */
static char *made(const char *claims)
{
    jwt_t *jwt;
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grants_json(jwt, claims), 0);
    assert_int_equal(jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)SECRET_TEXT, sizeof SECRET_TEXT - 1), 0);
    char *text = jwt_encode_str(jwt);
    jwt_free(jwt);
    return text;
}

static enum weir_err judge_text(const char *token, const struct verifiers *all, const struct verifier *one, struct token_verdict *out)
{
    return token_judge(all, one, span_of(token), NOW, &arena, out);
}

static enum weir_err judge_claims(const char *claims, struct token_verdict *out)
{
    char *token = made(claims);
    enum weir_err err = judge_text(token, &(struct verifiers){0}, &own, out);
    free(token);
    return err;
}

static int open_all(void **state)
{
    (void)state;
    arena_init(&arena);
    if (secret_start() != WEIR_OK) return -1;
    own.secret = secret_new(SPAN(SECRET_TEXT));
    return own.secret ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    arena_end(&arena);
    secret_free((struct secret *)own.secret);
    return 0;
}

static void claims_make_the_caller(void **state)
{
    struct token_verdict v;
    (void)state;
    assert_int_equal(judge_claims("{\"sub\":\"ada\",\"exp\":1790000100,\"org\":{\"team\":\"looms\"},\"roles\":[\"a\",\"b\"]}", &v), WEIR_OK);
    assert_string_equal(v.key.user, "ada");
    assert_string_equal(v.key.team, "looms");
    assert_string_equal(v.key.role, "b");
    assert_true(!v.key.rolegroup && !v.key.name && !v.key.id && !v.key.may_assert);
    assert_int_equal(v.key.expires, 1790000160000);
    assert_int_equal(judge_claims("{\"sub\":7,\"exp\":1790000100,\"org.team\":\"flat\",\"org\":{\"team\":\"deep\"}}", &v), WEIR_OK);
    assert_string_equal(v.key.user, "7");
    assert_string_equal(v.key.team, "flat");
    assert_null(v.key.role);
}

static void times_are_whole_numbers_with_a_leeway(void **state)
{
    static const struct { const char *claims; bool good; } all[] = {
        {"{\"sub\":\"a\",\"exp\":1790000000}", true}, {"{\"sub\":\"a\",\"exp\":1789999941}", true}, {"{\"sub\":\"a\",\"exp\":1789999940}", false},
        {"{\"sub\":\"a\"}", false}, {"{\"sub\":\"a\",\"exp\":\"1790000100\"}", false}, {"{\"sub\":\"a\",\"exp\":1790000100.5}", false}, {"{\"sub\":\"a\",\"exp\":1790000100.0}", false},
        {"{\"sub\":\"a\",\"exp\":9223372036854775807}", false}, {"{\"sub\":\"a\",\"exp\":9223372036854775}", false}, {"{\"sub\":\"a\",\"exp\":9223372036854}", true},
        {"{\"sub\":\"a\",\"exp\":1790000100,\"nbf\":1790000060}", true}, {"{\"sub\":\"a\",\"exp\":1790000100,\"nbf\":1790000061}", false},
        {"{\"sub\":\"a\",\"exp\":1790000100,\"nbf\":\"0\"}", false}, {"{\"sub\":\"a\",\"exp\":1790000100,\"nbf\":-9223372036854775808}", false}};
    struct token_verdict v;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if ((judge_claims(all[i].claims, &v) == WEIR_OK) != all[i].good) fail_msg("%s", all[i].claims);
}

static void a_key_is_chosen_by_kid_from_the_verifiers_own_set(void **state)
{
    const struct verifier_key keys[] = {{"k0", ES384_PEM}, {"k1", ES256_PEM}, {NULL, ES256_PEM}};
    struct verifier set = {.name = "set", .method = JWT_ES256, .user = "sub", .jwks_url = "https://a/k", .keys = keys, .key_count = 2};
    struct token_verdict v;
    (void)state;
    const struct verifiers all = {&set, 1};
    assert_int_equal(judge_text(ES256_TOKEN, &all, NULL, &v), WEIR_OK);
    set.key_count = 1;
    assert_int_equal(judge_text(ES256_TOKEN, &all, NULL, &v), WEIR_UNAUTHENTICATED);
    assert_string_equal(v.wanted, "set");
    set.keys = &keys[2]; /* one without a name is nobody's */
    assert_int_equal(judge_text(ES256_TOKEN, &all, NULL, &v), WEIR_UNAUTHENTICATED);
    set.keys = NULL, set.key_count = 0;
    assert_int_equal(judge_text(ES256_TOKEN, &all, NULL, &v), WEIR_UNAUTHENTICATED);
    assert_string_equal(v.wanted, "set");
    const struct verifier both[] = {set, {.name = "pem", .method = JWT_ES256, .user = "sub", .keys = &keys[1], .key_count = 1}};
    assert_int_equal(judge_text(ES256_TOKEN, &(struct verifiers){both, 2}, NULL, &v), WEIR_OK);
    assert_int_equal(judge_text(RS256_TOKEN, &(struct verifiers){both, 2}, NULL, &v), WEIR_UNAUTHENTICATED);
    assert_null(v.wanted);
}

static void a_verifier_without_its_secret_takes_nothing(void **state)
{
    const struct verifier empty = {.name = "e", .method = JWT_HS256, .user = "sub"};
    struct token_verdict v;
    char *token = made("{\"sub\":\"a\",\"exp\":1790000100}");
    (void)state;
    assert_int_equal(judge_text(token, &(struct verifiers){&empty, 1}, NULL, &v), WEIR_UNAUTHENTICATED);
    assert_int_equal(judge_text(token, &(struct verifiers){NULL, 0}, NULL, &v), WEIR_UNAUTHENTICATED);
    free(token);
}

static void base64url(struct buf *out, struct span s)
{
    size_t from = out->len;
    base64_add(out, s.at, s.len);
    while (out->len > from && out->at[out->len - 1] == '=') out->len--;
}

/* What is read of a header with that member and of claims with that one; the signature is not looked at here. */
static enum weir_err read_with(const char *in_header, const char *in_claims)
{
    struct token t = {.has_kid = false};
    struct buf part, text;
    buf_init(&t.kid, BOUND_KID);
    buf_init(&part, 4096);
    buf_init(&text, 8192);
    buf_printf(&part, "{\"alg\":\"HS256\"%s}", in_header);
    base64url(&text, buf_all(&part));
    buf_char(&text, '.');
    buf_clear(&part);
    buf_printf(&part, "{\"sub\":\"a\"%s}", in_claims);
    base64url(&text, buf_all(&part));
    buf_str(&text, ".AAAA");
    enum weir_err err = read_token(buf_all(&text), &arena, &t);
    buf_free(&t.kid);
    buf_free(&part);
    buf_free(&text);
    return err;
}

static void kids_and_depth_have_their_bounds(void **state)
{
    char text[BOUND_KID + 40];
    (void)state;
    for (int past = 0; past <= 1; past++) {
        int n = snprintf(text, sizeof text, ",\"kid\":\"%0*d\"", BOUND_KID + past, 1);
        assert_true(n > BOUND_KID && n < (int)sizeof text);
        assert_int_equal(read_with(text, ""), past ? WEIR_INVALID : WEIR_OK);
        struct buf deep;
        buf_init(&deep, 200);
        buf_str(&deep, ",\"x\":");
        for (int i = 1; i < BOUND_TOKEN_DEPTH + past; i++) buf_char(&deep, '[');
        for (int i = 1; i < BOUND_TOKEN_DEPTH + past; i++) buf_char(&deep, ']');
        assert_int_equal(read_with("", buf_cstr(&deep)), past ? WEIR_INVALID : WEIR_OK);
        buf_free(&deep);
    }
}

static void a_claim_s_name_has_its_bound(void **state)
{
    char path[BOUND_CLAIM_PATH + 2], claims[BOUND_CLAIM_PATH + 40];
    (void)state;
    for (int past = 0; past <= 1; past++) {
        struct jfault fault;
        struct jval root;
        memset(path, 'c', sizeof path);
        path[BOUND_CLAIM_PATH + past] = '\0';
        int n = snprintf(claims, sizeof claims, "{\"%s\":\"x\"}", path);
        assert_int_equal(jscan_check((struct span){claims, (size_t)n}, 4, &root, &fault), WEIR_OK);
        assert_int_equal(claim_of(root, path).kind, past ? JSON_ABSENT : JSON_STRING);
    }
}

/* Scopes are made of these names: what means something to the ledger there is a name like any other here. */
static void odd_names_are_names_and_bad_ones_none(void **state)
{
    static const struct { const char *text; bool good; } all[] = {
        {"\"*\"", true}, {"\"a/b\"", true}, {"\"user/root\"", true}, {"\"global\"", true}, {"\"anonymous\"", true}, {"\"' OR 1=1 --\"", true},
        {"\"../../x\"", true}, {"\"e\\u0301\"", true}, {"\" \"", true}, {"0", true}, {"-1", true}, {"\"\"", false}, {"\"a\\u0000b\"", false},
        {"\"a\\nb\"", false}, {"\"a\\u007fb\"", false}, {"1.5", false}, {"1e3", false}, {"true", false}, {"[\"a\"]", false}, {"{}", false}};
    char longest[BOUND_NAME + 4];
    struct jval root;
    struct jfault fault;
    const char *name;
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_int_equal(jscan_check(span_of(all[i].text), 4, &root, &fault), WEIR_OK);
        if ((name_of(root, &arena, &name) == WEIR_OK) != all[i].good) fail_msg("%s", all[i].text);
    }
    for (int past = 0; past <= 1; past++) {
        int n = snprintf(longest, sizeof longest, "\"%0*d\"", BOUND_NAME + past, 0);
        assert_int_equal(jscan_check((struct span){longest, (size_t)n}, 4, &root, &fault), WEIR_OK);
        assert_int_equal(name_of(root, &arena, &name), past ? WEIR_INVALID : WEIR_OK);
    }
}

static void one_form_is_a_token(void **state)
{
    (void)state;
    assert_true(token_is_one(SPAN("a.b.c")) && token_is_one(SPAN("A-_.9.z")));
    static const char *const not[] = {"", ".", "..", "a.b", "a.b.", "a..c", ".b.c", "a.b.c.d", "a.b.c.", "a.b.c=", "a.b c.d", "a.b+.c", "sk-weir-x", "a.b.\xC3\xA9"};
    for (size_t i = 0; i < sizeof not / sizeof *not; i++) assert_false(token_is_one(span_of(not[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_make_the_caller),
        cmocka_unit_test(times_are_whole_numbers_with_a_leeway),
        cmocka_unit_test(a_key_is_chosen_by_kid_from_the_verifiers_own_set),
        cmocka_unit_test(a_verifier_without_its_secret_takes_nothing),
        cmocka_unit_test(kids_and_depth_have_their_bounds),
        cmocka_unit_test(one_form_is_a_token), cmocka_unit_test(a_claim_s_name_has_its_bound), cmocka_unit_test(odd_names_are_names_and_bad_ones_none),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
