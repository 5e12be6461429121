/* The process's copy of health, its counts, and the jobs by which it writes. */
#include "sql/pulse.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/tally.h"

#define FRESH_MS    1000   /* a change by a program that rings no bell is seen after that */
#define CLAIM_MS    2000
#define FLUSH_ROWS  64     /* in one job */

struct pulse {
    struct store *store;
    int stamp;
    pthread_mutex_t loading; /* taken before lock */
    pthread_mutex_t lock;    /* the rest */
    struct health_map *map;
    uint64_t seen;           /* the stamp under which map was read */
    int64_t loaded;
    bool is_loading;
    struct tallies tallies;
};

/* ---- the stamp: random, so that two who write it at once leave something new all the same ---- */

static int stamp_file(const char *data_dir)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/health.stamp", data_dir) >= (int)sizeof path) return -1;
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static void ring(int fd)
{
    uint64_t value;
    secret_random(&value, sizeof value);
    if (fd >= 0 && pwrite(fd, &value, sizeof value, 0) < 0) log_event(LOG_WARN, "health_stamp_failed");
}

static uint64_t look(int fd)
{
    uint64_t value = 0;
    return fd >= 0 && pread(fd, &value, sizeof value, 0) == (ssize_t)sizeof value ? value : 0;
}

void pulse_ring(const char *data_dir)
{
    int fd = stamp_file(data_dir);
    ring(fd);
    if (fd >= 0) close(fd);
}

/* ---- the copy ---- */

static enum weir_err load(struct db *db, void *arg) { return health_load(db, arg); }

/* What is held, if it may still be believed; old: also if it is only its age that speaks against it. */
static struct health_map *hold_if(struct pulse *p, uint64_t stamp, bool old)
{
    struct health_map *m = NULL;
    if (p->map && p->seen == stamp && (old || clock_mono_ms() - p->loaded < FRESH_MS)) health_hold(m = p->map);
    return m;
}

static struct health_map *load_anew(struct pulse *p)
{
    struct health_map *fresh = NULL, *old = NULL, *held;
    pthread_mutex_lock(&p->loading);
    uint64_t stamp = look(p->stamp);
    pthread_mutex_lock(&p->lock);
    held = hold_if(p, stamp, false);
    p->is_loading = !held;
    pthread_mutex_unlock(&p->lock);
    if (!held) {
        enum weir_err err = store_read(p->store, load, &fresh);
        pthread_mutex_lock(&p->lock);
        if (err == WEIR_OK) {
            old = p->map;
            p->map = fresh;
            p->seen = stamp;
        }
        p->loaded = clock_mono_ms();
        if ((held = p->map)) health_hold(held);
        p->is_loading = false;
        pthread_mutex_unlock(&p->lock);
    }
    pthread_mutex_unlock(&p->loading);
    health_release(old);
    return held;
}

struct health_map *pulse_hold(struct pulse *p)
{
    if (!p) return NULL;
    uint64_t stamp = look(p->stamp);
    pthread_mutex_lock(&p->lock);
    struct health_map *m = hold_if(p, stamp, p->is_loading);
    pthread_mutex_unlock(&p->lock);
    return m ? m : load_anew(p);
}

/* ---- counts; the lock is held ---- */

static struct tally *tally_of(struct pulse *p, enum health_kind kind, const char *provider, const char *name)
{
    return tallies_find(&p->tallies, kind, provider, name);
}

static void count(struct pulse *p, enum health_kind kind, const char *name, const struct pulse_report *r)
{
    struct tally *t = tally_of(p, kind, r->provider, name);
    if (!t || r->word == PULSE_NOTHING) return;
    t->requests++;
    t->failed += r->word != PULSE_GOOD;
    if (r->word != PULSE_GOOD || r->latency_ms < 0) return;
    t->latency_sum += r->latency_ms;
    t->latencies++;
    t->latency_ms = t->latency_ms < 0 ? r->latency_ms : (t->latency_ms * 3 + r->latency_ms) / 4;
}

static void use(struct pulse *p, const char *provider, const char *key, int more)
{
    if (!p || !key) return;
    pthread_mutex_lock(&p->lock);
    struct tally *t = tally_of(p, HEALTH_KEY, provider, key);
    if (t) t->in_flight += more;
    pthread_mutex_unlock(&p->lock);
}

void pulse_begin(struct pulse *p, const char *provider, const char *key) { use(p, provider, key, 1); }
void pulse_end(struct pulse *p, const char *provider, const char *key) { use(p, provider, key, -1); }

