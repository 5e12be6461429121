/* The thread that makes folds of the rollup: one after the other, each written in a small transaction of its own in the
 * writers' queue; then it sleeps until an hour may have ended. */
#include "admin/web_fold.h"

#include <stdlib.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/background.h"
#include "sql/fold.h"
#include "sql/writer.h"

#define BUSY_MS 5000
#define ROUND_MS 60000
#define PAUSE_MS 20 /* between two folds: whoever waits goes first */

struct web_folder {
    const char *data_dir, *db_path;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
};

static bool is_stopped(struct web_folder *f, int64_t wait_ms)
{
    pthread_mutex_lock(&f->lock);
    if (!f->stop) background_wait(&f->wake, &f->lock, wait_ms);
    bool stop = f->stop;
    pthread_mutex_unlock(&f->lock);
    return stop;
}

static enum weir_err put(const struct web_folder *f, struct db *db, const struct fold *fold)
{
    int lock = writer_lock(f->data_dir);
    if (lock < 0) return WEIR_BUSY;
    enum weir_err err = db_begin(db);
    if (err == WEIR_OK) err = fold_put(db, fold, clock_wall_ms());
    if (err == WEIR_OK) err = db_commit(db);
    else db_rollback(db);
    close(lock);
    return err;
}

static enum weir_err take_step(const struct web_folder *f, struct db *db, bool *due)
{
    struct fold fold = {0};
    enum weir_err err = fold_make(db, clock_wall_ms(), &fold, due);
    if (err == WEIR_OK && *due) err = put(f, db, &fold);
    buf_free(&fold.sums);
    return err;
}

/* The connection is this round's: a database that was put in the place of another is seen. */
static void go_round(struct web_folder *f)
{
    struct db *db = NULL;
    bool due = true;
    enum weir_err err = db_open(f->db_path, DB_WRITE, BUSY_MS, &sql_admin, &db);
    if (err == WEIR_OK && db_schema(db) != db_schema_newest()) due = false;
    while (err == WEIR_OK && due && !is_stopped(f, PAUSE_MS)) err = take_step(f, db, &due);
    if (err != WEIR_OK && err != WEIR_BUSY)
        log_event(LOG_WARN, "sums_not_folded", LOG_TEXT("reason", weir_err_info(err)->text));
    db_close(db);
}

static void *folder_main(void *arg)
{
    struct web_folder *f = arg;
    do go_round(f);
    while (!is_stopped(f, ROUND_MS));
    return NULL;
}

enum weir_err web_fold_start(const char *data_dir, const char *db_path, struct web_folder **out)
{
    struct web_folder *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f) return WEIR_NOMEM;
    f->data_dir = data_dir;
    f->db_path = db_path;
    pthread_mutex_init(&f->lock, NULL);
    background_cond(&f->wake);
    enum weir_err err = background_start(&f->thread, folder_main, f);
    if (err == WEIR_OK) *out = f;
    else free(f);
    return err;
}

void web_fold_stop(struct web_folder *f)
{
    if (!f) return;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_mutex_unlock(&f->lock);
    pthread_cond_signal(&f->wake);
    pthread_join(f->thread, NULL);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f);
}
