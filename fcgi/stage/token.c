/* Tokens. All that is cheap is looked at first, the signature last; nothing of a token counts before that. Addresses and
 * keys that a header brings along (jku, x5u, jwk, x5c) are never read (RFC 8725 3.10). */
#include "fcgi/stage/token.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

struct token {
    struct span text;        /* terminated */
    struct jval header, claims;
    enum jwt_method method;
    struct buf kid;          /* what the header names; empty and has_kid false: none */
    bool has_kid;
};

/* ---- reading ---- */

bool token_is_one(struct span s)
{
    int dots = 0;
    size_t part = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (c == '.' && part) dots++, part = 0;
        else if (digit) part++;
        else return false;
    }
    return dots == 2 && part;
}

/* A part, which is a JSON object without doubled members; its text is the arena's. */
static enum weir_err read_part(struct span part, struct arena *a, struct jval *out)
{
    struct buf text;
    struct jfault fault;
    struct span twice;
    buf_init(&text, BOUND_CREDENTIAL);
    enum weir_err err = base64url_decode(&text, part);
    const char *copy = err == WEIR_OK ? arena_str(a, buf_all(&text)) : NULL;
    if (err == WEIR_OK && !copy) err = WEIR_NOMEM;
    if (err == WEIR_OK && (jscan_check((struct span){copy, text.len}, BOUND_TOKEN_DEPTH, out, &fault) != WEIR_OK ||
                           out->kind != JSON_OBJECT || !jscan_is_unique(*out, &twice)))
        err = WEIR_INVALID;
    buf_free(&text);
    return err;
}

static bool method_of(struct jval name, enum jwt_method *m)
{
    for (int i = 0; i < JWT_METHODS; i++) {
        if (!jval_is(name, jwt_method_names[i])) continue;
        *m = (enum jwt_method)i;
        return true;
    }
    return false;
}

static bool is_jwt(struct jval type)
{
    struct span s = type.text;
    return type.kind == JSON_ABSENT ||
           (type.kind == JSON_STRING && span_is_nocase((struct span){s.at + 1, s.len - 2}, "JWT"));
}

/* The header: a method we know, a plain token, nothing that had to be understood (RFC 7515 4.1.11). */
static enum weir_err read_header(struct token *t)
{
    struct jval kid = jscan_find(t->header, "kid");
    if (!method_of(jscan_find(t->header, "alg"), &t->method) || !is_jwt(jscan_find(t->header, "typ")) ||
        jscan_find(t->header, "crit").kind != JSON_ABSENT || jscan_find(t->header, "cty").kind != JSON_ABSENT)
        return WEIR_INVALID;
    t->has_kid = kid.kind != JSON_ABSENT;
    if (!t->has_kid) return WEIR_OK;
    enum weir_err err = jval_string(kid, &t->kid);
    return err == WEIR_FULL ? WEIR_INVALID : err;
}

static enum weir_err read_token(struct span text, struct arena *a, struct token *t)
{
    const char *copy = arena_str(a, text);
    if (!copy) return WEIR_NOMEM;
    t->text = (struct span){copy, text.len};
    size_t head = strcspn(copy, "."), body = strcspn(copy + head + 1, ".");
    enum weir_err err = read_part((struct span){copy, head}, a, &t->header);
    if (err == WEIR_OK) err = read_part((struct span){copy + head + 1, body}, a, &t->claims);
    /* libjwt's own decoder of the signature is lenient: one token has one text. */
    struct buf signature;
    buf_init(&signature, BOUND_CREDENTIAL);
    if (err == WEIR_OK) err = base64url_decode(&signature, span_of(copy + head + body + 2));
    buf_free(&signature);
    return err == WEIR_OK ? read_header(t) : err;
}

/* ---- claims ---- */

/* The element at a place that is written in digits. */
static struct jval element_of(struct jval array, struct span place)
{
    const struct jval absent = {JSON_ABSENT, SPAN_NONE};
    struct jiter it = jscan_iter(array);
    struct jval v = absent;
    struct span none;
    int index = 0;
    if (!place.len || place.len > 3) return absent;
    for (size_t i = 0; i < place.len; i++) {
        if (place.at[i] < '0' || place.at[i] > '9') return absent;
        index = index * 10 + (place.at[i] - '0');
    }
    for (int i = 0; i <= index; i++)
        if (!jscan_next(&it, &none, &v)) return absent;
    return v;
}

/* "realm.roles.0": a claim of that whole name, else of its first part and so on; numbers are places in an array. */
static struct jval claim_of(struct jval in, const char *path)
{
    const struct jval absent = {JSON_ABSENT, SPAN_NONE};
    char first[BOUND_CLAIM_PATH + 1];
    struct span twice;
    for (;;) {
        size_t n = strcspn(path, ".");
        struct jval v = jscan_find(in, path);
        if (n > BOUND_CLAIM_PATH || (in.kind == JSON_OBJECT && !jscan_is_unique(in, &twice))) return absent;
        memcpy(first, path, n);
        first[n] = '\0';
        if (in.kind == JSON_ARRAY) v = element_of(in, (struct span){path, n});
        else if (v.kind != JSON_ABSENT) return v;
        else v = jscan_find(in, first);
        if (v.kind == JSON_ABSENT || !path[n]) return v;
        in = v;
        path += n + 1;
    }
}

