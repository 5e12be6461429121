/* Brings a database to the newest schema, one process at a time. Applies what the build embedded from sql/schema and
 * nothing else; never goes back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "fcgi/base/clock.h"
#include "sql/db.h"
#include "sql/migrations.h"

#define LOCK_MS 30000 /* how long another's migration is waited for */
#define BUSY_MS 10000

int db_schema_newest(void)
{
    int newest = 0;
    for (const struct migration *m = migrations; m->number; m++) newest = m->number;
    return newest;
}

static enum weir_err take_lock(const char *db_path, int *fd)
{
    const char *slash = strrchr(db_path, '/');
    char path[4096];
    int dir = slash ? (int)(slash - db_path) + 1 : 0;
    *fd = -1;
    if (snprintf(path, sizeof path, "%.*smigrate.lock", dir, db_path) >= (int)sizeof path) return WEIR_STORAGE;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) return WEIR_STORAGE;
    int64_t until = clock_mono_ms() + LOCK_MS;
    while (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return WEIR_STORAGE;
        if (clock_mono_ms() > until) return WEIR_BUSY;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    return WEIR_OK;
}

static enum weir_err bring_up(struct db *db, int at)
{
    enum weir_err err = WEIR_OK;
    for (const struct migration *m = migrations; m->number && err == WEIR_OK; m++)
        if (m->number > at) err = db_apply(db, m->text, m->number);
    return err;
}

enum weir_err db_migrate(const char *path, int *from, int *to)
{
    struct db *db = NULL;
    int lock;
    enum weir_err err = take_lock(path, &lock);
    if (err != WEIR_OK) goto out;
    err = db_open(path, DB_WRITE, BUSY_MS, NULL, &db);
    if (err != WEIR_OK) goto out;
    int at = db_schema(db);
    err = at < 0 ? db_fault(db) : at > db_schema_newest() ? WEIR_CORRUPT : bring_up(db, at);
    if (from) *from = at;
    if (to) *to = err == WEIR_OK ? db_schema_newest() : at;
out:
    db_close(db);
    if (lock >= 0) close(lock);
    return err;
}
