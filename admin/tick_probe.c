/* Probes from `weir tick`: as the gateway's prober, once. */
#include "admin/tick_probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "fcgi/provider/probe.h"
#include "sql/probing.h"
#include "sql/pulse.h"

#define ALL_MS 20000
#define LEASE_MS 60000

struct looking {
    struct weir *w;
    struct db *db;
    struct health_map *map;
    const struct probe_news *news;
    char holder[40];
    bool mine; /* the lease */
};

static enum weir_err take_lease(struct looking *l)
{
    return lease_take(l->db, "probes", l->holder, clock_wall_ms(), LEASE_MS, &l->mine);
}

static enum weir_err note(struct looking *l)
{
    return probing_note(l->db, l->map, l->news, clock_wall_ms());
}

static enum weir_err transact(struct looking *l, enum weir_err (*step)(struct looking *))
{
    int lock = writer_lock(l->w->data_dir);
    enum weir_err err;

    if (lock < 0) return errno == ETIMEDOUT ? WEIR_BUSY : WEIR_STORAGE;
    err = db_begin(l->db);
    if (!err) err = step(l);
    if (!err) err = db_commit(l->db);
    if (err) db_rollback(l->db);
    close(lock);
    return err;
}

static enum weir_err probe(struct looking *l, struct http_pool *pool, const struct probe_due *due, int64_t *alive)
{
    struct probe_result r;
    struct probe_news news;
    enum weir_err err;

    probe_provider(pool, due->provider, due->key, &r);
    news = (struct probe_news){.provider = due->provider->name, .key = due->key ? due->key->name : NULL,
                               .error = *r.error ? r.error : NULL, .status = r.status, .latency_ms = r.latency_ms};
    l->news = &news;
    err = transact(l, note);
    if (!err) pulse_ring(l->w->data_dir);
    *alive += !*r.error;
    return err;
}

static enum weir_err probe_all(struct looking *l, const struct snapshot *snap, int64_t *probed, int64_t *alive)
{
    struct probe_due due[PROBES_MOST];
    struct http_pool *pool = NULL;
    int64_t until = clock_mono_ms() + ALL_MS;
    int n = probing_due(snap, l->map, clock_wall_ms(), due, PROBES_MOST);
    enum weir_err err = n ? transact(l, take_lease) : WEIR_OK;

    if (err || !l->mine) return err;
    err = http_start();
    if (!err) err = http_pool_new(-1, &pool);
    for (int i = 0; i < n && !err && clock_mono_ms() < until; i++, ++*probed) err = probe(l, pool, &due[i], alive);
    http_pool_free(pool);
    return err;
}

enum weir_err tick_probe(struct weir *w, struct db *db, int64_t *probed, int64_t *alive)
{
    struct looking l = {.w = w, .db = db};
    struct master_key *master = NULL;
    struct snapshot *snap = NULL;
    enum weir_err err = WEIR_OK;

    snprintf(l.holder, sizeof l.holder, "tick %ld", (long)getpid());
    if (!weir_master(w, &master)) return WEIR_NOT_FOUND;
    err = snapshot_load(db, master, &snap);
    if (!err) err = health_load(db, &l.map);
    if (!err) err = probe_all(&l, snap, probed, alive);
    health_release(l.map);
    snapshot_release(snap);
    master_key_free(master);
    return err;
}
