/* Probes by the rules: no provider or key is probed twice for the same reason, and each failure doubles its pause. */
#include "sql/probing.h"

#include <string.h>

#define FAST_MS 500

/* A breaker whose pause is over, of something that gave no answer: whoever answers a probe may be asked again. What did
 * answer, but wrongly, is left to a real request. */
static bool awaits_probe(const struct health_row *r, int64_t now)
{
    return r->kind == HEALTH_TARGET && r->unreached && breaker_may(&r->breaker, now) == BREAKER_CLAIM;
}

static bool provider_is_due(const struct health_map *m, const char *provider, int64_t now)
{
    const struct health_row *own = health_find(m, HEALTH_PROVIDER, provider, "");
    if (!own || !own->probed || own->probed > now || now - own->probed >= PROBE_EVERY_MS) return true;
    for (int i = 0; m && i < m->count; i++)
        if (awaits_probe(&m->rows[i], now) && strcmp(m->rows[i].provider, provider) == 0) return true;
    return false;
}

static bool key_is_due(const struct health_map *m, const char *provider, const char *key, int64_t now)
{
    const struct health_row *r = health_find(m, HEALTH_KEY, provider, key);
    if (!r || !r->disabled) return false;
    int64_t last = r->probed > r->error_at ? r->probed : r->error_at;
    return last > now || now - last >= PROBE_EVERY_MS;
}

static bool is_refused(const struct health_map *m, const char *provider, const char *key)
{
    const struct health_row *r = health_find(m, HEALTH_KEY, provider, key);
    return r && r->disabled;
}

int probing_due(const struct snapshot *s, const struct health_map *m, int64_t now, struct probe_due *out, int most)
{
    int n = 0;
    for (int i = 0; i < s->provider_count; i++) {
        const struct provider_row *p = &s->providers[i];
        int used = 0;
        while (used < p->key_count && is_refused(m, p->name, p->keys[used].name)) used++;
        if (n < most && provider_is_due(m, p->name, now))
            out[n++] = (struct probe_due){p, used < p->key_count ? &p->keys[used] : NULL};
        for (int k = 0; k < p->key_count; k++)
            if (n < most && key_is_due(m, p->name, p->keys[k].name, now)) out[n++] = (struct probe_due){p, &p->keys[k]};
    }
    return n;
}

static enum weir_err note_provider(struct db *db, struct arena *a, const struct probe_news *n, int64_t now)
{
    struct health_row r;
    bool alive = !n->error || n->status == 401 || n->status == 403; /* it is the key that it does not like */
    enum weir_err err = health_read(db, a, HEALTH_PROVIDER, n->provider, "", &r);
    if (err != WEIR_OK) return err;
    r.probed = now;
    r.seen = !alive ? SEEN_DISCONNECTED : n->latency_ms < FAST_MS ? SEEN_CONNECTED : SEEN_SLOW;
    if (alive) r.latency_ms = n->latency_ms;
    if (n->error) {
        r.error = n->error;
        r.error_at = now;
    }
    return health_put(db, &r, now);
}

static enum weir_err note_target(struct db *db, struct arena *a, const struct health_row *known, const struct probe_news *n,
                                 int64_t now)
{
    struct health_row r;
    enum weir_err err = health_read(db, a, HEALTH_TARGET, known->provider, known->name, &r);
    if (err != WEIR_OK || !awaits_probe(&r, now)) return err;
    if (n->status) {
        breaker_trial(&r.breaker, now);
    } else {
        breaker_claim(&r.breaker, now);
        breaker_bad(&r.breaker, now);
        r.error = n->error;
        r.error_at = now;
    }
    return health_put(db, &r, now);
}

/* A key that was refused while its probe was under way stays so: the request's word is the later one. */
static enum weir_err note_key(struct db *db, struct arena *a, const struct health_map *m, const struct probe_news *n,
                              int64_t now)
{
    struct health_row r;
    enum weir_err err = health_read(db, a, HEALTH_KEY, n->provider, n->key, &r);
    if (err != WEIR_OK || !r.disabled || !is_refused(m, n->provider, n->key)) return err;
    r.probed = now;
    if (n->status && !n->error) r.disabled = NULL;
    return health_put(db, &r, now);
}

enum weir_err probing_note(struct db *db, const struct health_map *m, const struct probe_news *n, int64_t now)
{
    struct arena a;
    arena_init(&a);
    enum weir_err err = note_provider(db, &a, n, now);
    for (int i = 0; m && i < m->count && err == WEIR_OK; i++)
        if (m->rows[i].kind == HEALTH_TARGET && strcmp(m->rows[i].provider, n->provider) == 0)
            err = note_target(db, &a, &m->rows[i], n, now);
    if (err == WEIR_OK && n->key) err = note_key(db, &a, m, n, now);
    arena_end(&a);
    return err;
}