uint64_t pulse_turn(struct pulse *p, enum health_kind kind, const char *name)
{
    uint64_t turn = 0;
    if (!p) return 0;
    pthread_mutex_lock(&p->lock);
    struct tally *t = tally_of(p, kind, name, "\xff"); /* no name of a key or model */
    if (t && !t->turn) secret_random(&t->turn, sizeof t->turn); /* programs that serve one request take turns by chance */
    if (t) turn = t->turn++;
    pthread_mutex_unlock(&p->lock);
    return turn;
}

int64_t pulse_latency(struct pulse *p, const struct health_map *m, const char *provider, const char *model)
{
    const struct health_row *row = health_find(m, HEALTH_TARGET, provider, model);
    int64_t own = -1;
    if (!p) return -1;
    pthread_mutex_lock(&p->lock);
    struct tally *t = tally_of(p, HEALTH_TARGET, provider, model);
    if (t) own = t->latency_ms;
    pthread_mutex_unlock(&p->lock);
    return own >= 0 ? own : row ? row->latency_ms : -1;
}

struct pulse_use pulse_uses(struct pulse *p, const struct health_map *m, const char *provider, const char *key)
{
    const struct health_row *row = health_find(m, HEALTH_KEY, provider, key);
    struct pulse_use use = {0, row ? row->requests : 0};
    if (!p) return use;
    pthread_mutex_lock(&p->lock);
    struct tally *t = tally_of(p, HEALTH_KEY, provider, key);
    if (t) use = (struct pulse_use){t->in_flight, use.requests + t->requests};
    pthread_mutex_unlock(&p->lock);
    return use;
}

void pulse_spare(struct pulse *p, const char *provider, const char *key, int64_t until)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    struct tally *t = tally_of(p, HEALTH_KEY, provider, key ? key : "");
    if (t) t->spare_until = until;
    pthread_mutex_unlock(&p->lock);
}

bool pulse_is_spared(struct pulse *p, const char *provider, const char *key)
{
    if (!p) return false;
    pthread_mutex_lock(&p->lock);
    struct tally *t = tally_of(p, HEALTH_KEY, provider, key ? key : "");
    bool spared = t && t->spare_until && clock_mono_ms() < t->spare_until;
    pthread_mutex_unlock(&p->lock);
    return spared;
}

/* ---- reports ---- */

struct report_job {
    struct job job; /* first */
    struct pulse_report r;
    struct arena strings;
    int stamp;
    int64_t now;
    bool claims;    /* it is a claim, not a report */
    bool changed;
};

/* Whoever lets go last does it when all is committed; nobody is told before. */
static void report_free(struct job *j)
{
    struct report_job *b = (struct report_job *)j;
    if (b->changed && j->result == WEIR_OK) ring(b->stamp);
    arena_end(&b->strings);
    free(b);
}

static void note_error(struct report_job *b, struct health_row *h)
{
    h->error = b->r.error;
    h->error_at = b->now;
}

static bool count_failure(struct report_job *b, struct health_row *h)
{
    note_error(b, h);
    h->unreached = b->r.unreached;
    breaker_bad(&h->breaker, b->now);
    return true;
}

static bool cool(struct report_job *b, struct health_row *h)
{
    int64_t ms = b->r.cool_ms < COOL_MOST_MS ? b->r.cool_ms : COOL_MOST_MS;
    bool other = h->cool_until > b->now && (!h->cool_model || strcmp(h->cool_model, b->r.model) != 0);
    note_error(b, h);
    /* Providers count by model, mostly: only when a second one is refused too, the key rests as a whole. */
    h->cool_model = b->r.whole_key || other ? NULL : b->r.model;
    h->cool_until = b->now + ms > h->cool_until ? b->now + ms : h->cool_until;
    return true;
}

/* What the report says of one row; false: nothing. own: it is the one that the word is about. */
static bool apply(struct report_job *b, struct health_row *h, bool own)
{
    bool probe = b->r.claimed && h->breaker.state == BREAKER_HALF_OPEN;
    if (b->r.word == PULSE_GOOD) return breaker_good(&h->breaker, b->now, b->r.claimed);
    if (probe && (!own || b->r.word == PULSE_NOTHING)) {
        breaker_unclaim(&h->breaker, b->now);
        return true;
    }
    if (!own) return false;
    switch (b->r.word) {
    case PULSE_BAD: return count_failure(b, h);
    case PULSE_LIMITED:
        if (probe) breaker_unclaim(&h->breaker, b->now);
        return b->r.cool_ms > 0 ? cool(b, h) : count_failure(b, h);
    case PULSE_REFUSED:
        if (h->kind != HEALTH_KEY) return count_failure(b, h);
        note_error(b, h);
        h->disabled = b->r.error ? b->r.error : "refused by the provider";
        return true;
    case PULSE_GOOD: case PULSE_NOTHING: break;
    }
    return false;
}

