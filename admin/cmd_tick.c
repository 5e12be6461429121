/* `weir tick`: what the gateway's housekeeper does, once and to the end, for hosting by CGI where no process stays. Each
 * step is a small transaction in the writers' queue, and the queue is left between two. */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "admin/command.h"
#include "admin/option.h"
#include "admin/tick_probe.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/flight.h"
#include "fcgi/provider/jwks.h"
#include "sql/cache.h"
#include "sql/content.h"
#include "sql/fold.h"
#include "sql/key_sets.h"
#include "sql/ledger.h"
#include "sql/settings.h"
#include "sql/vault.h"
#include "sql/writer.h"
#include "sql_ids.h"

#define STEP_ROWS 50 /* as the housekeeper: below 20 ms */
#define DAY_MS 86400000
#define TEND_CALLS 60 /* of a second each at most */

struct tick {
    struct weir *w;
    struct db *db;
    struct ledger *ledger;
    struct settings settings;
    int64_t after;                  /* tidy: the counter to go on behind */
    int64_t swept, removed, contents, deleted; /* in all */
    int64_t probed, alive;          /* upstreams */
    int done;                       /* in the last step */
    const struct verifier *verifier; /* whose key set it is about */
    struct buf keys;
    char fault[JWKS_FAULT];
    struct fold fold;
    int64_t now, tried, fetched, folded;
    bool mine;
};

static enum weir_err sweep(struct tick *t)
{
    return ledger_sweep(t->ledger, t->db, t->settings.release_orphans ? LEDGER_RELEASE : LEDGER_CHARGE, clock_wall_ms(),
                        STEP_ROWS, &t->done);
}

static enum weir_err tidy(struct tick *t)
{
    return ledger_tidy(t->ledger, t->db, clock_wall_ms(), STEP_ROWS, &t->after, &t->done);
}

static enum weir_err forget_content(struct tick *t)
{
    return content_forget(t->db, &t->settings, clock_wall_ms(), CONTENT_STEP, &t->done);
}

static enum weir_err forget(struct tick *t)
{
    int64_t days = t->settings.audit_keep_days;

    return ledger_forget(t->ledger, t->db, days ? clock_wall_ms() - days * DAY_MS : 0, t->settings.audit_keep_rows,
                         STEP_ROWS, &t->done);
}

static enum weir_err put_fold(struct tick *t)
{
    t->done = 1;
    return fold_put(t->db, &t->fold, clock_wall_ms());
}

/* One step in its own transaction; its rows are added to *sum. */
static enum weir_err take_step(struct tick *t, enum weir_err (*step)(struct tick *), int64_t *sum)
{
    const struct timespec pause = {0, 1000000};
    int lock = writer_lock(t->w->data_dir);
    enum weir_err err;

    t->done = 0;
    if (lock < 0) return errno == ETIMEDOUT ? WEIR_BUSY : WEIR_STORAGE;
    err = db_begin(t->db);
    if (!err) {
        err = step(t);
        if (!err) err = db_commit(t->db);
        if (err) db_rollback(t->db);
    }
    close(lock);
    if (!err) *sum += t->done;
    nanosleep(&pause, NULL); /* whoever waits goes first */
    return err;
}

static enum weir_err count_processes(struct db *db, int64_t *n)
{
    struct stmt *s = db_stmt(db, SQL_PROCESS_COUNT);
    bool row;
    enum weir_err err = stmt_step(s, &row);

    *n = !err && row ? stmt_get_int(s, 0) : 0;
    stmt_reset(s);
    return err;
}

/* A step looks at a bounded number of processes: it is over when one ends no ticket and forgets no process. */
static enum weir_err sweep_all(struct tick *t)
{
    int64_t before, now;
    enum weir_err err = count_processes(t->db, &now);

    do {
        before = now;
        if (!err) err = take_step(t, sweep, &t->swept);
        if (!err) err = count_processes(t->db, &now);
    } while (!err && (t->done || now < before));
    return err;
}

/* What the charts of the pages ask for; only the writing is done in the writers' queue. */
static enum weir_err fold_all(struct tick *t)
{
    enum weir_err err;
    bool due;

    do {
        err = fold_make(t->db, clock_wall_ms(), &t->fold, &due);
        if (!err && due) err = take_step(t, put_fold, &t->folded);
        buf_free(&t->fold.sums);
    } while (!err && due);
    return err;
}

static enum weir_err do_all(struct tick *t)
{
    enum weir_err err = settings_load(t->db, &t->w->memory, &t->settings);
    if (!err && t->settings.survives_power) err = db_survive(t->db, DB_SURVIVES_POWER);

    if (!err) err = sweep_all(t);
    do {
        if (!err) err = take_step(t, tidy, &t->removed);
    } while (!err && t->after);
    do {
        if (!err) err = take_step(t, forget_content, &t->contents);
    } while (!err && t->done);
    do {
        if (!err) err = take_step(t, forget, &t->deleted);
    } while (!err && t->done);
    if (!err) err = fold_all(t);
    if (!err) err = tick_probe(t->w, t->db, &t->probed, &t->alive);
    return err;
}

