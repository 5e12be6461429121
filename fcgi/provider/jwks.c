/* Key sets of those who issue tokens. What comes is untrusted until it is read: bounded, checked, and only public keys of
 * the method that the configuration names are taken out of it. */
#include "fcgi/provider/jwks.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/jscan.h"
#include "fcgi/base/text.h"
#include "fcgi/door/pem.h"

#define SET_DEPTH  8
#define NUMBER_MAX 1400 /* characters of base64url */
#define FETCH_MS   10000
#define CONNECT_MS 5000

/* ---- one key ---- */

/* A member that is base64url, decoded. */
static bool number_of(struct jval key, const char *name, struct buf *out)
{
    struct jval v = jscan_find(key, name);
    if (v.kind != JSON_STRING || v.text.len > NUMBER_MAX + 2) return false;
    return base64url_decode(out, (struct span){v.text.at + 1, v.text.len - 2}) == WEIR_OK && out->len;
}

static bool is_absent_or(struct jval v, const char *text) { return v.kind == JSON_ABSENT || jval_is(v, text); }

static bool verifies(struct jval operations)
{
    struct span none;
    struct jval v;
    if (operations.kind == JSON_ABSENT) return true;
    struct jiter it = jscan_iter(operations);
    while (operations.kind == JSON_ARRAY && jscan_next(&it, &none, &v))
        if (jval_is(v, "verify")) return true;
    return false;
}

static enum pem_kind curve_of(enum jwt_method m, struct jval name)
{
    if (m == JWT_ES256 && jval_is(name, "P-256")) return PEM_P256;
    if (m == JWT_ES384 && jval_is(name, "P-384")) return PEM_P384;
    return m == JWT_ES512 && jval_is(name, "P-521") ? PEM_P521 : PEM_NONE;
}

/* The key in PEM. False: it is no good for this method. */
static bool key_pem(struct jval key, enum jwt_method m, struct buf *pem)
{
    struct buf a, b;
    bool done = false;
    if (key.kind != JSON_OBJECT || !is_absent_or(jscan_find(key, "use"), "sig") || !verifies(jscan_find(key, "key_ops")) ||
        !is_absent_or(jscan_find(key, "alg"), jwt_method_names[m]))
        return false;
    buf_init(&a, NUMBER_MAX);
    buf_init(&b, NUMBER_MAX);
    if (jwt_is_rsa(m) && jval_is(jscan_find(key, "kty"), "RSA"))
        done = number_of(key, "n", &a) && number_of(key, "e", &b) && pem_from_rsa(buf_all(&a), buf_all(&b), pem) == WEIR_OK;
    else if (!jwt_is_hmac(m) && !jwt_is_rsa(m) && jval_is(jscan_find(key, "kty"), "EC"))
        done = number_of(key, "x", &a) && number_of(key, "y", &b) &&
               pem_from_point(curve_of(m, jscan_find(key, "crv")), buf_all(&a), buf_all(&b), pem) == WEIR_OK;
    buf_free(&a);
    buf_free(&b);
    return done;
}

/* ---- the set ---- */

/* Does a key of that kid stand among the keys written so far? */
static bool is_there(const struct buf *keys, struct span kid)
{
    struct buf quoted;
    buf_init(&quoted, BOUND_KID * 6 + 16);
    buf_str(&quoted, "{\"kid\":");
    json_string(&quoted, kid);
    buf_char(&quoted, ',');
    bool found = !quoted.err && keys->len && memmem(keys->at, keys->len, quoted.at, quoted.len);
    buf_free(&quoted);
    return found;
}

