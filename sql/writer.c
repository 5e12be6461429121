/* The group-commit writer: takes what waits into one transaction, commits, tells who waits, and goes on. What cannot be
 * written now is kept or refused as its owner asked. Knows jobs, not what they write; never ends the process. */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/background.h"
#include "sql/checkpointer.h"
#include "sql/teller.h"
#include "sql/turn.h"
#include "sql/writer.h"

#define TURN_MS      5    /* another process waits no longer than this for its turn */
#define BUSY_MS      250  /* one try at a database that somebody without our lock is writing */
#define BUSY_PAUSE_MS 1
#define CROWD        2    /* with more callers about, jobs are written in groups */
#define LONELY       16   /* groups of one job until it is tried again whether others come when they are let */
#define PAUSE_MS     50   /* between tries while writing fails: doubles up to PAUSE_MOST_MS */
#define PAUSE_MOST_MS 1000
#define GRACE_MS     500  /* writer_stop: for a try that is under way when the time is over */

struct writer {
    char *dir, *path;
    const struct sql_list *list;
    atomic_int refs;     /* the owner's, the thread's and those of callers */
    atomic_bool able;
    atomic_bool survives_power;
    atomic_size_t backlog;
    atomic_int crowd;    /* callers that will soon have a job, see writer_enter */
    struct teller teller;
    pthread_t thread;

    /* of whoever is busy: the thread, or a caller that found nobody busy and writes its own job */
    struct db *db;       /* NULL while it cannot be opened */
    struct turn turn;
    struct checkpointer *checkpoints;
    int wal_pages;       /* in the log after the last turn */
    unsigned lonely;     /* groups of one job, one after the other */

    pthread_mutex_t lock; /* the rest */
    pthread_cond_t wake, end;
    struct job *first, **last;
    int gate;            /* for who comes now */
    bool busy;           /* somebody writes */
    bool ailing;         /* a caller's turn failed: the thread is to look after it */
    bool asleep;         /* the thread waits for a job and must be woken */
    bool stopping, ended;
    int64_t deadline;    /* once stopping */
};

/* ---- one job ---- */

static void drop(struct job *j)
{
    if (atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) > 1) return;
    if (j->dispose) j->dispose(j);
}

void job_release(struct job *j)
{
    if (atomic_load(&j->refs)) drop(j);
    else if (j->dispose) j->dispose(j);
}

static void finish_quietly(struct writer *w, struct job *j, enum weir_err result)
{
    atomic_fetch_sub(&w->backlog, 1);
    j->result = result;
    teller_tell(&w->teller, j, result);
    drop(j);
}

static void finish(struct writer *w, struct job *j, enum weir_err result)
{
    int gate = j->gate;
    finish_quietly(w, j, result);
    teller_open(&w->teller, gate);
}

/* ---- the queue; its lock is held ---- */

static void append(struct writer *w, struct job *j)
{
    j->next = NULL;
    *w->last = j;
    w->last = &j->next;
}

static struct job *take_all(struct writer *w)
{
    struct job *all = w->first;
    w->first = NULL;
    w->last = &w->first;
    return all;
}

/* ---- and without it ---- */

static struct job *take(struct writer *w, int most, int *taken)
{
    struct job *batch = NULL, **end = &batch;
    pthread_mutex_lock(&w->lock);
    for (*taken = 0; w->first && *taken < most; ++*taken) {
        *end = w->first;
        w->first = w->first->next;
        end = &(*end)->next;
    }
    *end = NULL;
    if (!w->first) w->last = &w->first;
    w->gate = !w->gate;
    pthread_mutex_unlock(&w->lock);
    return batch;
}

static void put_back(struct writer *w, struct job *batch) /* at the head, in their order */
{
    if (!batch) return;
    struct job *end = batch;
    while (end->next) end = end->next;
    pthread_mutex_lock(&w->lock);
    end->next = w->first;
    if (!w->first) w->last = &end->next;
    w->first = batch;
    pthread_mutex_unlock(&w->lock);
}

static void note(struct writer *w, enum weir_err err)
{
    bool able = err == WEIR_OK;
    if (atomic_exchange(&w->able, able) == able) return;
    if (able) log_event(LOG_WARN, "database_write_restored", LOG_INT("backlog", writer_backlog(w)));
    else log_event(LOG_ERROR, "database_write_failed", LOG_TEXT("error", db_message(w->db)),
                   LOG_TEXT("reason", weir_err_info(err)->text));
}