/* A name for scopes and rows: a text, or a whole number as its digits. */
static enum weir_err name_of(struct jval v, struct arena *a, const char **out)
{
    int64_t number;
    struct buf text;
    buf_init(&text, BOUND_NAME);
    enum weir_err err = jval_int(v, &number) ? buf_int(&text, number) : jval_string(v, &text);
    if (err == WEIR_FULL || (err == WEIR_OK && !text.len)) err = WEIR_INVALID;
    for (size_t i = 0; err == WEIR_OK && i < text.len; i++)
        if ((unsigned char)text.at[i] < ' ' || text.at[i] == 0x7F) err = WEIR_INVALID;
    if (err == WEIR_OK && !(*out = arena_str(a, buf_all(&text)))) err = WEIR_NOMEM;
    buf_free(&text);
    return err;
}

static enum weir_err take_names(struct jval claims, const struct verifier *v, struct arena *a, struct key *k)
{
    const struct { const char *path, **to; } all[] = {
        {v->user, &k->user}, {v->team, &k->team}, {v->role, &k->role}, {v->rolegroup, &k->rolegroup}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct jval claim = all[i].path ? claim_of(claims, all[i].path) : (struct jval){JSON_ABSENT, SPAN_NONE};
        if (claim.kind == JSON_ABSENT || claim.kind == JSON_NULL) continue;
        enum weir_err err = name_of(claim, a, all[i].to); /* of another form: a limit must not be dodged by it */
        if (err != WEIR_OK) return err;
    }
    return k->user ? WEIR_OK : WEIR_INVALID;
}

/* Seconds since 1970 as milliseconds; absent leaves *ms. A fraction, an exponent, a text: no. */
static bool time_of(struct jval v, int64_t *ms)
{
    int64_t s;
    if (v.kind == JSON_ABSENT) return true;
    return jval_int(v, &s) && !__builtin_mul_overflow(s, 1000, ms);
}

static bool is_in_time(struct jval claims, const struct verifier *v, int64_t now_ms, int64_t *over)
{
    int64_t expires = 0, begins = INT64_MIN;
    if (jscan_find(claims, "exp").kind == JSON_ABSENT) return false;
    if (!time_of(jscan_find(claims, "exp"), &expires) || !time_of(jscan_find(claims, "nbf"), &begins)) return false;
    return !__builtin_add_overflow(expires, v->leeway_ms, over) && now_ms < *over && begins <= now_ms + v->leeway_ms;
}

/* RFC 7519 4.1.3: one text, or an array of texts. */
static bool is_for(struct jval audience, const char *us)
{
    struct span none;
    struct jval v;
    bool found = audience.kind == JSON_STRING && jval_is(audience, us);
    struct jiter it = jscan_iter(audience);
    while (audience.kind == JSON_ARRAY && jscan_next(&it, &none, &v)) {
        if (v.kind != JSON_STRING) return false;
        found |= jval_is(v, us);
    }
    return found;
}

/* ---- judging ---- */

static bool is_signed(const struct token *t, const struct verifier *v, const char **wanted)
{
    if (jwt_is_hmac(v->method)) return v->secret && jwt_is_signed(t->text.at, v->method, secret_reveal(v->secret));
    if (!v->jwks_url) return v->key_count == 1 && jwt_is_signed(t->text.at, v->method, span_of(v->keys->pem));
    /* Without a kid there is no choice to be made, so there must be none. */
    if (!t->has_kid) return v->key_count == 1 && jwt_is_signed(t->text.at, v->method, span_of(v->keys->pem));
    for (int i = 0; i < v->key_count; i++)
        if (v->keys[i].kid && span_is(buf_all(&t->kid), v->keys[i].kid))
            return jwt_is_signed(t->text.at, v->method, span_of(v->keys[i].pem));
    *wanted = v->name;
    return false;
}

static enum weir_err judge(const struct token *t, const struct verifier *v, int64_t now_ms, struct arena *a,
                           struct token_verdict *out)
{
    struct key k = {.models = v->models, .endpoints = v->endpoints};
    if (t->method != v->method || !is_in_time(t->claims, v, now_ms, &k.expires) ||
        (v->issuer && !jval_is(jscan_find(t->claims, "iss"), v->issuer)) ||
        (v->audience && !is_for(jscan_find(t->claims, "aud"), v->audience)))
        return WEIR_INVALID;
    enum weir_err err = take_names(t->claims, v, a, &k);
    if (err == WEIR_OK && !is_signed(t, v, &out->wanted)) err = WEIR_INVALID;
    if (err == WEIR_OK) out->key = k;
    return err;
}

enum weir_err token_judge(const struct verifiers *all, const struct verifier *own, struct span token, int64_t now_ms,
                          struct arena *a, struct token_verdict *out)
{
    struct token t = {.has_kid = false};
    *out = (struct token_verdict){.wanted = NULL};
    if (!token_is_one(token) || token.len > BOUND_CREDENTIAL) return WEIR_UNAUTHENTICATED;
    buf_init(&t.kid, BOUND_KID);
    enum weir_err err = read_token(token, a, &t), verdict = WEIR_INVALID;
    if (err == WEIR_OK && own) verdict = judge(&t, own, now_ms, a, out);
    for (int i = 0; err == WEIR_OK && verdict == WEIR_INVALID && i < all->count; i++)
        verdict = judge(&t, &all->at[i], now_ms, a, out);
    if (err == WEIR_OK) err = verdict;
    buf_free(&t.kid);
    return err == WEIR_OK || err == WEIR_NOMEM ? err : WEIR_UNAUTHENTICATED;
}