static enum weir_err change_row(struct report_job *b, struct db *db, enum health_kind kind, const char *name, bool own)
{
    struct health_row h;
    enum weir_err err = health_read(db, &b->strings, kind, b->r.provider, name, &h);
    if (err != WEIR_OK) return err;
    /* A model's name that is the caller's makes no row; it may have claimed the probe of one that is there. */
    if (b->r.unnamed && kind == HEALTH_TARGET && h.breaker.state == BREAKER_CLOSED) return WEIR_OK;
    if (b->claims) {
        if (breaker_may(&h.breaker, b->now) == BREAKER_GO) return WEIR_OK;
        if (!breaker_claim(&h.breaker, b->now)) return WEIR_EXISTS;
    } else if (!apply(b, &h, own)) {
        return WEIR_OK;
    }
    b->changed = true;
    return health_put(db, &h, b->now);
}

/* A provider that answers is connected, and one that cannot be reached is not. */
static enum weir_err change_provider(struct report_job *b, struct db *db)
{
    struct health_row h;
    bool good = b->r.word == PULSE_GOOD, gone = b->r.word == PULSE_BAD && b->r.unreached;
    if (b->claims || (!good && !gone)) return WEIR_OK;
    enum weir_err err = health_read(db, &b->strings, HEALTH_PROVIDER, b->r.provider, "", &h);
    bool same = gone ? h.seen == SEEN_DISCONNECTED : h.seen == SEEN_CONNECTED || h.seen == SEEN_SLOW;
    if (err != WEIR_OK || same) return err;
    h.seen = gone ? SEEN_DISCONNECTED : SEEN_CONNECTED;
    if (gone) note_error(b, &h);
    b->changed = true;
    return health_put(db, &h, b->now);
}

static enum weir_err report_run(struct job *j, struct db *db)
{
    struct report_job *b = (struct report_job *)j;
    bool on_key = b->r.word == PULSE_LIMITED || b->r.word == PULSE_REFUSED;
    b->changed = false;
    enum weir_err err = WEIR_OK;
    if (!b->r.unnamed || b->r.claimed) err = change_row(b, db, HEALTH_TARGET, b->r.model, !on_key || !b->r.key);
    if (err == WEIR_OK && b->r.key) err = change_row(b, db, HEALTH_KEY, b->r.key, on_key);
    if (err == WEIR_OK) err = change_provider(b, db);
    return err;
}

static const char *copy(struct arena *a, const char *text, bool *whole)
{
    char *c = text ? arena_str(a, span_of(text)) : NULL;
    *whole &= c || !text;
    return c;
}

static struct report_job *job_new(struct pulse *p, const struct pulse_report *r, bool claims)
{
    struct report_job *b = calloc(1, sizeof *b);
    bool whole = true;
    if (!b) return NULL;
    *b = (struct report_job){.job = {.run = report_run, .dispose = report_free}, .r = *r, .stamp = p->stamp,
                             .now = clock_wall_ms(), .claims = claims};
    arena_init(&b->strings);
    b->r.provider = copy(&b->strings, r->provider, &whole);
    b->r.model = copy(&b->strings, r->model, &whole);
    b->r.key = copy(&b->strings, r->key, &whole);
    b->r.error = copy(&b->strings, r->error, &whole);
    if (whole) return b;
    report_free(&b->job);
    return NULL;
}

static bool is_troubled(const struct health_row *h)
{
    return h && (h->breaker.state != BREAKER_CLOSED || h->breaker.failures || h->breaker.opens);
}

