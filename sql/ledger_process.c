/* Processes: each holds flock on a file of a random name in the data directory as long as it lives, which no re-used
 * process id can feign; the kernel lets go of it however the process ends. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fcgi/base/secret.h"
#include "sql/ledger_process.h"
#include "sql_ids.h"

static int open_in(const char *dir, const char *name, int flags)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/proc/%s", dir, name) >= (int)sizeof path) { errno = ENAMETOOLONG; return -1; }
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static void remove_in(const char *dir, const char *name)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/proc/%s", dir, name) < (int)sizeof path) unlink(path);
}

static enum weir_err take_lock(struct ledger *l)
{
    unsigned char random[16];
    char path[4096], name[40];
    if (snprintf(path, sizeof path, "%s/proc", l->dir) >= (int)sizeof path) return WEIR_IO;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return WEIR_IO;
    secret_random(random, sizeof random);
    for (int i = 0; i < 16; i++) snprintf(name + 2 * i, 3, "%02x", random[i]);
    memcpy(name + 32, ".lock", 6);
    if (!(l->lock = strdup(name))) return WEIR_NOMEM;
    l->fd = open_in(l->dir, name, O_RDWR | O_CREAT | O_EXCL);
    return l->fd >= 0 && flock(l->fd, LOCK_EX | LOCK_NB) == 0 ? WEIR_OK : WEIR_IO;
}

enum weir_err ledger_open(const char *data_dir, struct ledger **out)
{
    *out = NULL;
    struct ledger *l = ledger_memory_new();
    if (!l) return WEIR_NOMEM;
    enum weir_err err = (l->dir = strdup(data_dir)) ? take_lock(l) : WEIR_NOMEM;
    if (err != WEIR_OK) { ledger_close(l); return err; }
    *out = l;
    return WEIR_OK;
}

void ledger_close(struct ledger *l)
{
    if (!l) return;
    if (l->fd >= 0) {
        remove_in(l->dir, l->lock);
        close(l->fd);
    }
    ledger_memory_free(l);
}

enum weir_err ledger_process(struct ledger *l, struct db *db)
{
    bool row;
    if (l->process) return WEIR_OK;
    struct stmt *s = db_stmt(db, SQL_PROCESS_FIND);
    stmt_text(s, 1, span_of(l->lock));
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && row) l->process = stmt_get_int(s, 0);
    stmt_reset(s);
    if (err != WEIR_OK || row) return err;
    s = db_stmt(db, SQL_PROCESS_ADD);
    stmt_int(s, 1, l->now);
    stmt_text(s, 2, span_of(l->lock));
    err = stmt_run(s);
    if (err == WEIR_OK) l->process = db_last_id(db);
    return err;
}

bool ledger_lives(const struct ledger *l, const char *lock)
{
    if (strcmp(lock, l->lock) == 0) return true;
    if (strchr(lock, '/')) return true; /* no name of ours */
    int fd = open_in(l->dir, lock, O_RDWR);
    if (fd < 0) return errno != ENOENT; /* no descriptor left, no right: not known to be dead */
    bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (dead) remove_in(l->dir, lock);
    close(fd);
    return !dead;
}
