/* The mapped counter that says whether configuration has changed. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sql/stamp.h"

static int path_of(const char *data_dir, char path[4096])
{
    return snprintf(path, 4096, "%s/config.stamp", data_dir) < 4096;
}

void stamp_open(const char *data_dir, struct stamp *s)
{
    char path[4096];
    struct stat st;
    *s = (struct stamp){.at = NULL, .fd = -1};
    if (!path_of(data_dir, path)) return;
    s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->fd < 0) return;
    if (fstat(s->fd, &st) == 0 && (st.st_size >= (off_t)sizeof *s->at || posix_fallocate(s->fd, 0, sizeof *s->at) == 0)) {
        void *at = mmap(NULL, sizeof *s->at, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
        if (at != MAP_FAILED) s->at = at;
    }
    if (!s->at) stamp_close(s);
}

void stamp_close(struct stamp *s)
{
    if (s->at) munmap((void *)s->at, sizeof *s->at);
    if (s->fd >= 0) close(s->fd);
    *s = (struct stamp){.at = NULL, .fd = -1};
}

int stamp_has_moved(const char *data_dir, const struct stamp *s)
{
    char path[4096];
    struct stat mapped, named;
    if (!s->at || !path_of(data_dir, path)) return 1;
    if (stat(path, &named) != 0 || fstat(s->fd, &mapped) != 0) return 1;
    return named.st_ino != mapped.st_ino || named.st_dev != mapped.st_dev;
}

uint64_t stamp_read(const struct stamp *s)
{
    return s->at ? atomic_load(s->at) : STAMP_UNKNOWN;
}

void stamp_begin(struct stamp *s)
{
    if (s->at) atomic_store(s->at, atomic_load(s->at) | 1);
}

void stamp_end(struct stamp *s)
{
    if (s->at) atomic_store(s->at, (atomic_load(s->at) | 1) + 1);
}