/* The cache is disposable: what fails there is none of tick's failures. */
static void tend_answers(const struct tick *t)
{
    struct cache *cache;
    struct flights *flights;

    if (!cache_new(t->w->data_dir, &cache)) {
        for (int i = 0; i < TEND_CALLS && cache_tend(cache, clock_wall_ms(), t->settings.cache_max_bytes); i++) continue;
        cache_free(cache);
    }
    if (!flights_new(t->w->data_dir, &flights)) {
        flights_sweep(flights);
        flights_free(flights);
    }
}

/* ---- key sets ---- */

static enum weir_err due(struct tick *t)
{
    enum weir_err err = key_set_is_due(t->db, t->verifier, t->now, &t->mine, &t->tried);

    return err || !t->mine ? err : key_set_claim(t->db, t->verifier, t->now, t->tried, &t->mine);
}

static enum weir_err put(struct tick *t)
{
    t->done = 1;
    return key_set_put(t->db, t->verifier, buf_all(&t->keys), t->now);
}

static enum weir_err put_fault(struct tick *t) { return key_set_failed(t->db, t->verifier, t->fault); }

/* What cannot be fetched is said, and leaves the last good set in force. */
static enum weir_err fetch_set(struct tick *t, struct http_pool *pool)
{
    enum weir_err err;

    t->now = clock_wall_ms();
    err = take_step(t, due, &t->fetched);
    if (err || !t->mine) return err;
    buf_init(&t->keys, BOUND_KEY_SET * 2);
    if (jwks_fetch(pool, t->verifier->jwks_url, t->verifier->method, -1, &t->keys, t->fault) == WEIR_OK) {
        err = take_step(t, put, &t->fetched);
    } else {
        say("the key set of verifier %s was not fetched: %s", t->verifier->name, t->fault);
        err = take_step(t, put_fault, &t->fetched);
    }
    buf_free(&t->keys);
    return err;
}

static enum weir_err fetch_sets(struct tick *t)
{
    struct verifiers all;
    struct http_pool *pool = NULL;
    enum weir_err err = verifiers_load(t->db, NULL, &t->w->memory, &all);

    if (!err) err = http_start();
    if (!err) err = http_pool_new(-1, &pool);
    if (err) return err;
    for (int i = 0; i < all.count && !err; i++) {
        t->verifier = &all.at[i];
        if (t->verifier->jwks_url) err = fetch_set(t, pool);
    }
    http_pool_free(pool);
    return err;
}

static void print_done(const struct tick *t, bool json, int pages, int moved)
{
    printf(json ? "{\"tickets_swept\": %lld, \"counters_removed\": %lld, \"contents_deleted\": %lld, "
                  "\"audit_rows_deleted\": %lld, \"sums_folded\": %lld, \"upstreams_probed\": %lld, "
                  "\"upstreams_alive\": %lld, \"key_sets_fetched\": %lld, \"log_pages\": %d, \"log_pages_moved\": %d}\n"
                : "tickets of dead processes settled: %lld\nidle counters removed: %lld\ncontents deleted: %lld\n"
                  "audit rows deleted: %lld\nhours and days added up: %lld\nupstreams probed: %lld, alive: %lld\n"
                  "key sets fetched: %lld\npages in the log: %d, moved into the database: %d\n",
           (long long)t->swept, (long long)t->removed, (long long)t->contents, (long long)t->deleted,
           (long long)t->folded, (long long)t->probed, (long long)t->alive, (long long)t->fetched, pages, moved);
}

int cmd_tick(struct weir *w, int argc, char **argv)
{
    bool json = false;
    const struct option_def options[] = {{"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct tick t = {.w = w};
    struct words words;
    enum weir_err err;
    int pages = 0, moved = 0;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &t.db)) return EXIT_REFUSED;
    err = vault_heal(t.db, w->data_dir, w->master_path);
    if (err) say("%s" VAULT_NEW ": left of a rotation, cannot be put right: %s", w->master_path, err_words(err));
    err = ledger_open(w->data_dir, &t.ledger);
    if (!err) err = do_all(&t);
    if (!err) tend_answers(&t);
    if (!err) err = fetch_sets(&t);
    if (!err) {
        err = db_checkpoint(t.db, false, &pages, &moved);
        if (err == WEIR_BUSY) err = WEIR_OK; /* another checkpoint is under way: as good */
    }
    if (err) weir_failed("tick did not come to its end", err, t.db);
    print_done(&t, json, pages > 0 ? pages : 0, moved > 0 ? moved : 0);
    ledger_close(t.ledger);
    db_close(t.db);
    return err ? EXIT_REFUSED : finish_output();
}
