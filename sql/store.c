/* The gateway's view of the database in one process. A look never goes by memory alone: what memory holds counts only for
 * the version of the configuration that the stamp vouches for, or that the database was asked for just now. */
#include <stdio.h>
#include <stdlib.h>
#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/background.h"
#include "sql/key_cache.h"
#include "sql/key_sets.h"
#include "sql/stamp.h"
#include "sql/store.h"
#include "sql/vault.h"

#define BUSY_MS  2000 /* a reader waits only while the log is recovered or starts again */
#define RENEWALS 3    /* of the master key while one snapshot is loaded */
#define CHECK_MS 1000 /* how often it is asked whether the files are still those of that name */

struct reader {
    struct db *db;      /* NULL until its first use, and after trouble */
    int generation;     /* of the store when it was opened */
    int64_t checked;
    struct reader *next;
};

struct store {
    char *dir, *path, *master_path;
    struct master_key *master; /* the same one for good: a rotation renews it */
    struct writer *writer;
    pthread_mutex_t loading; /* held by whoever reads a new snapshot; taken before lock */

    pthread_mutex_t lock;    /* the rest, and never held while the database is asked */
    pthread_cond_t given;
    struct reader readers[BOUND_READERS];
    struct reader *idle;     /* the one used last first */
    struct snapshot *snap;
    struct key_cache *keys;
    int generation;          /* one higher when the file was found replaced: nothing read before counts */
    bool stale;              /* snap is of an earlier generation */
    struct stamp stamp;
    uint64_t vouched;        /* the stamp under which snap and keys were seen to be current; odd: none */
    int64_t asked;           /* when the database was last asked */
};

/* ---- readers ---- */

static void new_generation(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->generation++;
    s->stale = true;
    pthread_mutex_unlock(&s->lock);
}

/* Opens the reader if it is not, or not on the right file. */
static enum weir_err make_ready(struct store *s, struct reader *r, int generation)
{
    int64_t now = clock_mono_ms();
    bool look = r->db && now - r->checked >= CHECK_MS;
    if (look) r->checked = now;
    if (look && r->generation == generation && db_has_moved(r->db)) {
        new_generation(s);
        generation++;
    }
    if (r->db && r->generation == generation) return WEIR_OK;
    db_close(r->db);
    r->generation = generation;
    r->checked = now;
    enum weir_err err = db_open(s->path, DB_READ, BUSY_MS, &sql_gateway, &r->db);
    return err == WEIR_NOT_FOUND ? WEIR_STORAGE : err; /* that a caller's key was not found is something else */
}

/* A transaction that even a rollback could not end would hold the log, and this view of the database, for good. */
static void give(struct store *s, struct reader *r)
{
    if (r->db && db_in_transaction(r->db)) {
        db_close(r->db);
        r->db = NULL;
    }
    pthread_mutex_lock(&s->lock);
    r->next = s->idle;
    s->idle = r;
    pthread_mutex_unlock(&s->lock);
    pthread_cond_signal(&s->given);
}

static enum weir_err take(struct store *s, struct reader **out)
{
    pthread_mutex_lock(&s->lock);
    while (!s->idle) pthread_cond_wait(&s->given, &s->lock);
    struct reader *r = s->idle;
    s->idle = r->next;
    int generation = s->generation;
    pthread_mutex_unlock(&s->lock);
    enum weir_err err = make_ready(s, r, generation);
    if (err != WEIR_OK) { give(s, r); return err; }
    *out = r;
    return WEIR_OK;
}

/* ---- the snapshot ---- */

static struct snapshot *hold_if(struct store *s, int64_t version)
{
    pthread_mutex_lock(&s->lock);
    struct snapshot *snap = s->snap && !s->stale && s->snap->version == version ? s->snap : NULL;
    if (snap) snapshot_hold(snap);
    pthread_mutex_unlock(&s->lock);
    return snap;
}

/* Under a master key that was rotated out it does not load. */
static enum weir_err load(struct store *s, struct reader *r, struct snapshot **out)
{
    enum weir_err err = snapshot_load(r->db, s->master, out);
    for (int tries = 0; err == WEIR_OTHER_KEY && tries < RENEWALS; tries++) {
        if ((err = vault_renew(r->db, s->master_path, s->master)) != WEIR_OK) break;
        log_event(LOG_INFO, "master_key_renewed");
        err = snapshot_load(r->db, s->master, out);
    }
    if (err == WEIR_OTHER_KEY || err == WEIR_NOT_FOUND || err == WEIR_INVALID) {
        log_event(LOG_ERROR, "master_key_unusable", LOG_TEXT("file", s->master_path),
                  LOG_TEXT("reason", weir_err_info(err)->text));
        err = WEIR_CORRUPT; /* what these mean of a caller's key is something else */
    }
    return err;
}

