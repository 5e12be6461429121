/* Who asks: an administrator's key, as x-api-key or Bearer, or else a session. Never says which part was wrong; the secret
 * itself goes no further than into its hash. */
#include "admin/web_authenticate.h"

#include <unistd.h>

#include "admin/session.h"
#include "fcgi/base/log.h"
#include "sql/writer.h"

/* ---- the credential ---- */

/* The token of "Bearer TOKEN" (RFC 6750 2.1, scheme in any case); absent if it is not of that form. */
static struct span bearer_of(const char *authorization)
{
    struct span s = span_trim(span_of(authorization));
    if (s.len < 7 || strncasecmp(s.at, "bearer ", 7) != 0) return SPAN_NONE;
    return span_trim((struct span){s.at + 7, s.len - 7});
}

static enum weir_err no_key(struct problem *p)
{
    return problem_set(p, WEIR_UNAUTHENTICATED, NULL,
                       "No valid administrator's key was given. Send one as \"Authorization: Bearer KEY\" or \"x-api-key: "
                       "KEY\"; `weir admin add` makes one.");
}

static enum weir_err doubled(struct problem *p, const char *name)
{
    return problem_set(p, WEIR_INVALID, NULL, "The header %s was given more than once.", name);
}

/* Web servers join repeated headers with a comma, and no credential contains one. */
static bool is_joined(struct span s) { return s.len && memchr(s.at, ',', s.len); }

static enum weir_err credential_of(const struct web_request *r, struct span *out, struct problem *p)
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

/* ---- the key ---- */

static enum weir_err by_key(struct web_way *w, struct span credential)
{
    struct problem *p = &w->problem;
    struct client_hash hash;
    struct admin_key found;
    secret_client_hash(w->web->master, credential, &hash);
    enum weir_err err = admin_key_find(w->db, &hash, &w->memory, &found);
    if (err == WEIR_NOT_FOUND) return no_key(p);
    if (err != WEIR_OK) return problem_set(p, err, NULL, NULL);
    if (!admin_key_is_live(&found, w->r.begun_wall_ms)) return no_key(p);
    w->who = (struct web_who){.name = found.name, .role = found.role, .key = found.id, .last_seen = found.last_used};
    return WEIR_OK;
}

/* A session comes from a browser, which sends its cookie with whatever a foreign page makes it send: so what changes
 * something must bring the session's token too. */
static enum weir_err by_session(struct web_way *w)
{
    bool reads = w->r.method == WEB_GET || w->r.method == WEB_HEAD;
    enum weir_err err = session_enter(w);
    if (err == WEIR_UNAUTHENTICATED) return no_key(&w->problem);
    if (err != WEIR_OK) return problem_set(&w->problem, err, NULL, NULL);
    if (w->who.must_change)
        return problem_set(&w->problem, WEIR_ROLE_FORBIDDEN, NULL, "The password must be changed first.");
    return reads ? WEIR_OK : session_check_csrf(w, w->r.csrf);
}

enum weir_err web_authenticate(struct web_way *w, enum admin_role least)
{
    struct span credential = SPAN_NONE;
    bool is_session = w->r.cookie && !w->r.api_key.times && !w->r.authorization.times;
    enum weir_err err = is_session ? WEIR_OK : credential_of(&w->r, &credential, &w->problem);
    if (err == WEIR_OK) err = is_session ? by_session(w) : by_key(w, credential);
    if (err != WEIR_OK || w->who.role >= least) return err;
    return problem_set(&w->problem, WEIR_ROLE_FORBIDDEN, NULL, "This %s's role is %s; this takes %s.",
                       is_session ? "administrator" : "key", admin_role_names[w->who.role], admin_role_names[least]);
}

void web_note_use(struct web_way *w)
{
    session_note_use(w);
    if (!w->who.key || w->who.last_seen > w->r.begun_wall_ms - ADMIN_KEY_USE_MS) return;
    int lock = writer_lock(w->web->data_dir);
    enum weir_err err = lock < 0 ? WEIR_BUSY : admin_key_touch(w->db, w->who.key, w->r.begun_wall_ms);
    if (lock >= 0) close(lock);
    if (err != WEIR_OK) log_event(LOG_WARN, "key_use_not_noted", LOG_TEXT("key", w->who.name),
                                  LOG_TEXT("reason", weir_err_info(err)->text));
}
