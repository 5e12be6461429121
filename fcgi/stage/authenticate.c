/* Second step: the caller's address, the credential, the key or token it is, and whose name it speaks in. Never says which
 * part was wrong; the secret itself goes no further than into its hash. */
#include "fcgi/stage/authenticate.h"

#include "fcgi/base/forwarded.h"
#include "fcgi/stage/token.h"
#include "sql/list.h"

/* ---- the credential ---- */

/* The token of "Bearer TOKEN" (RFC 6750 2.1, scheme in any case); absent if it is not of that form. */
static struct span bearer_of(const char *authorization)
{
    struct span s = span_trim(span_of(authorization));
    if (s.len < 7 || strncasecmp(s.at, "bearer ", 7) != 0) return SPAN_NONE;
    s.at += 7;
    s.len -= 7;
    return span_trim(s);
}

static enum weir_err no_key(struct problem *p)
{
    return problem_set(p, WEIR_UNAUTHENTICATED, NULL,
                       "No valid API key was given. Send one as \"Authorization: Bearer KEY\" or \"x-api-key: KEY\".");
}

static enum weir_err doubled(struct problem *p, const char *name)
{
    return problem_set(p, WEIR_INVALID, NULL, "The header %s was given more than once.", name);
}

/* Web servers join repeated headers with a comma, and no credential contains one. */
static bool is_joined(struct span s) { return s.len && memchr(s.at, ',', s.len); }

enum presented { PRESENTED_NOTHING, PRESENTED_NONSENSE, PRESENTED_CREDENTIAL };

/* What an Authorization header is that holds no Bearer token: the web server's own (Basic), or empty, is nothing to us. */
static enum presented other_than_bearer(const char *authorization)
{
    struct span s = span_trim(span_of(authorization));
    bool nothing = !s.len || span_is_nocase(s, "bearer") || (s.len >= 6 && strncasecmp(s.at, "basic ", 6) == 0);
    return nothing ? PRESENTED_NOTHING : PRESENTED_NONSENSE;
}

static enum weir_err credential_of(const struct request *r, enum presented *what, struct span *out, struct problem *p)
{
    struct span key = r->api_key.value ? span_trim(span_of(r->api_key.value)) : SPAN_NONE;
    struct span bearer = r->authorization.value ? bearer_of(r->authorization.value) : SPAN_NONE;
    if (r->api_key.times > 1 || is_joined(key)) return doubled(p, "x-api-key");
    if (r->authorization.times > 1 || is_joined(bearer)) return doubled(p, "Authorization");
    if (key.len && bearer.len && !span_eq(key, bearer))
        return problem_set(p, WEIR_INVALID, NULL, "The headers x-api-key and Authorization hold different credentials.");
    *out = key.len ? key : bearer;
    *what = !out->len ? other_than_bearer(r->authorization.value)
          : out->len <= BOUND_CREDENTIAL ? PRESENTED_CREDENTIAL : PRESENTED_NONSENSE;
    return WEIR_OK;
}

/* ---- where from ---- */

static bool is_proxy(const void *list, struct span address) { return list_has_range(list, address); }

static void take_address(const struct request *r, struct caller *c)
{
    const char *list = c->snap->settings.trusted_proxies;
    const struct proxies proxies = {is_proxy, list};
    /* Given twice under names that web servers hold for one (X_Forwarded_For), it is the client's own. */
    struct span many = r->forwarded_for.times == 1 ? span_of(r->forwarded_for.value) : SPAN_NONE;
    struct span standard = r->forwarded.times == 1 ? span_of(r->forwarded.value) : SPAN_NONE;
    bool twice = r->forwarded_for.times > 1 || r->forwarded.times > 1;
    bool known = forwarded_client(span_of(r->peer), many, standard, list && !twice ? &proxies : NULL, c->ip);
    c->ip_is_vague = !known || (list && twice && is_proxy(list, span_of(r->peer)));
}

/* ---- whose name ---- */

/* An identity header's value as it may stand in scopes, rows and pages. */
static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] < ' ' || s.at[i] == 0x7F) return false;
    return s.len <= BOUND_NAME && text_is_utf8(s);
}

static enum weir_err take_identity(struct caller *c, const struct request *r, struct problem *p)
{
    const struct { const char *name; const struct header_seen *seen; const char **to; } all[] = {
        {"x-user-id", &r->user, &c->user}, {"x-team-id", &r->team, &c->team},
        {"x-role", &r->role, &c->role}, {"x-llm-rolegroup", &r->rolegroup, &c->rolegroup},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i].seen->times > 1 || is_joined(span_of(all[i].seen->value))) return doubled(p, all[i].name);
        if (!all[i].seen->value || !*all[i].seen->value) continue;
        if (!c->key.may_assert)
            return problem_set(p, WEIR_IDENTITY_FORBIDDEN, NULL, "This key may not assert another identity (%s).",
                               all[i].name);
        if (!is_name(span_of(all[i].seen->value)))
            return problem_set(p, WEIR_INVALID, NULL,
                               "The header %s must be at most %d bytes of UTF-8 without control characters.",
                               all[i].name, BOUND_NAME);
        *all[i].to = all[i].seen->value;
    }
    return WEIR_OK;
}