/* Whoever is told of trouble finds writer_is_able false already. */
static void refuse(struct writer *w, struct job *j, enum weir_err err)
{
    note(w, err);
    if (!j->keep) { finish(w, j, err); return; }
    teller_tell(&w->teller, j, WEIR_STORAGE);
    teller_open(&w->teller, j->gate);
    pthread_mutex_lock(&w->lock);
    append(w, j);
    pthread_mutex_unlock(&w->lock);
}

static void refuse_all(struct writer *w, enum weir_err err)
{
    pthread_mutex_lock(&w->lock);
    struct job *all = take_all(w), *next;
    pthread_mutex_unlock(&w->lock);
    for (; all; all = next) {
        next = all->next;
        refuse(w, all, err);
    }
}

static bool has_more(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool more = w->first != NULL;
    pthread_mutex_unlock(&w->lock);
    return more;
}

static void write_own(struct writer *w);
static void let_go(struct writer *w);

/* Who is alone and has time writes its own job: handing it to the thread and waiting to be woken would cost more than
 * the writing. In a crowd the thread writes, for the jobs that come while it is being woken make one group. Whatever has
 * to be waited for, and all trouble, is the thread's too. */
static bool may_write(const struct writer *w, int wait_ms)
{
    return wait_ms >= BUSY_MS && atomic_load(&w->crowd) <= CROWD && !w->busy && !w->first && !w->ailing &&
           writer_is_able(w) && w->db;
}

/* *own: the caller is to write it, and what else waits. From here on a job with a `then` may be gone. */
static enum weir_err put_in(struct writer *w, struct job *j, int wait_ms, bool keep, bool *own)
{
    j->until = clock_mono_ms() + wait_ms;
    pthread_mutex_lock(&w->lock);
    enum weir_err err = w->stopping ? WEIR_UNAVAILABLE
                      : !keep && atomic_load(&w->backlog) >= BOUND_WRITER_QUEUE ? WEIR_FULL : WEIR_OK;
    *own = err == WEIR_OK && may_write(w, wait_ms);
    bool wake = err == WEIR_OK && !*own && !w->busy && w->asleep;
    if (err == WEIR_OK) {
        j->result = WEIR_BUSY;
        j->keep = keep;
        j->gate = w->gate;
        atomic_store(&j->refs, 2); /* the caller's and the writer's */
        if (j->then) teller_send(&w->teller, j);
        append(w, j);
        atomic_fetch_add(&w->backlog, 1);
        if (*own) w->busy = true;
        if (wake) w->asleep = false;
    }
    pthread_mutex_unlock(&w->lock);
    if (wake) pthread_cond_signal(&w->wake);
    return err;
}

enum weir_err writer_run(struct writer *w, struct job *j, int wait_ms, bool keep)
{
    bool own;
    atomic_fetch_add(&w->refs, 1);
    enum weir_err err = put_in(w, j, wait_ms, keep, &own);
    if (own) write_own(w);
    if (err == WEIR_OK) err = teller_wait(&w->teller, j);
    let_go(w);
    return err;
}

enum weir_err writer_send(struct writer *w, struct job *j, int wait_ms, bool keep,
                          void (*then)(struct job *, enum weir_err))
{
    bool own;
    j->then = then;
    enum weir_err err = put_in(w, j, wait_ms, keep, &own);
    if (own) write_own(w);
    return err;
}

bool writer_may_send(const struct writer *w) { return atomic_load(&w->teller.sent_count) < BOUND_SENT; }

bool writer_has_sent(const struct writer *w) { return atomic_load(&w->teller.sent_count) > 0; }

void writer_overdue(struct writer *w, int64_t now_ms)
{
    teller_give_up(&w->teller, now_ms, WEIR_BUSY);
    teller_call(&w->teller);
}

bool writer_is_able(const struct writer *w) { return atomic_load(&w->able); }
void writer_survive_power(struct writer *w, bool on) { w->survives_power = on; }
void writer_enter(struct writer *w) { atomic_fetch_add(&w->crowd, 1); }
void writer_leave(struct writer *w) { atomic_fetch_sub(&w->crowd, 1); }
size_t writer_backlog(const struct writer *w) { return atomic_load(&w->backlog); }

