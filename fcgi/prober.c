/* The prober's rounds. A round asks memory whether anything is due; only then it takes the lease, and only its holder
 * probes. */
#include "fcgi/prober.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "fcgi/provider/probe.h"
#include "sql/background.h"
#include "sql/probing.h"

#define ROUND_MS 1000
#define FLUSH_MS 10000
#define STEP_MS  5000  /* how long a write is waited for */
#define LEASE_MS 120000 /* more than a round of probes takes */

struct prober {
    struct store *store;
    struct pulse *pulse;
    char *data_dir;
    char name[33];
    struct http_pool *calls;
    struct http_pool *pool;
    int stop_fd;
    pthread_t thread;
    int64_t flushed;
};

/* ---- writing ---- */

struct note_job {
    struct job job; /* first */
    struct health_map *map;
    struct probe_news news;
    char provider[BOUND_NAME + 1], key[BOUND_NAME + 1], error[200], holder[33];
    bool mine;      /* of the lease */
};

static enum weir_err lease_run(struct job *j, struct db *db)
{
    struct note_job *n = (struct note_job *)j;
    return lease_take(db, "probes", n->holder, clock_wall_ms(), LEASE_MS, &n->mine);
}

static enum weir_err note_run(struct job *j, struct db *db)
{
    struct note_job *n = (struct note_job *)j;
    return probing_note(db, n->map, &n->news, clock_wall_ms());
}

static void note_free(struct job *j)
{
    health_release(((struct note_job *)j)->map);
    free(j);
}

static struct note_job *job_new(enum weir_err (*run)(struct job *, struct db *))
{
    struct note_job *n = calloc(1, sizeof *n);
    if (n) n->job = (struct job){.run = run, .dispose = note_free};
    return n;
}

static bool has_lease(struct prober *p)
{
    struct note_job *n = job_new(lease_run);
    if (!n) return false;
    memcpy(n->holder, p->name, sizeof n->holder);
    bool mine = writer_run(store_writer(p->store), &n->job, STEP_MS, false) == WEIR_OK && n->mine;
    job_release(&n->job);
    return mine;
}

static void write_down(struct prober *p, struct health_map *map, const struct probe_due *due, const struct probe_result *r)
{
    struct note_job *n = job_new(note_run);
    if (!n) return;
    if (map) health_hold(n->map = map);
    snprintf(n->provider, sizeof n->provider, "%s", due->provider->name);
    snprintf(n->key, sizeof n->key, "%s", due->key ? due->key->name : "");
    snprintf(n->error, sizeof n->error, "probe: %s", r->error);
    n->news = (struct probe_news){.provider = n->provider, .key = due->key ? n->key : NULL,
                                  .error = *r->error ? n->error : NULL, .status = r->status, .latency_ms = r->latency_ms};
    bool told = writer_run(store_writer(p->store), &n->job, STEP_MS, false) == WEIR_OK;
    job_release(&n->job);
    if (told) pulse_ring(p->data_dir);
}

/* ---- rounds ---- */

static bool is_stopped(const struct prober *p, int wait_ms)
{
    struct pollfd fd = {.fd = p->stop_fd, .events = POLLIN};
    return poll(&fd, 1, wait_ms) > 0;
}

static void probe(struct prober *p, struct health_map *map, const struct probe_due *due)
{
    struct probe_result r;
    probe_provider(p->pool, due->provider, due->key, &r);
    if (is_stopped(p, 0)) return; /* it was broken off */
    log_event(*r.error ? LOG_WARN : LOG_DEBUG, "probed", LOG_TEXT("provider", due->provider->name),
              LOG_INT("status", r.status), LOG_INT("ms", r.latency_ms), LOG_TEXT("error", r.error));
    write_down(p, map, due, &r);
}

static void go_round(struct prober *p)
{
    struct probe_due due[PROBES_MOST];
    struct snapshot *snap;
    struct arena none;
    arena_init(&none);
    if (store_look(p->store, NULL, &none, &snap, NULL) != WEIR_OK) return;
    struct health_map *map = pulse_hold(p->pulse);
    int n = probing_due(snap, map, clock_wall_ms(), due, PROBES_MOST);
    if (n && has_lease(p)) {
        health_release(map);
        map = pulse_hold(p->pulse); /* whoever had the lease before may have done it */
        n = probing_due(snap, map, clock_wall_ms(), due, PROBES_MOST);
        for (int i = 0; i < n && !is_stopped(p, 0); i++) probe(p, map, &due[i]);
    }
    health_release(map);
    snapshot_release(snap);
    if (clock_mono_ms() - p->flushed < FLUSH_MS) return;
    p->flushed = clock_mono_ms();
    pulse_flush(p->pulse, STEP_MS);
}

static void *prober_main(void *arg)
{
    struct prober *p = arg;
    do {
        go_round(p);
        http_pool_tidy(p->calls);
    } while (!is_stopped(p, ROUND_MS));
    return NULL;
}

/* ---- start and stop ---- */

static void let_go(struct prober *p)
{
    http_pool_free(p->pool);
    if (p->stop_fd >= 0) close(p->stop_fd);
    free(p->data_dir);
    free(p);
}

enum weir_err prober_start(struct store *s, struct pulse *pulse, struct http_pool *calls, const char *data_dir,
                           struct prober **out)
{
    unsigned char random[16];
    struct prober *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p) return WEIR_NOMEM;
    *p = (struct prober){.store = s, .pulse = pulse, .calls = calls, .data_dir = strdup(data_dir),
                         .flushed = clock_mono_ms(), .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    secret_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) snprintf(p->name + 2 * i, 3, "%02x", random[i]);
    enum weir_err err = p->data_dir && p->stop_fd >= 0 ? http_pool_new(p->stop_fd, &p->pool) : WEIR_NOMEM;
    if (err == WEIR_OK) err = background_start(&p->thread, prober_main, p);
    if (err == WEIR_OK) *out = p;
    else let_go(p);
    return err;
}

void prober_stop(struct prober *p)
{
    uint64_t one = 1;
    if (!p) return;
    if (write(p->stop_fd, &one, sizeof one) < 0) log_event(LOG_ERROR, "wake_failed");
    pthread_join(p->thread, NULL);
    let_go(p);
}
