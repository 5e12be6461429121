/* The section `jwt` of the document: token verifiers, read, checked, put into one form. */
#include "admin/document.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/door/pem.h"

#define LEEWAY_MOST 3600     /* seconds; a token that is over for longer is over */
#define HMAC_SECRET_LEAST 16 /* bytes */

struct jwt_text {
    const char *name, *algorithm, *public_key, *issuer, *audience, *jwks_url, *models, *endpoints;
    int64_t leeway;
    struct jval claims, secret, model_list, endpoint_list;
};
struct claims { const char *user, *team, *role, *rolegroup; };

/* The key must be of the algorithm's own kind: nothing else keeps one from being used as another. */
static const char *public_key_fault(const char *pem, const char *algorithm)
{
    static const struct { const char *algorithm; enum pem_kind kind; const char *fault; } curves[] = {
        {"ES256", PEM_P256, "must be a key on the curve P-256"}, {"ES384", PEM_P384, "must be a key on the curve P-384"},
        {"ES512", PEM_P521, "must be a key on the curve P-521"}};
    enum pem_kind kind = pem_kind_of(span_of(pem));

    if (strstr(pem, "PRIVATE KEY")) return "is a private key; keep that where tokens are made";
    if (kind == PEM_NONE) return "must be a public key in PEM: -----BEGIN PUBLIC KEY-----";
    if (kind == PEM_WEAK) return "must have at least 2048 bits";
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (strcmp(algorithm, curves[i].algorithm) == 0) return kind == curves[i].kind ? NULL : curves[i].fault;
    return kind == PEM_RSA ? NULL : "must be an RSA key";
}

/* HMAC takes a secret; RSA and ECDSA a public key or the address of a key set. Nothing may stand for the other. */
static bool jwt_key_check(struct reader *r, const struct jwt_text *t)
{
    bool symmetric = t->algorithm[0] == 'H';
    const char *fault;

    if (symmetric && t->public_key) return refuse_member(r, "public_key", "does not belong to %s", t->algorithm);
    if (symmetric && t->jwks_url) return refuse_member(r, "jwks_url", "does not belong to %s", t->algorithm);
    if (symmetric) return true;
    if (t->secret.kind) return refuse_member(r, "secret", "does not belong to %s", t->algorithm);
    if (!t->public_key && !t->jwks_url) return refuse_member(r, "public_key", "is missing (or a jwks_url)");
    if (t->public_key && t->jwks_url) return refuse_member(r, "jwks_url", "must not stand beside a public_key");
    if (t->public_key) {
        fault = public_key_fault(t->public_key, t->algorithm);
        return !fault || refuse_member(r, "public_key", "%s", fault);
    }
    fault = address_fault((struct span){t->jwks_url, strcspn(t->jwks_url, "?")}, false); /* a key set may have a query */
    return !fault || refuse_member(r, "jwks_url", "%s", fault);
}

static enum jwt_method method_of(const char *algorithm) /* one of JWT_ALGORITHMS */
{
    enum jwt_method m = JWT_HS256;

    while (strcmp(jwt_method_names[m], algorithm) != 0) m++;
    return m;
}

static void write_member(struct buf *out, const char *name, const char *value)
{
    if (!value) return;
    buf_str(out, out->len && out->at[out->len - 1] != '{' ? "," : "");
    buf_printf(out, "\"%s\":", name);
    json_string(out, span_of(value));
}

/* The entry in one form: members in this order, what is absent left out. So equal entries have equal bodies. */
static bool jwt_body(struct reader *r, const struct jwt_text *t, const struct claims *c, struct span *out)
{
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_char(&body, '{');
    write_member(&body, "name", t->name);
    write_member(&body, "algorithm", t->algorithm);
    write_member(&body, "public_key", t->public_key);
    write_member(&body, "jwks_url", t->jwks_url);
    write_member(&body, "issuer", t->issuer);
    write_member(&body, "audience", t->audience);
    buf_str(&body, ",\"claims\":{");
    write_member(&body, "user", c->user);
    write_member(&body, "team", c->team);
    write_member(&body, "role", c->role);
    write_member(&body, "rolegroup", c->rolegroup);
    buf_char(&body, '}');
    if (t->models) buf_printf(&body, ",\"models\":%s", t->models);
    if (t->endpoints) buf_printf(&body, ",\"endpoints\":%s", t->endpoints);
    if (t->leeway != LEEWAY_S_DEFAULT) buf_printf(&body, ",\"leeway\":%lld", (long long)t->leeway);
    buf_char(&body, '}');
    out->len = body.len;
    out->at = body.err ? NULL : arena_str(r->memory, buf_all(&body));
    buf_free(&body);
    return out->at || refuse_memory(r);
}