/* ---- transactions ---- */

/* Not the job's own doing: the database's, or memory's. */
static bool is_trouble(enum weir_err err)
{
    return err == WEIR_STORAGE || err == WEIR_NOMEM || err == WEIR_CORRUPT || err == WEIR_BUSY;
}

/* A transaction that cannot even begin is trouble whatever the reason. SQLite itself would go on writing to a file that
 * was deleted or replaced, and nobody would ever read it. */
static enum weir_err begin(struct writer *w)
{
    if (db_has_moved(w->db)) return WEIR_STORAGE;
    enum weir_err err = db_survive(w->db, w->survives_power ? DB_SURVIVES_POWER : DB_SURVIVES_PROCESS);
    if (err == WEIR_OK) err = db_begin(w->db);
    return err == WEIR_OK || is_trouble(err) ? err : WEIR_STORAGE;
}

/* On trouble, and if SQLite has rolled everything back by itself, the group is over. */
static enum weir_err run_one(struct writer *w, struct job *j)
{
    j->tried = j->run(j, w->db);
    return db_in_transaction(w->db) || is_trouble(j->tried) ? j->tried : WEIR_STORAGE;
}

static enum weir_err run_apart(struct writer *w, struct job *j)
{
    enum weir_err err = db_savepoint(w->db);
    if (err != WEIR_OK) return err;
    err = run_one(w, j);
    if (is_trouble(err)) return err;
    return err == WEIR_OK ? db_release(w->db) : db_undo(w->db);
}

/* A job that fails by itself is rare, so at first none has a savepoint; with one that does, all run again, apart. */
static enum weir_err run_all(struct writer *w, struct job *batch)
{
    enum weir_err err = WEIR_OK;
    for (struct job *j = batch; j && err == WEIR_OK; j = j->next) err = run_one(w, j);
    if (err == WEIR_OK || is_trouble(err)) return err;
    db_rollback(w->db);
    err = begin(w);
    for (struct job *j = batch; j && err == WEIR_OK; j = j->next) err = run_apart(w, j);
    return err;
}

/* Its transaction has begun and is its own: no savepoint is needed. */
static enum weir_err run_begun(struct writer *w, struct job *j)
{
    enum weir_err err = j->run(j, w->db);
    if (err == WEIR_OK) return db_in_transaction(w->db) ? db_commit(w->db) : WEIR_STORAGE;
    db_rollback(w->db);
    return err;
}

static enum weir_err run_alone(struct writer *w, struct job *j)
{
    enum weir_err err = begin(w);
    return err == WEIR_OK ? run_begun(w, j) : err;
}

static enum weir_err one_by_one(struct writer *w, struct job *batch)
{
    enum weir_err worst = WEIR_OK;
    for (struct job *j = batch, *next; j; j = next) {
        next = j->next;
        enum weir_err err = run_alone(w, j);
        if (err == WEIR_BUSY) { put_back(w, j); return err; }
        if (is_trouble(err)) { worst = err; refuse(w, j, err); }
        else finish(w, j, err);
    }
    return worst;
}

static enum weir_err together(struct writer *w, struct job *batch)
{
    enum weir_err err = run_all(w, batch);
    if (err == WEIR_OK) err = db_commit(w->db);
    else db_rollback(w->db);
    if (err != WEIR_OK) return one_by_one(w, batch);
    bool told[2] = {false, false};
    for (struct job *j = batch, *next; j; j = next) {
        next = j->next;
        told[j->gate] |= !j->then;
        finish_quietly(w, j, j->tried);
    }
    for (int i = 0; i < 2; i++)
        if (told[i]) teller_open(&w->teller, i);
    return WEIR_OK;
}

/* One transaction. The jobs are taken only once it has begun: who comes while it waits to begin comes along. */
static enum weir_err group(struct writer *w, int most, int *taken)
{
    *taken = 0;
    enum weir_err err = begin(w);
    if (err == WEIR_BUSY) return err;
    if (err != WEIR_OK) { refuse_all(w, err); return err; }
    struct job *batch = take(w, most, taken);
    if (!batch) { db_rollback(w->db); return WEIR_OK; }
    w->lonely = batch->next ? 0 : w->lonely + 1;
    if (batch->next) return together(w, batch);
    err = run_begun(w, batch);
    if (is_trouble(err)) return one_by_one(w, batch);
    finish(w, batch, err);
    return WEIR_OK;
}

