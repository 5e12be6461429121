/* The checkpointer. Moves the log's pages into the database beside the writer. A log that is always written to never
 * starts again from its beginning by itself, so the writer moves the few pages that came meanwhile, between two turns,
 * and must stand still for longer only when the log has outgrown all measure. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/background.h"
#include "sql/checkpointer.h"
#include "sql/db.h"

#define PASSIVE_PAGES 1024   /* 2 MB; 4 of a database that was made with pages of 4 KiB */
#define WHOLE_PAGES   16384  /* 32 MB, or 64 */
#define WHOLE_MS      1000   /* how long readers and other checkpoints are waited for */
#define WAIT_MS       3000   /* how long the writer waits for the whole of it */
#define AGAIN_MS      1000   /* before the next whole one after one that got nowhere */
#define BUSY_MS       200
#define QUICK_PAGES   256    /* what the writer of a disposable file moves itself */

enum want { WANT_NOTHING, WANT_PASSIVE, WANT_WHOLE };

struct checkpointer {
    char *path;
    bool disposable;

    /* the writer's */
    pthread_t thread;
    bool started;
    int asked_at;           /* pages in the log when a checkpoint was last asked for */
    int64_t whole_after;    /* no whole one before this instant */

    atomic_int moved;       /* pages the last passive one has moved that no writer has looked at yet; 0: none */
    pthread_mutex_t lock;   /* the rest */
    pthread_cond_t wake, done;
    enum want want;         /* until it is done */
    bool got;               /* the last one came through */
    bool stop;
    struct db *db;          /* opened, closed and used by the thread; the lock is for db_interrupt */
};

enum weir_err checkpointer_new(const char *db_path, bool disposable, struct checkpointer **out)
{
    struct checkpointer *c = calloc(1, sizeof *c);
    *out = c;
    if (!c) return WEIR_NOMEM;
    c->disposable = disposable;
    if (!(c->path = strdup(db_path))) { free(c); *out = NULL; return WEIR_NOMEM; }
    pthread_mutex_init(&c->lock, NULL);
    background_cond(&c->wake);
    background_cond(&c->done);
    return WEIR_OK;
}

static bool is_stopping(struct checkpointer *c)
{
    pthread_mutex_lock(&c->lock);
    bool stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return stop;
}

static void set_db(struct checkpointer *c, struct db *db)
{
    pthread_mutex_lock(&c->lock);
    struct db *old = c->db;
    c->db = db;
    pthread_mutex_unlock(&c->lock);
    db_close(old);
}

/* A connection to the file that has the name now. */
static enum weir_err connect_now(struct checkpointer *c)
{
    struct db *db;
    if (c->db && !db_has_moved(c->db)) return WEIR_OK;
    set_db(c, NULL);
    if (access(c->path, F_OK) != 0) return WEIR_BUSY; /* it is its writer's to make */
    enum weir_err err = db_open(c->path, DB_WRITE, BUSY_MS, NULL, &db);
    if (err != WEIR_OK) return err;
    set_db(c, db);
    return c->disposable ? db_survive(db, DB_SURVIVES_NOTHING) : WEIR_OK;
}

/* SQLite does not wait for another checkpoint to end, so a whole one is asked for until it comes through. What was moved
 * is on disk before the writer hears of it: the rest that it moves must not wait for all of that. */
static bool checkpoint(struct checkpointer *c, bool whole, int *moved)
{
    int64_t until = clock_mono_ms() + WHOLE_MS;
    int pages;
    enum weir_err err = connect_now(c);
    while (err == WEIR_OK) {
        err = db_checkpoint(c->db, whole, &pages, moved);
        if (err == WEIR_OK && !whole && !c->disposable) err = db_sync(c->db);
        if (err != WEIR_BUSY || !whole || clock_mono_ms() > until || is_stopping(c)) break;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
        err = WEIR_OK;
    }
    if (err != WEIR_OK && err != WEIR_BUSY)
        log_event(LOG_WARN, "checkpoint_failed", LOG_TEXT("error", db_message(c->db)));
    return err == WEIR_OK;
}

