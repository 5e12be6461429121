/* The housekeeper. Every step is a small job at the end of the writer's queue, so that no request waits for more than
 * one of them; all steps may be done by several processes at once. */
#include "fcgi/housekeeper.h"

#include <stdlib.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/background.h"
#include "sql/content.h"

#define ROUND_MS  2000  /* a dead process's tickets are found within two rounds */
#define TIDY_MS   60000
#define FORGET_MS 10000
#define STEP_MS   5000  /* how long a step is waited for */
#define STEP_ROWS 50    /* in one step, which so stays below 20 ms */
#define DAY_MS    86400000

struct housekeeper {
    struct book book;
    struct cache *cache;
    struct flights *flights;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    int64_t tidied, forgot; /* when */
    bool answers_left;      /* the cache has more to let go of */
    int64_t tidy_after;     /* the counter to go on behind */
};

/* ---- one step ---- */

struct step {
    struct job job; /* first */
    struct ledger *ledger;
    enum weir_err (*run)(struct step *s, struct db *db);
    struct settings settings;
    int64_t now_ms, after;
    int done;
};

static enum weir_err run(struct job *j, struct db *db)
{
    struct step *s = (struct step *)j;
    return s->run(s, db);
}

static void dispose(struct job *j) { free(j); }

static enum weir_err sweep(struct step *s, struct db *db)
{
    return ledger_sweep(s->ledger, db, s->settings.release_orphans ? LEDGER_RELEASE : LEDGER_CHARGE, s->now_ms, STEP_ROWS,
                        &s->done);
}

static enum weir_err tidy(struct step *s, struct db *db)
{
    return ledger_tidy(s->ledger, db, s->now_ms, STEP_ROWS, &s->after, &s->done);
}

static enum weir_err forget_content(struct step *s, struct db *db)
{
    return content_forget(db, &s->settings, s->now_ms, CONTENT_STEP, &s->done);
}

static enum weir_err forget(struct step *s, struct db *db)
{
    int64_t days = s->settings.audit_keep_days;
    return ledger_forget(s->ledger, db, days ? s->now_ms - days * DAY_MS : 0, s->settings.audit_keep_rows, STEP_ROWS,
                         &s->done);
}

/* Returns how many rows it was; *after goes in and comes out. */
static int take_step(struct housekeeper *h, enum weir_err (*what)(struct step *, struct db *), int64_t *after)
{
    struct arena none;
    struct snapshot *snap;
    int done = 0;
    struct step *s = calloc(1, sizeof *s);
    if (!s) return 0;
    *s = (struct step){.job = {.run = run, .dispose = dispose}, .ledger = h->book.ledger, .run = what,
                       .now_ms = clock_wall_ms(), .after = after ? *after : 0};
    arena_init(&none);
    if (store_look(h->book.store, NULL, &none, &snap, NULL) == WEIR_OK) {
        s->settings = snap->settings;
        snapshot_release(snap);
        if (writer_run(store_writer(h->book.store), &s->job, STEP_MS, false) == WEIR_OK) {
            done = s->done;
            if (after) *after = s->after;
        }
    }
    job_release(&s->job);
    arena_end(&none);
    return done;
}

/* Answers are no part of the database: no step of the writer's. True: there is more to do. */
static bool tend_answers(struct housekeeper *h)
{
    struct arena none;
    struct snapshot *snap;
    bool more = false;
    arena_init(&none);
    if (store_look(h->book.store, NULL, &none, &snap, NULL) == WEIR_OK) {
        int64_t most = snap->settings.cache_max_bytes;
        snapshot_release(snap);
        more = cache_tend(h->cache, clock_wall_ms(), most);
    }
    flights_sweep(h->flights);
    arena_end(&none);
    return more;
}

/* ---- rounds ---- */

static bool is_stopped(struct housekeeper *h, int64_t wait_ms)
{
    pthread_mutex_lock(&h->lock);
    if (!h->stop) background_wait(&h->wake, &h->lock, wait_ms);
    bool stop = h->stop;
    pthread_mutex_unlock(&h->lock);
    return stop;
}

static void go_round(struct housekeeper *h)
{
    int64_t now = clock_mono_ms();
    int done, swept = 0;
    do swept += done = take_step(h, sweep, NULL);
    while (done == STEP_ROWS && !is_stopped(h, 0));
    if (swept) log_event(LOG_WARN, "orphans_swept", LOG_INT("tickets", swept));
    if (now - h->tidied >= TIDY_MS) {
        do take_step(h, tidy, &h->tidy_after);
        while (h->tidy_after && !is_stopped(h, 1));
        h->tidied = now;
    }
    if (now - h->forgot >= FORGET_MS) {
        while (take_step(h, forget_content, NULL) == CONTENT_STEP && !is_stopped(h, 1)) continue;
        while (take_step(h, forget, NULL) > 0 && !is_stopped(h, 1)) continue;
    }
    if (h->answers_left || now - h->forgot >= FORGET_MS) h->answers_left = tend_answers(h);
    if (now - h->forgot >= FORGET_MS) h->forgot = now;
}

static void *housekeeper_main(void *arg)
{
    struct housekeeper *h = arg;
    do go_round(h);
    while (!is_stopped(h, ROUND_MS));
    return NULL;
}

enum weir_err housekeeper_start(const struct book *b, struct cache *cache, struct flights *flights,
                                struct housekeeper **out)
{
    struct housekeeper *h = calloc(1, sizeof *h);
    *out = NULL;
    if (!h) return WEIR_NOMEM;
    h->book = *b;
    h->cache = cache;
    h->flights = flights;
    h->tidied = clock_mono_ms();
    pthread_mutex_init(&h->lock, NULL);
    background_cond(&h->wake);
    enum weir_err err = background_start(&h->thread, housekeeper_main, h);
    if (err == WEIR_OK) *out = h;
    else free(h);
    return err;
}

void housekeeper_stop(struct housekeeper *h)
{
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    pthread_mutex_unlock(&h->lock);
    pthread_cond_signal(&h->wake);
    pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