static enum weir_err replace(struct store *s, struct reader *r, struct snapshot **out)
{
    struct snapshot *fresh;
    enum weir_err err = load(s, r, &fresh);
    if (err != WEIR_OK) return err;
    snapshot_hold(fresh);
    writer_survive_power(s->writer, fresh->settings.survives_power);
    pthread_mutex_lock(&s->lock);
    struct snapshot *old = s->snap;
    s->snap = fresh;
    if (s->generation == r->generation) s->stale = false;
    key_cache_outdate(s->keys);
    pthread_mutex_unlock(&s->lock);
    snapshot_release(old);
    *out = fresh;
    return WEIR_OK;
}

/* The snapshot of `version` or a later one. While it is loaded, those who need it wait; the others do not. Loads follow
 * each other, so under the lock the version is asked again: another thread may have been faster, and a thread that was
 * slow must not take the store back. */
static enum weir_err hold_current(struct store *s, struct reader *r, int64_t version, struct snapshot **out)
{
    if ((*out = hold_if(s, version))) return WEIR_OK;
    pthread_mutex_lock(&s->loading);
    enum weir_err err = config_version(r->db, &version);
    if (err == WEIR_OK && !(*out = hold_if(s, version))) err = replace(s, r, out);
    pthread_mutex_unlock(&s->loading);
    return err;
}

/* ---- looking ---- */