/* Appends the key to the array if it is good; true if it was. */
static bool add_key(struct jval key, enum jwt_method m, struct buf *keys)
{
    struct jval name = jscan_find(key, "kid");
    struct buf kid, pem;
    buf_init(&kid, BOUND_KID);
    buf_init(&pem, BOUND_KEY_SET);
    bool good = name.kind == JSON_ABSENT || (jval_string(name, &kid) == WEIR_OK && !is_there(keys, buf_all(&kid)));
    if (good && key_pem(key, m, &pem)) {
        buf_str(keys, keys->len > 1 ? ",{" : "{");
        if (name.kind != JSON_ABSENT) {
            buf_str(keys, "\"kid\":");
            json_string(keys, buf_all(&kid));
            buf_char(keys, ',');
        }
        buf_str(keys, "\"pem\":");
        json_string(keys, buf_all(&pem));
        buf_char(keys, '}');
    } else {
        good = false;
    }
    buf_free(&kid);
    buf_free(&pem);
    return good;
}

enum weir_err jwks_read(struct span text, enum jwt_method m, struct buf *keys, const char **fault)
{
    struct jval root, key;
    struct jfault where;
    struct span none;
    int count = 0;
    *fault = "it is no JSON object with an array \"keys\"";
    if (jscan_check(text, SET_DEPTH, &root, &where) != WEIR_OK || root.kind != JSON_OBJECT) return WEIR_INVALID;
    struct jval list = jscan_find(root, "keys");
    if (list.kind != JSON_ARRAY) return WEIR_INVALID;
    struct jiter it = jscan_iter(list);
    buf_char(keys, '[');
    while (count < BOUND_SET_KEYS && jscan_next(&it, &none, &key)) count += add_key(key, m, keys);
    buf_char(keys, ']');
    *fault = count ? "memory is out" : "it has no public key for the verifier's algorithm";
    return count ? keys->err : WEIR_INVALID;
}

/* ---- fetching ---- */

static enum weir_err failed(char fault[JWKS_FAULT], enum weir_err err, const char *why)
{
    snprintf(fault, JWKS_FAULT, "%s", why);
    return err;
}

/* The whole body of an answer of 200. */
static enum weir_err take_body(struct upstream *u, int stop_fd, struct buf *body, char fault[JWKS_FAULT])
{
    int64_t until = clock_mono_ms() + FETCH_MS;
    for (;;) {
        switch (u->ops->wait(u, stop_fd, until)) {
        case UPSTREAM_HEAD:
            if (u->status == 200) break;
            snprintf(fault, JWKS_FAULT, "it answered with status %d", u->status);
            return WEIR_UPSTREAM;
        case UPSTREAM_BYTES:
            buf_span(body, buf_all(&u->bytes));
            buf_clear(&u->bytes);
            if (body->err == WEIR_FULL) return failed(fault, WEIR_INVALID, "it is too long");
            if (body->err) return failed(fault, body->err, weir_err_info(body->err)->text);
            break;
        case UPSTREAM_END: return WEIR_OK;
        case UPSTREAM_FAILED: return failed(fault, WEIR_UPSTREAM, u->failure_text);
        case UPSTREAM_TIMEOUT: return failed(fault, WEIR_UPSTREAM, "no answer within 10 s");
        case UPSTREAM_GONE:
        case UPSTREAM_STOP: return failed(fault, WEIR_GONE, "given up");
        }
    }
}

enum weir_err jwks_fetch(struct http_pool *pool, const char *url, enum jwt_method m, int stop_fd, struct buf *keys,
                         char fault[JWKS_FAULT])
{
    const struct http_call call = {.origin = url, .url = url, .body = SPAN_NONE, .accept = "application/json",
                                   .connect_ms = CONNECT_MS};
    const char *why = NULL;
    struct upstream *u;
    struct buf body;
    fault[0] = '\0';
    enum weir_err err = http_open(pool, &call, &u);
    if (err != WEIR_OK) return failed(fault, err, weir_err_info(err)->text);
    buf_init(&body, BOUND_KEY_SET);
    err = take_body(u, stop_fd, &body, fault);
    u->ops->close(u);
    if (err == WEIR_OK && (err = jwks_read(buf_all(&body), m, keys, &why)) != WEIR_OK) failed(fault, err, why);
    buf_free(&body);
    return err;
}