/* ---- turns ---- */

/* Other callers may be about to bring their jobs, and wait only for this core: in a crowd, and where they came the last
 * time, they come into this group instead of the next. Where cores are idle it does nothing. */
static void let_come(struct writer *w)
{
    if (atomic_load(&w->crowd) > CROWD || w->lonely % LONELY == 0) sched_yield();
}

static void disconnect(struct writer *w)
{
    db_close(w->db);
    w->db = NULL;
    turn_close(&w->turn);
}

static enum weir_err connect_now(struct writer *w)
{
    disconnect(w);
    enum weir_err err = turn_open(w->dir, &w->turn);
    if (err == WEIR_OK && access(w->path, F_OK) != 0) err = WEIR_STORAGE; /* never makes an empty one */
    if (err == WEIR_OK) err = db_open(w->path, DB_WRITE, BUSY_MS, w->list, &w->db);
    return err;
}

static bool is_over(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool over = w->stopping && clock_mono_ms() >= w->deadline;
    pthread_mutex_unlock(&w->lock);
    return over;
}

/* While writing works: groups until nothing waits or others should have their turn. Otherwise one try at what waits,
 * each alone, or at nothing at all. */
static enum weir_err write_waiting(struct writer *w)
{
    int64_t until = clock_mono_ms() + TURN_MS;
    int left = BOUND_WRITER_BATCH, taken;
    enum weir_err err;
    if (!writer_is_able(w)) {
        struct job *batch = take(w, left, &taken);
        return batch ? one_by_one(w, batch) : db_probe(w->db);
    }
    for (;;) {
        err = group(w, left, &taken);
        left -= taken;
        if (err != WEIR_OK || left <= 0 || !has_more(w) || clock_mono_ms() >= until) return err;
        teller_call(&w->teller);
        let_come(w);
    }
}

/* In the turn. What takes time comes after the answers: their rows are written. */
static void look_after_log(struct writer *w, bool may_wait)
{
    w->wal_pages = db_wal_pages(w->db);
    if (!w->db || (!may_wait && checkpointer_may_wait(w->wal_pages))) return;
    if (checkpointer_is_due(w->checkpoints, w->wal_pages)) teller_call(&w->teller);
    checkpointer_saw(w->checkpoints, w->db);
}

static enum weir_err take_turn(struct writer *w)
{
    enum weir_err err = WEIR_OK;
    if (!writer_is_able(w)) err = connect_now(w);
    if (err == WEIR_OK) err = turn_take(&w->turn);
    if (err != WEIR_OK) {
        if (err != WEIR_BUSY) refuse_all(w, err);
        return err;
    }
    if (!is_over(w)) {
        err = write_waiting(w);
        look_after_log(w, true);
    }
    turn_give(&w->turn);
    return err;
}

static void note_end(struct writer *w, bool ailing)
{
    pthread_mutex_lock(&w->lock);
    w->busy = false;
    w->ailing |= ailing;
    bool wake = w->asleep && (w->first || w->ailing || w->stopping);
    if (wake) w->asleep = false;
    pthread_mutex_unlock(&w->lock);
    if (wake) pthread_cond_signal(&w->wake);
}

/* One group, on a caller's thread, if that needs no waiting for other processes or for a checkpoint. */
static void write_own(struct writer *w)
{
    enum weir_err err = WEIR_OK;
    int taken;
    let_come(w);
    if (!checkpointer_may_wait(w->wal_pages) && turn_try(&w->turn)) {
        err = group(w, BOUND_WRITER_BATCH, &taken);
        look_after_log(w, false);
        turn_give(&w->turn);
        if (err != WEIR_BUSY) note(w, err);
        teller_call(&w->teller);
    }
    note_end(w, err != WEIR_OK);
}

