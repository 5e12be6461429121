/* Key sets are fetched here, beside the requests: no request waits for an issuer of tokens. Several processes may do it;
 * a claim in the database makes it one at a time. What cannot be fetched leaves the last good set in force. A thread apart
 * from the housekeeper's, for a slow issuer must not keep that from sweeping. */
#include "fcgi/keyring.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "fcgi/provider/jwks.h"
#include "sql/background.h"
#include "sql/key_sets.h"

#define ROUND_MS 1000 /* so long may a set be wanted before it is fetched */
#define STEP_MS  5000 /* how long a step is waited for */

struct keyring {
    struct store *store;
    struct http_pool *pool;
    pthread_t thread;
    int stop_fd; /* readable: end */
};

/* ---- steps in the database ---- */

struct step {
    struct job job; /* first */
    struct snapshot *snap; /* held: the verifier is its */
    const struct verifier *verifier;
    struct buf keys;
    char fault[JWKS_FAULT];
    int64_t now_ms, tried;
    bool due, mine, fetched;
};

static void step_free(struct job *j)
{
    struct step *s = (struct step *)j;
    snapshot_release(s->snap);
    buf_free(&s->keys);
    free(s);
}

static struct step *step_new(struct snapshot *snap, const struct verifier *v,
                             enum weir_err (*run)(struct job *, struct db *))
{
    struct step *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    *s = (struct step){.job = {.run = run, .dispose = step_free}, .snap = snap, .verifier = v, .now_ms = clock_wall_ms()};
    snapshot_hold(snap);
    buf_init(&s->keys, BOUND_KEY_SET * 2);
    return s;
}

static enum weir_err look(struct db *db, void *arg)
{
    struct step *s = arg;
    return key_set_is_due(db, s->verifier, s->now_ms, &s->due, &s->tried);
}

static enum weir_err claim(struct job *j, struct db *db)
{
    struct step *s = (struct step *)j;
    return key_set_claim(db, s->verifier, s->now_ms, s->tried, &s->mine);
}

static enum weir_err put(struct job *j, struct db *db)
{
    struct step *s = (struct step *)j;
    if (!s->fetched) return key_set_failed(db, s->verifier, s->fault);
    return key_set_put(db, s->verifier, buf_all(&s->keys), s->now_ms);
}

/* Is the set due, and ours to fetch? */
static bool claimed(struct keyring *k, struct snapshot *snap, const struct verifier *v)
{
    struct step *s = step_new(snap, v, claim);
    if (!s) return false;
    bool mine = store_read(k->store, look, s) == WEIR_OK && s->due &&
                writer_run(store_writer(k->store), &s->job, STEP_MS, false) == WEIR_OK && s->mine;
    job_release(&s->job);
    return mine;
}

/* ---- rounds ---- */

static bool is_stopped(const struct keyring *k, int wait_ms)
{
    struct pollfd p = {.fd = k->stop_fd, .events = POLLIN};
    return poll(&p, 1, wait_ms) > 0;
}

static void fetch(struct keyring *k, struct snapshot *snap, const struct verifier *v)
{
    struct step *s = step_new(snap, v, put);
    if (!s) return;
    enum weir_err err = jwks_fetch(k->pool, v->jwks_url, v->method, k->stop_fd, &s->keys, s->fault);
    s->fetched = err == WEIR_OK;
    if (err != WEIR_OK && err != WEIR_GONE)
        log_event(LOG_WARN, "key_set_failed", LOG_TEXT("verifier", v->name), LOG_TEXT("reason", s->fault),
                  LOG_TEXT("in_force", v->key_count ? "the last good set" : "none"));
    if (err != WEIR_GONE && writer_run(store_writer(k->store), &s->job, STEP_MS, true) == WEIR_OK && s->fetched)
        log_event(LOG_INFO, "key_set_fetched", LOG_TEXT("verifier", v->name));
    job_release(&s->job);
}

static void go_round(struct keyring *k)
{
    struct snapshot *snap;
    if (store_look(k->store, NULL, NULL, &snap, NULL) != WEIR_OK) return;
    for (int i = 0; i < snap->verifiers.count && !is_stopped(k, 0); i++) {
        const struct verifier *v = &snap->verifiers.at[i];
        if (v->jwks_url && claimed(k, snap, v)) fetch(k, snap, v);
    }
    snapshot_release(snap);
}

static void *keyring_main(void *arg)
{
    struct keyring *k = arg;
    do go_round(k);
    while (!is_stopped(k, ROUND_MS));
    return NULL;
}

enum weir_err keyring_start(struct store *store, struct http_pool *pool, struct keyring **out)
{
    struct keyring *k = calloc(1, sizeof *k);
    *out = NULL;
    if (!k) return WEIR_NOMEM;
    *k = (struct keyring){.store = store, .pool = pool, .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    enum weir_err err = k->stop_fd < 0 ? WEIR_IO : background_start(&k->thread, keyring_main, k);
    if (err == WEIR_OK) {
        *out = k;
        return WEIR_OK;
    }
    if (k->stop_fd >= 0) close(k->stop_fd);
    free(k);
    return err;
}

void keyring_stop(struct keyring *k)
{
    uint64_t one = 1;
    if (!k) return;
    if (write(k->stop_fd, &one, sizeof one) < 0) log_event(LOG_ERROR, "stop_failed");
    pthread_join(k->thread, NULL);
    close(k->stop_fd);
    free(k);
}
