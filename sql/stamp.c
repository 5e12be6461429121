/* The counter that says whether configuration has changed. Read and written, not mapped: a mapped file that somebody cuts
 * short ends the process. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sql/stamp.h"

static bool path_of(const char *data_dir, char path[4096])
{
    return snprintf(path, 4096, "%s/config.stamp", data_dir) < 4096;
}

void stamp_open(const char *data_dir, struct stamp *s)
{
    char path[4096];
    s->fd = path_of(data_dir, path) ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
}

void stamp_close(struct stamp *s)
{
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

bool stamp_has_moved(const char *data_dir, const struct stamp *s)
{
    char path[4096];
    struct stat opened, named;
    if (s->fd < 0 || !path_of(data_dir, path)) return true;
    if (stat(path, &named) != 0 || fstat(s->fd, &opened) != 0) return true;
    return named.st_ino != opened.st_ino || named.st_dev != opened.st_dev;
}

uint64_t stamp_read(const struct stamp *s)
{
    uint64_t value = 0;
    ssize_t got = s->fd < 0 ? -1 : pread(s->fd, &value, sizeof value, 0);
    return got == (ssize_t)sizeof value ? value : got == 0 ? 0 : STAMP_UNKNOWN; /* empty: nothing was ever changed */
}

static void put(const struct stamp *s, uint64_t value)
{
    if (s->fd >= 0 && pwrite(s->fd, &value, sizeof value, 0) != (ssize_t)sizeof value && ftruncate(s->fd, 1) != 0) return;
}

void stamp_begin(struct stamp *s) { put(s, stamp_read(s) | 1); }
void stamp_end(struct stamp *s) { put(s, (stamp_read(s) | 1) + 1); }
