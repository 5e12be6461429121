/* Fuzz target: the header and the claims of a token, each as bytes, with a line end between them. Signed by the right key it
 * is taken or refused, whatever it says; taken, it has the method, a whole exp to come and a user that is a name. With one
 * bit of the signature changed it is never taken, and the bytes by themselves, as a credential, neither. */
#include <stdlib.h>
#include <openssl/hmac.h>
#include "fcgi/stage/token.c"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define NOW 1790000000000
#define SECRET "a secret of 32 characters or so"

static void must(bool what)
{
    if (!what)
        abort();
}

static void base64url_add(struct buf *out, const void *at, size_t n)
{
    size_t from = out->len;
    base64_add(out, at, n);
    while (out->len > from && out->at[out->len - 1] == '=') out->len--;
    for (size_t i = from; i < out->len; i++) out->at[i] = out->at[i] == '+' ? '-' : out->at[i] == '/' ? '_' : out->at[i];
}

static void make_token(struct span header, struct span claims, unsigned char flip, struct buf *out)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    base64url_add(out, header.at, header.len);
    buf_char(out, '.');
    base64url_add(out, claims.at, claims.len);
    HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, (const unsigned char *)out->at, out->len, mac, &size);
    mac[0] ^= flip;
    buf_char(out, '.');
    base64url_add(out, mac, size);
}

static void check_taken(const struct token_verdict *v, struct span header, struct span claims)
{
    const char *const names[] = {v->key.user, v->key.team, v->key.role, v->key.rolegroup};
    struct jval root;
    struct jfault fault;
    int64_t exp = 0;
    must(v->key.user && !v->key.id && !v->key.name && !v->key.may_assert && !v->wanted);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        must(!names[i] || (*names[i] && strlen(names[i]) <= BOUND_NAME && text_is_utf8(span_of(names[i]))));
        for (const char *c = names[i]; c && *c; c++) must((unsigned char)*c >= ' ' && *c != 0x7F);
    }
    must(jscan_check(header, BOUND_TOKEN_DEPTH, &root, &fault) == WEIR_OK && jval_is(jscan_find(root, "alg"), "HS256"));
    must(jscan_check(claims, BOUND_TOKEN_DEPTH, &root, &fault) == WEIR_OK && jval_int(jscan_find(root, "exp"), &exp));
    must(v->key.expires == exp * 1000 + 60000 && v->key.expires > NOW);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct secret *secret;
    const struct verifier_key none = {NULL, ""};
    struct token_verdict v;
    struct arena a;
    struct buf token;
    const char *at = n ? (const char *)bytes : "", *end = memchr(at, '\n', n);
    if (!end) end = at + n;
    if (!secret) must(secret_start() == WEIR_OK && (secret = secret_new(SPAN(SECRET))) != NULL);
    const struct verifier all[] = {
        {.name = "a", .method = JWT_HS256, .secret = secret, .user = "sub", .team = "org.team", .role = "roles.0", .rolegroup = "a.b.c", .leeway_ms = 60000},
        {.name = "b", .method = JWT_RS256, .jwks_url = "https://a", .keys = &none, .key_count = 1, .user = "sub", .leeway_ms = 60000},
        {.name = "c", .method = JWT_HS384, .secret = NULL, .user = "sub", .leeway_ms = 60000},
    };
    const struct verifiers verifiers = {all, 3};
    struct span header = {at, (size_t)(end - at)}, claims = {end < at + n ? end + 1 : "", end < at + n ? (size_t)(at + n - end - 1) : 0};
    buf_init(&token, 1 << 20);
    for (unsigned char flip = 0; flip <= 1; flip++) {
        arena_init(&a);
        buf_clear(&token);
        make_token(header, claims, flip, &token);
        enum weir_err err = token_judge(&verifiers, NULL, buf_all(&token), NOW, &a, &v);
        must(err == WEIR_UNAUTHENTICATED || (err == WEIR_OK && !flip));
        if (err == WEIR_OK) check_taken(&v, header, claims);
        arena_end(&a);
    }
    arena_init(&a);
    must(token_judge(&verifiers, &all[0], (struct span){at, n}, NOW, &a, &v) == WEIR_UNAUTHENTICATED);
    arena_end(&a);
    buf_free(&token);
    return 0;
}