bool doc_jwt_read(struct reader *r, struct jval v, struct doc_jwt *out)
{
    static const struct field table[] = {
        {"name", FIELD_NAME, offsetof(struct jwt_text, name), true, 0, 0, NULL},
        {"algorithm", FIELD_CHOICE, offsetof(struct jwt_text, algorithm), true, 0, 0, JWT_ALGORITHMS},
        {"public_key", FIELD_LINES, offsetof(struct jwt_text, public_key), false, 1, 16384, NULL},
        {"issuer", FIELD_TEXT, offsetof(struct jwt_text, issuer), false, 1, BOUND_PATH, NULL},
        {"audience", FIELD_TEXT, offsetof(struct jwt_text, audience), false, 1, BOUND_PATH, NULL},
        {"jwks_url", FIELD_TEXT, offsetof(struct jwt_text, jwks_url), false, 1, BOUND_PATH, NULL},
        {"models", FIELD_ARRAY, offsetof(struct jwt_text, model_list), false, 0, 0, NULL},
        {"endpoints", FIELD_ARRAY, offsetof(struct jwt_text, endpoint_list), false, 0, 0, NULL},
        {"leeway", FIELD_INT, offsetof(struct jwt_text, leeway), false, 0, LEEWAY_MOST, NULL},
        {"claims", FIELD_OBJECT, offsetof(struct jwt_text, claims), false, 0, 0, NULL},
        {"secret", FIELD_ANY, offsetof(struct jwt_text, secret), false, 0, 0, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    static const struct field claim_table[] = {
        {"user", FIELD_TEXT, offsetof(struct claims, user), false, 1, BOUND_CLAIM_PATH, NULL},
        {"team", FIELD_TEXT, offsetof(struct claims, team), false, 1, BOUND_CLAIM_PATH, NULL},
        {"role", FIELD_TEXT, offsetof(struct claims, role), false, 1, BOUND_CLAIM_PATH, NULL},
        {"rolegroup", FIELD_TEXT, offsetof(struct claims, rolegroup), false, 1, BOUND_CLAIM_PATH, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    struct jwt_text t = {.leeway = LEEWAY_S_DEFAULT};
    struct claims claims = {"sub", "team", "role", "rolegroup"};
    size_t before;

    *out = (struct doc_jwt){.secret = SPAN_NONE};
    if (!fields_read(r, v, table, &t) || !jwt_key_check(r, &t)) return false;
    if (t.model_list.kind && !doc_texts_read(r, "models", t.model_list, alias_fault, &t.models)) return false;
    if (t.endpoint_list.kind && !doc_texts_read(r, "endpoints", t.endpoint_list, endpoint_fault, &t.endpoints)) return false;
    before = path_member(r, "claims");
    if (t.claims.kind && !fields_read(r, t.claims, claim_table, &claims)) return false;
    path_back(r, before);
    before = path_member(r, "secret");
    if (t.secret.kind && !secret_read(r, t.secret, &out->secret)) return false;
    if (t.secret.kind && out->secret.len < HMAC_SECRET_LEAST)
        return refuse(r, "must have at least %d bytes: a shorter one is found out from a single token", HMAC_SECRET_LEAST);
    path_back(r, before);
    out->name = t.name;
    out->symmetric = t.algorithm[0] == 'H';
    out->short_secret = t.secret.kind && out->secret.len < jwt_hash_bytes(method_of(t.algorithm));
    return jwt_body(r, &t, &claims, &out->body);
}
