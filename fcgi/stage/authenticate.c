/* Second step: the credential, the key it belongs to, and whose name it speaks in. Never says which part was wrong; the
 * secret itself goes no further than into its hash. */
#include "fcgi/stage/authenticate.h"

#include "fcgi/base/text.h"

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

static enum weir_err credential_of(const struct request *r, struct span *out, struct problem *p)
{
    struct span key = r->api_key.value ? span_trim(span_of(r->api_key.value)) : SPAN_NONE;
    struct span bearer = r->authorization.value ? bearer_of(r->authorization.value) : SPAN_NONE;
    if (r->api_key.times > 1 || is_joined(key)) return doubled(p, "x-api-key");
    if (r->authorization.times > 1 || is_joined(bearer)) return doubled(p, "Authorization");
    if (key.len && bearer.len && !span_eq(key, bearer))
        return problem_set(p, WEIR_INVALID, NULL, "The headers x-api-key and Authorization hold different credentials.");
    *out = key.len ? key : bearer;
    return out->len && out->len <= BOUND_CREDENTIAL ? WEIR_OK : no_key(p);
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

/* ---- the key ---- */

enum weir_err authenticate(struct store *store, const struct request *r, struct arena *a, struct caller *c,
                           struct problem *p)
{
    struct span credential = SPAN_NONE;
    *c = (struct caller){0};
    enum weir_err err = credential_of(r, &credential, p);
    if (err != WEIR_OK) return err;
    secret_client_hash(store_master(store), credential, &c->hash);
    err = store_look(store, &c->hash, a, &c->snap, &c->key);
    if (err == WEIR_NOT_FOUND) return no_key(p);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    if (!key_is_live(&c->key, r->begun_wall_ms)) return no_key(p);
    c->known = true;
    c->user = c->key.user;
    c->team = c->key.team;
    c->role = c->key.role;
    c->rolegroup = c->key.rolegroup;
    if (!key_allows_ip(&c->key, span_of(r->ip))) return problem_set(p, WEIR_IP_FORBIDDEN, NULL, NULL);
    return take_identity(c, r, p);
}