/* By the stamp alone. */
bool store_recall(struct store *s, const struct client_hash *hash, struct arena *a, struct snapshot **snap, struct key *k)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    uint64_t stamp = stamp_read(&s->stamp);
    if (!(stamp & 1) && stamp == s->vouched && s->snap && !s->stale && clock_mono_ms() - s->asked < CHECK_MS) {
        found = !hash || key_cache_get(s->keys, hash, s->snap->version, a, k) == WEIR_OK;
        if (found) snapshot_hold(*snap = s->snap);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* The stamp as it is before the database is asked; a file that was replaced is mapped anew. */
static uint64_t stamp_before(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    int64_t now = clock_mono_ms();
    if (now - s->asked >= CHECK_MS && stamp_has_moved(s->dir, &s->stamp)) {
        s->vouched = STAMP_UNKNOWN;
        stamp_close(&s->stamp);
        stamp_open(s->dir, &s->stamp);
    }
    uint64_t stamp = stamp_read(&s->stamp);
    pthread_mutex_unlock(&s->lock);
    return stamp;
}

static void vouch(struct store *s, const struct snapshot *snap, uint64_t stamp)
{
    pthread_mutex_lock(&s->lock);
    if (s->snap == snap && !s->stale) {
        s->vouched = stamp;
        s->asked = clock_mono_ms();
    }
    pthread_mutex_unlock(&s->lock);
}

/* A row read now is at least as new as the snapshot that was read before it. */
static enum weir_err find_key(struct store *s, struct reader *r, const struct snapshot *snap,
                              const struct client_hash *hash, struct arena *a, struct key *k)
{
    pthread_mutex_lock(&s->lock);
    enum weir_err err = key_cache_get(s->keys, hash, snap->version, a, k);
    pthread_mutex_unlock(&s->lock);
    if (err != WEIR_NOT_FOUND) return err;
    err = keys_find(r->db, hash, a, k);
    if (err != WEIR_OK && err != WEIR_NOT_FOUND) return err;
    pthread_mutex_lock(&s->lock);
    if (s->snap == snap && err == WEIR_OK) key_cache_put(s->keys, hash, snap->version, k);
    else if (s->snap == snap) key_cache_drop(s->keys, hash);
    pthread_mutex_unlock(&s->lock);
    return err;
}

bool store_knew(struct store *s, const struct client_hash *hash)
{
    pthread_mutex_lock(&s->lock);
    bool knew = key_cache_knows(s->keys, hash);
    pthread_mutex_unlock(&s->lock);
    return knew;
}

enum weir_err store_look(struct store *s, const struct client_hash *hash, struct arena *a,
                         struct snapshot **snap, struct key *k)
{
    struct reader *r;
    int64_t version;
    *snap = NULL;
    if (store_recall(s, hash, a, snap, k)) return WEIR_OK;
    uint64_t stamp = stamp_before(s);
    enum weir_err err = take(s, &r);
    if (err != WEIR_OK) return err;
    err = config_version(r->db, &version);
    if (err == WEIR_OK) err = hold_current(s, r, version, snap);
    if (err == WEIR_OK) vouch(s, *snap, stamp);
    if (err == WEIR_OK && hash) err = find_key(s, r, *snap, hash, a, k);
    if (err != WEIR_OK && err != WEIR_NOT_FOUND) {
        log_event(LOG_ERROR, "database_read_failed", LOG_TEXT("error", db_message(r->db)));
        snapshot_release(*snap);
        *snap = NULL;
        db_close(r->db);
        r->db = NULL;
    }
    give(s, r);
    return err;
}

void store_remember(struct store *s, const struct client_hash *hash, const struct snapshot *snap, const struct key *k)
{
    pthread_mutex_lock(&s->lock);
    if (s->snap == snap && !s->stale) key_cache_put(s->keys, hash, snap->version, k);
    pthread_mutex_unlock(&s->lock);
}

enum weir_err store_read(struct store *s, enum weir_err (*use)(struct db *db, void *arg), void *arg)
{
    struct reader *r;
    enum weir_err err = take(s, &r);
    if (err != WEIR_OK) return err;
    err = use(r->db, arg);
    give(s, r);
    return err;
}

void store_key_used(struct store *s, const struct client_hash *hash, int64_t now_ms)
{
    pthread_mutex_lock(&s->lock);
    key_cache_used(s->keys, hash, now_ms);
    pthread_mutex_unlock(&s->lock);
}

/* ---- key sets that are wanted ---- */

struct want { struct job job; /* first */ char verifier[BOUND_NAME + 1]; int64_t now_ms; bool is_wanted; };

static enum weir_err note_want(struct job *j, struct db *db)
{
    struct want *w = (struct want *)j;
    return key_set_want(db, w->verifier, w->now_ms);
}

static enum weir_err look_for_want(struct db *db, void *arg)
{
    struct want *w = arg;
    return key_set_is_wanted(db, w->verifier, &w->is_wanted);
}

static void want_free(struct job *j) { free(j); }

void store_want_keys(struct store *s, const char *verifier, int64_t now_ms)
{
    struct want *w = calloc(1, sizeof *w);
    if (!w) return; /* the next token will say it again */
    *w = (struct want){.job = {.run = note_want, .dispose = want_free}, .now_ms = now_ms};
    snprintf(w->verifier, sizeof w->verifier, "%s", verifier);
    if (store_read(s, look_for_want, w) == WEIR_OK && !w->is_wanted) writer_run(s->writer, &w->job, 0, true);
    job_release(&w->job);
}

const struct master_key *store_master(const struct store *s) { return s->master; }
struct writer *store_writer(struct store *s) { return s->writer; }

/* ---- opening and closing ---- */

static enum weir_err open_master(struct db *db, void *arg)
{
    struct store *s = arg;
    enum weir_err err = vault_open(db, s->master_path, &s->master);
    if (err == WEIR_OK && vault_heal(db, s->dir, s->master_path) != WEIR_OK)
        log_event(LOG_WARN, "rotation_not_finished", LOG_TEXT("file", s->master_path),
                  LOG_TEXT("reason", "it cannot be renamed"));
    return err;
}

static enum weir_err fill(struct store *s, const char *data_dir, const char *master_path)
{
    struct snapshot *snap = NULL;
    if (asprintf(&s->path, "%s/weir.db", data_dir) < 0) { s->path = NULL; return WEIR_NOMEM; }
    if (!(s->dir = strdup(data_dir)) || !(s->master_path = strdup(master_path))) return WEIR_NOMEM;
    stamp_open(data_dir, &s->stamp);
    if (!(s->keys = key_cache_new())) return WEIR_NOMEM;
    enum weir_err err = store_read(s, open_master, s);
    if (err == WEIR_OK) err = writer_start(data_dir, &sql_gateway, &s->writer);
    if (err == WEIR_OK) err = store_look(s, NULL, NULL, &snap, NULL);
    snapshot_release(snap);
    return err;
}

enum weir_err store_open(const char *data_dir, const char *master_path, struct store **out)
{
    struct store *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s) return WEIR_NOMEM;
    s->stamp.fd = -1;
    s->vouched = STAMP_UNKNOWN;
    pthread_mutex_init(&s->loading, NULL);
    pthread_mutex_init(&s->lock, NULL);
    background_cond(&s->given);
    for (int i = BOUND_READERS - 1; i >= 0; i--) {
        s->readers[i].next = s->idle;
        s->idle = &s->readers[i];
    }
    enum weir_err err = fill(s, data_dir, master_path);
    if (err != WEIR_OK) { store_close(s, 0); return err; }
    *out = s;
    return WEIR_OK;
}

void store_close(struct store *s, int wait_ms)
{
    if (!s) return;
    size_t lost = writer_stop(s->writer, wait_ms);
    if (lost) log_event(LOG_ERROR, "database_writes_lost", LOG_INT("count", lost));
    for (int i = 0; i < BOUND_READERS; i++) db_close(s->readers[i].db);
    stamp_close(&s->stamp);
    snapshot_release(s->snap);
    key_cache_free(s->keys);
    master_key_free(s->master);
    pthread_cond_destroy(&s->given);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->loading);
    free(s->dir);
    free(s->path);
    free(s->master_path);
    free(s);
}
