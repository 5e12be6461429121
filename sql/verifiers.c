/* Token verifiers: rows of table jwt_verifier, with the keys that were fetched for them (table key_set). */
#include "sql/verifiers.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/jscan.h"
#include "fcgi/base/log.h"
#include "sql_ids.h"

#define BODY_DEPTH 4

/* A member that is a text, into *to; absent leaves NULL. */
static enum weir_err text_member(struct jval object, const char *name, struct arena *a, const char **to)
{
    struct jval v = jscan_find(object, name);
    struct buf text;
    if (v.kind == JSON_ABSENT) return WEIR_OK;
    buf_init(&text, BOUND_KEY_SET);
    enum weir_err err = jval_string(v, &text);
    if (err == WEIR_OK && !(*to = arena_str(a, buf_all(&text)))) err = WEIR_NOMEM;
    buf_free(&text);
    return err == WEIR_INVALID ? WEIR_CORRUPT : err;
}

/* A member that is a list, as its JSON. */
static enum weir_err list_member(struct jval object, const char *name, struct arena *a, const char **to)
{
    struct jval v = jscan_find(object, name);
    if (v.kind == JSON_ABSENT) return WEIR_OK;
    if (v.kind != JSON_ARRAY) return WEIR_CORRUPT;
    return (*to = arena_str(a, v.text)) ? WEIR_OK : WEIR_NOMEM;
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

static enum weir_err one_key(const char *pem, struct arena *a, struct verifier *v)
{
    struct verifier_key *key = arena_alloc(a, sizeof *key);
    if (!key) return WEIR_NOMEM;
    key->pem = pem;
    v->keys = key;
    v->key_count = 1;
    return WEIR_OK;
}

enum weir_err verifier_read(struct span body, struct arena *a, struct verifier *v)
{
    struct jval root, claims, leeway;
    struct jfault fault;
    const char *pem = NULL;
    int64_t seconds = LEEWAY_S_DEFAULT;
    *v = (struct verifier){0};
    if (jscan_check(body, BODY_DEPTH, &root, &fault) != WEIR_OK || !method_of(jscan_find(root, "algorithm"), &v->method))
        return WEIR_CORRUPT;
    claims = jscan_find(root, "claims");
    leeway = jscan_find(root, "leeway");
    if (leeway.kind != JSON_ABSENT && (!jval_int(leeway, &seconds) || seconds < 0)) return WEIR_CORRUPT;
    v->leeway_ms = seconds * 1000;
    const struct { struct jval in; const char *name, **to; } texts[] = {
        {root, "name", &v->name}, {root, "public_key", &pem}, {root, "jwks_url", &v->jwks_url},
        {root, "issuer", &v->issuer}, {root, "audience", &v->audience}, {claims, "user", &v->user},
        {claims, "team", &v->team}, {claims, "role", &v->role}, {claims, "rolegroup", &v->rolegroup},
    };
    enum weir_err err = WEIR_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && err == WEIR_OK; i++)
        err = text_member(texts[i].in, texts[i].name, a, texts[i].to);
    if (err == WEIR_OK) err = list_member(root, "models", a, &v->models);
    if (err == WEIR_OK) err = list_member(root, "endpoints", a, &v->endpoints);
    if (err == WEIR_OK && (!v->name || !v->user)) err = WEIR_CORRUPT;
    return err == WEIR_OK && pem ? one_key(pem, a, v) : err;
}

/* [{"kid":"k1","pem":"..."}], as provider/jwks wrote it. */
static enum weir_err read_set(struct span json, struct arena *a, struct verifier *v)
{
    struct jval list, element;
    struct jfault fault;
    struct span none;
    if (jscan_check(json, BODY_DEPTH, &list, &fault) != WEIR_OK || list.kind != JSON_ARRAY) return WEIR_CORRUPT;
    struct verifier_key *keys = arena_alloc(a, sizeof *keys * (jscan_count(list) + 1));
    if (!keys) return WEIR_NOMEM;
    v->keys = keys;
    struct jiter it = jscan_iter(list);
    for (enum weir_err err; jscan_next(&it, &none, &element); v->key_count++, keys++) {
        if ((err = text_member(element, "kid", a, &keys->kid)) != WEIR_OK) return err;
        if ((err = text_member(element, "pem", a, &keys->pem)) != WEIR_OK) return err;
        if (!keys->pem) return WEIR_CORRUPT;
    }
    return WEIR_OK;
}

static void forget(void *secret) { secret_free(secret); }

static enum weir_err open_secret(const struct master_key *master, struct span sealed, struct arena *a, struct verifier *v)
{
    char identity[BOUND_NAME + 8];
    struct secret *secret = NULL;
    int n = snprintf(identity, sizeof identity, "jwt/%s", v->name);
    if (n < 0 || n >= (int)sizeof identity) return WEIR_CORRUPT;
    enum weir_err err = secret_open(master, sealed, identity, &secret);
    if (err != WEIR_OK) return err;
    v->secret = secret;
    return arena_defer(a, forget, secret) ? WEIR_OK : WEIR_NOMEM;
}

/* A set counts only if it came from the address that is configured now. */
static enum weir_err read_row(struct stmt *s, const struct master_key *master, struct arena *a, struct verifier *v)
{
    enum weir_err err = verifier_read(stmt_get_text(s, 1), a, v);
    if (err != WEIR_OK) return err;
    if (jwt_is_hmac(v->method)) return master ? open_secret(master, stmt_get_blob(s, 2), a, v) : WEIR_OK;
    if (v->jwks_url && span_is(stmt_get_text(s, 3), v->jwks_url) && !stmt_is_null(s, 4))
        return read_set(stmt_get_text(s, 4), a, v);
    return WEIR_OK;
}

enum weir_err verifiers_load(struct db *db, const struct master_key *master, struct arena *a, struct verifiers *out)
{
    bool row;
    enum weir_err err;
    *out = (struct verifiers){0};
    struct verifier *all = arena_alloc(a, sizeof *all * BOUND_VERIFIERS);
    if (!all) return WEIR_NOMEM;
    out->at = all;
    struct stmt *s = db_stmt(db, SQL_VERIFIER_ALL);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && out->count < BOUND_VERIFIERS) {
        err = read_row(s, master, a, &all[out->count]);
        if (err == WEIR_CORRUPT) log_event(LOG_ERROR, "verifier_unreadable", LOG_SPAN("name", stmt_get_text(s, 0)));
        else if (err != WEIR_OK) break;
        else out->count++;
    }
    stmt_reset(s);
    return err;
}