static void *checkpointer_main(void *arg)
{
    struct checkpointer *c = arg;
    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        if (c->want == WANT_NOTHING) { pthread_cond_wait(&c->wake, &c->lock); continue; }
        enum want want = c->want;
        pthread_mutex_unlock(&c->lock);
        int moved = 0;
        bool got = checkpoint(c, want == WANT_WHOLE, &moved);
        pthread_mutex_lock(&c->lock);
        c->got = got;
        if (got && want == WANT_PASSIVE) atomic_store(&c->moved, moved);
        if (c->want == want) c->want = WANT_NOTHING;
        pthread_cond_broadcast(&c->done);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* A whole one is waited for: true if it came through. */
static bool ask(struct checkpointer *c, enum want want)
{
    if (!c->started) c->started = background_start(&c->thread, checkpointer_main, c) == WEIR_OK;
    if (!c->started) return false;
    pthread_mutex_lock(&c->lock);
    if (c->want < want) c->want = want;
    pthread_cond_signal(&c->wake);
    int64_t until = clock_mono_ms() + WAIT_MS, left;
    while (want == WANT_WHOLE && !c->disposable && c->want == WANT_WHOLE && !c->stop && (left = until - clock_mono_ms()) > 0)
        background_wait(&c->done, &c->lock, left);
    bool got = c->want != WANT_WHOLE && c->got;
    pthread_mutex_unlock(&c->lock);
    return got;
}

/* With all of the log moved, and no reader in it, the next commit starts it again. */
static void move_rest(struct db *db)
{
    int pages, moved;
    enum weir_err err = db_checkpoint(db, false, &pages, &moved);
    if (err != WEIR_OK && err != WEIR_BUSY) log_event(LOG_WARN, "checkpoint_failed", LOG_TEXT("error", db_message(db)));
}

/* How much the writer may be held up with; mostly it is far less. */
static int most_rest(const struct checkpointer *c, int wal_pages) { return c->disposable ? QUICK_PAGES : wal_pages / 2; }

void checkpointer_saw(struct checkpointer *c, struct db *db)
{
    int wal_pages = db_wal_pages(db);
    int moved = atomic_load(&c->moved) ? atomic_exchange(&c->moved, 0) : 0;
    if (wal_pages < c->asked_at) c->asked_at = 0; /* the log has started again */
    else if (moved && wal_pages - moved <= most_rest(c, wal_pages)) move_rest(db); /* it was quick, or tried again */
    else if (moved) ask(c, WANT_PASSIVE);
    if (wal_pages - c->asked_at < PASSIVE_PAGES) return;
    bool whole = wal_pages >= WHOLE_PAGES && clock_mono_ms() >= c->whole_after;
    c->asked_at = wal_pages;
    if (!ask(c, whole ? WANT_WHOLE : WANT_PASSIVE) && whole) c->whole_after = clock_mono_ms() + AGAIN_MS;
}

bool checkpointer_is_due(const struct checkpointer *c, int wal_pages)
{
    return atomic_load(&c->moved) || wal_pages - c->asked_at >= PASSIVE_PAGES;
}

bool checkpointer_may_wait(int wal_pages) { return wal_pages >= WHOLE_PAGES; }

void checkpointer_free(struct checkpointer *c)
{
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    if (c->db) db_interrupt(c->db);
    pthread_cond_broadcast(&c->wake);
    pthread_cond_broadcast(&c->done);
    pthread_mutex_unlock(&c->lock);
    if (c->started) pthread_join(c->thread, NULL);
    db_close(c->db);
    pthread_cond_destroy(&c->wake);
    pthread_cond_destroy(&c->done);
    pthread_mutex_destroy(&c->lock);
    free(c->path);
    free(c);
}
