/* Whose turn it is to write. Locks are flock's, each on an open file of our own: they end with the process, and threads
 * and processes count alike. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "fcgi/base/clock.h"
#include "sql/turn.h"
#include "sql/writer.h"

#define LOCK_MS 30000 /* how long writer_lock waits */

static int open_lock(const char *dir, const char *name)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

enum weir_err turn_open(const char *data_dir, struct turn *t)
{
    t->lock = open_lock(data_dir, "writer.lock");
    t->next = t->lock < 0 ? -1 : open_lock(data_dir, "writer.next");
    if (t->next >= 0) return WEIR_OK;
    turn_close(t);
    return WEIR_STORAGE;
}

void turn_close(struct turn *t)
{
    if (t->lock >= 0) close(t->lock);
    if (t->next >= 0) close(t->next);
    t->lock = t->next = -1;
}

static bool take(int fd)
{
    int rc;
    do rc = flock(fd, LOCK_EX); while (rc != 0 && errno == EINTR);
    return rc == 0;
}

enum weir_err turn_take(struct turn *t)
{
    if (!take(t->next)) return WEIR_STORAGE;
    bool taken = take(t->lock);
    flock(t->next, LOCK_UN);
    return taken ? WEIR_OK : WEIR_STORAGE;
}

bool turn_try(struct turn *t)
{
    if (flock(t->next, LOCK_EX | LOCK_NB) != 0) return false;
    bool taken = flock(t->lock, LOCK_EX | LOCK_NB) == 0;
    flock(t->next, LOCK_UN);
    return taken;
}

void turn_give(struct turn *t) { flock(t->lock, LOCK_UN); }

static bool take_until(int fd, int64_t until)
{
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return false;
        if (clock_mono_ms() > until) { errno = ETIMEDOUT; return false; }
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return true;
}

int writer_lock(const char *data_dir)
{
    struct turn t;
    int64_t until = clock_mono_ms() + LOCK_MS;
    if (turn_open(data_dir, &t) != WEIR_OK) return -1;
    if (!take_until(t.next, until) || !take_until(t.lock, until)) {
        int why = errno;
        turn_close(&t);
        errno = why;
        return -1;
    }
    close(t.next);
    return t.lock;
}