/* False: the thread is to end. pause_ms above 0: time to wait before the next try, whatever comes. */
static bool wait_for_work(struct writer *w, int64_t pause_ms)
{
    pthread_mutex_lock(&w->lock);
    int64_t left = w->stopping ? w->deadline - clock_mono_ms() : pause_ms;
    if (pause_ms) background_wait(&w->wake, &w->lock, left < pause_ms ? left : pause_ms);
    while (w->busy || (!pause_ms && !w->first && !w->stopping && !w->ailing)) {
        w->asleep = true;
        pthread_cond_wait(&w->wake, &w->lock);
    }
    w->asleep = w->ailing = false;
    bool work = !w->stopping || (w->first && clock_mono_ms() < w->deadline);
    w->busy = work;
    pthread_mutex_unlock(&w->lock);
    return work;
}

static size_t drop_all(struct writer *w)
{
    size_t dropped = 0;
    pthread_mutex_lock(&w->lock);
    struct job *all = take_all(w), *next;
    pthread_mutex_unlock(&w->lock);
    for (; all; all = next, dropped++) {
        next = all->next;
        finish(w, all, WEIR_STORAGE);
    }
    return dropped;
}

static void let_go(struct writer *w)
{
    if (atomic_fetch_sub(&w->refs, 1) > 1) return;
    drop_all(w);
    checkpointer_free(w->checkpoints);
    disconnect(w);
    teller_end(&w->teller);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->end);
    pthread_mutex_destroy(&w->lock);
    free(w->dir);
    free(w->path);
    free(w);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    int64_t pause_ms = 0;
    while (wait_for_work(w, pause_ms)) {
        let_come(w);
        enum weir_err err = take_turn(w);
        if (err != WEIR_BUSY) note(w, err);
        teller_call(&w->teller);
        note_end(w, false);
        if (err == WEIR_BUSY) { pause_ms = BUSY_PAUSE_MS; continue; }
        pause_ms = err == WEIR_OK ? 0 : pause_ms < PAUSE_MS ? PAUSE_MS : pause_ms * 2;
        if (pause_ms > PAUSE_MOST_MS) pause_ms = PAUSE_MOST_MS;
    }
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    pthread_cond_signal(&w->end);
    pthread_mutex_unlock(&w->lock);
    let_go(w);
    return NULL;
}

static bool set_paths(struct writer *w, const char *data_dir)
{
    w->dir = strdup(data_dir);
    return w->dir && asprintf(&w->path, "%s/weir.db", data_dir) >= 0;
}

enum weir_err writer_start(const char *data_dir, const struct sql_list *list, struct writer **out)
{
    *out = NULL;
    struct writer *w = calloc(1, sizeof *w);
    if (!w) return WEIR_NOMEM;
    w->list = list;
    w->refs = 1;
    w->able = true;
    w->last = &w->first;
    teller_init(&w->teller);
    w->turn = (struct turn){-1, -1};
    pthread_mutex_init(&w->lock, NULL);
    background_cond(&w->wake);
    background_cond(&w->end);
    enum weir_err err = set_paths(w, data_dir) ? connect_now(w) : WEIR_NOMEM;
    if (err == WEIR_OK) err = checkpointer_new(w->path, false, &w->checkpoints);
    if (err == WEIR_OK) {
        w->refs = 2;
        err = background_start(&w->thread, writer_main, w);
        if (err != WEIR_OK) w->refs = 1;
    }
    if (err != WEIR_OK) { let_go(w); return err; }
    *out = w;
    return WEIR_OK;
}

/* A thread that did not end in time has lost its owner: it ends by itself at its next look, or with the process. */
size_t writer_stop(struct writer *w, int wait_ms)
{
    if (!w) return 0;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    w->deadline = clock_mono_ms() + wait_ms;
    pthread_cond_signal(&w->wake);
    int64_t left;
    while (!w->ended && (left = w->deadline + GRACE_MS - clock_mono_ms()) > 0) background_wait(&w->end, &w->lock, left);
    bool ended = w->ended;
    pthread_t thread = w->thread;
    pthread_mutex_unlock(&w->lock);
    if (ended) pthread_join(thread, NULL);
    else pthread_detach(thread);
    size_t lost = writer_backlog(w);
    drop_all(w);
    teller_give_up(&w->teller, INT64_MAX, WEIR_STORAGE); /* what such a thread has in hand */
    teller_call(&w->teller);
    let_go(w);
    return lost;
}