/* Most good news are none. That goes by what is known without asking: the request that brings them asked when it began. */
static bool is_news(struct pulse *p, const struct pulse_report *r)
{
    if (r->word == PULSE_NOTHING) return r->claimed;
    if (r->word != PULSE_GOOD) return true;
    pthread_mutex_lock(&p->lock);
    struct health_map *m = p->map;
    if (m) health_hold(m);
    pthread_mutex_unlock(&p->lock);
    const struct health_row *provider = health_find(m, HEALTH_PROVIDER, r->provider, "");
    bool news = !provider || provider->seen == SEEN_UNKNOWN || provider->seen == SEEN_DISCONNECTED || r->claimed ||
                is_troubled(health_find(m, HEALTH_TARGET, r->provider, r->model)) ||
                (r->key && is_troubled(health_find(m, HEALTH_KEY, r->provider, r->key)));
    health_release(m);
    return news;
}

void pulse_tell(struct pulse *p, const struct pulse_report *r)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    if (!r->unnamed) count(p, HEALTH_TARGET, r->model, r);
    if (r->key) count(p, HEALTH_KEY, r->key, r);
    pthread_mutex_unlock(&p->lock);
    struct report_job *b = is_news(p, r) ? job_new(p, r, false) : NULL;
    if (!b) return;
    writer_run(store_writer(p->store), &b->job, 0, false);
    job_release(&b->job);
}

bool pulse_claim(struct pulse *p, const char *provider, const char *model, const char *key)
{
    const struct pulse_report r = {.provider = provider, .model = model, .key = key};
    struct report_job *b = p ? job_new(p, &r, true) : NULL;
    if (!b) return false;
    bool mine = writer_run(store_writer(p->store), &b->job, CLAIM_MS, false) == WEIR_OK;
    job_release(&b->job);
    return mine;
}

/* ---- flushing ---- */

struct flush_job { struct job job; struct arena strings; struct health_row rows[FLUSH_ROWS]; int count; int64_t now; };

static enum weir_err flush_run(struct job *j, struct db *db)
{
    struct flush_job *f = (struct flush_job *)j;
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < f->count && err == WEIR_OK; i++) err = health_count(db, &f->rows[i], f->now);
    return err;
}

static void flush_free(struct job *j)
{
    arena_end(&((struct flush_job *)j)->strings);
    free(j);
}

/* The lock is held. False: not taken, to be taken later. */
static bool take_counts(struct flush_job *f, struct tally *t)
{
    bool whole = true;
    f->rows[f->count] = (struct health_row){
        .kind = t->kind, .provider = copy(&f->strings, t->provider, &whole), .name = copy(&f->strings, t->name, &whole),
        .requests = t->requests, .failed = t->failed, .latency_ms = t->latencies ? t->latency_sum / t->latencies : -1};
    if (!whole) return false;
    f->count++;
    t->requests = t->failed = t->latency_sum = t->latencies = 0;
    return true;
}

/* As many as fit, from *at on. The lock is held. False: memory is out. */
static bool take_some(struct flush_job *f, struct tallies *all, size_t *at)
{
    for (; *at < all->size && f->count < FLUSH_ROWS; ++*at) {
        struct tally *t = all->slots[*at];
        if (t && t->requests && !take_counts(f, t)) return false;
    }
    return true;
}

void pulse_flush(struct pulse *p, int wait_ms)
{
    if (!p) return;
    for (size_t at = 0;;) {
        struct flush_job *f = calloc(1, sizeof *f);
        if (!f) return;
        *f = (struct flush_job){.job = {.run = flush_run, .dispose = flush_free}, .now = clock_wall_ms()};
        arena_init(&f->strings);
        pthread_mutex_lock(&p->lock);
        bool whole = take_some(f, &p->tallies, &at);
        pthread_mutex_unlock(&p->lock);
        bool any = f->count > 0, full = f->count == FLUSH_ROWS;
        if (any) writer_run(store_writer(p->store), &f->job, wait_ms, false);
        if (any) job_release(&f->job);
        else flush_free(&f->job);
        if (!whole || !full) return;
    }
}

/* ---- opening and closing ---- */

enum weir_err pulse_open(struct store *s, const char *data_dir, struct pulse **out)
{
    struct pulse *p = calloc(1, sizeof *p);
    *out = p;
    if (!p) return WEIR_NOMEM;
    p->store = s;
    p->stamp = stamp_file(data_dir);
    pthread_mutex_init(&p->loading, NULL);
    pthread_mutex_init(&p->lock, NULL);
    return WEIR_OK;
}

void pulse_close(struct pulse *p)
{
    if (!p) return;
    tallies_end(&p->tallies);
    health_release(p->map);
    if (p->stamp >= 0) close(p->stamp);
    pthread_mutex_destroy(&p->loading);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