/* ---- the key, or the token ---- */

static void take_key(struct caller *c)
{
    c->known = true;
    c->user = c->key.user;
    c->team = c->key.team;
    c->role = c->key.role;
    c->rolegroup = c->key.rolegroup;
}

/* A token that was taken is remembered by its whole hash, as a key is, until it is over or the configuration changes. */
static enum weir_err find_token(const struct gate *g, struct span credential, int64_t now_ms, struct arena *a,
                                struct caller *c)
{
    struct token_verdict verdict;
    enum weir_err err = token_judge(&c->snap->verifiers, g->own, credential, now_ms, a, &verdict);
    if (err == WEIR_OK) {
        c->key = verdict.key;
        store_remember(g->store, &c->hash, c->snap, &c->key);
    } else if (verdict.wanted) {
        store_want_keys(g->store, verdict.wanted, now_ms);
    }
    return err;
}

static enum weir_err braked(struct problem *p, int64_t wait_ms)
{
    enum weir_err err = problem_set(p, WEIR_RATE_LIMITED, NULL,
                                    "Too many attempts with no valid API key from this address.");
    p->retry_after_s = (int)((wait_ms + 999) / 1000);
    return err;
}

/* The configuration, and with it the address; then, unless that address has failed too often, who it is. */
static enum weir_err find_caller(const struct gate *g, const struct request *r, struct span credential, struct arena *a,
                                 struct caller *c, struct problem *p)
{
    secret_client_hash(store_master(g->store), credential, &c->hash);
    /* Whoever is known is not held up, nor asked for again because of a change of configuration. */
    bool found = store_recall(g->store, &c->hash, a, &c->snap, &c->key), known = found || store_knew(g->store, &c->hash);
    enum weir_err err = found ? WEIR_OK : store_look(g->store, NULL, a, &c->snap, NULL);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    take_address(r, c);
    int64_t wait_ms = known ? 0 : brake_wait_ms(g->brake, span_of(c->ip), r->begun_mono_ms);
    if (wait_ms) return braked(p, wait_ms);
    if (!found) {
        snapshot_release(c->snap);
        err = store_look(g->store, &c->hash, a, &c->snap, &c->key);
    }
    if (err == WEIR_NOT_FOUND && token_is_one(credential)) err = find_token(g, credential, r->begun_wall_ms, a, c);
    if (err == WEIR_OK && key_is_live(&c->key, r->begun_wall_ms)) return WEIR_OK;
    if (err != WEIR_OK && err != WEIR_NOT_FOUND && err != WEIR_UNAUTHENTICATED) return problem_set(p, err, NULL, NULL);
    brake_note(g->brake, span_of(c->ip), r->begun_mono_ms);
    return no_key(p);
}

/* Who presents nothing is nobody, if nobody is let in. */
static enum weir_err find_nobody(const struct gate *g, const struct request *r, struct arena *a, struct caller *c,
                                 struct problem *p)
{
    enum weir_err err = store_look(g->store, NULL, a, &c->snap, NULL);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    take_address(r, c);
    if (!c->snap->settings.anonymous) return no_key(p);
    c->key = (struct key){.user = ANONYMOUS};
    return WEIR_OK;
}

enum weir_err authenticate(const struct gate *g, const struct request *r, const char *endpoint, struct arena *a,
                           struct caller *c, struct problem *p)
{
    struct span credential = SPAN_NONE;
    enum presented what = PRESENTED_NOTHING;
    *c = (struct caller){0};
    enum weir_err err = credential_of(r, &what, &credential, p);
    if (err != WEIR_OK) return err;
    if (what == PRESENTED_NONSENSE) return no_key(p);
    err = what == PRESENTED_NOTHING ? find_nobody(g, r, a, c, p) : find_caller(g, r, credential, a, c, p);
    if (err != WEIR_OK) return err;
    take_key(c);
    /* Of an address that only a proxy is known to have, a range that lets it in says nothing. */
    if (!key_allows_ip(&c->key, c->ip_is_vague ? SPAN_NONE : span_of(c->ip)))
        return problem_set(p, WEIR_IP_FORBIDDEN, NULL, NULL);
    if (endpoint && !key_allows_endpoint(&c->key, span_of(endpoint)))
        return problem_set(p, WEIR_ENDPOINT_FORBIDDEN, NULL, NULL);
    return take_identity(c, r, p);
}
