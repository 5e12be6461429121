/* Flights. No two leaders write into one file: followers of one that died find that the name means another file by now, or
 * none. */
#include "fcgi/base/flight.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/base/clock.h"

#define RECORD_MAX (64 << 20) /* bytes; more is none of ours */
#define LOOK_MS    1000       /* followers look by themselves that often, whatever wakes them */
#define LOOK_BLIND_MS 20      /* where nothing wakes them */
#define OLD_S      60
#define READ_BYTES 16384

enum mark { MARK_RECORD = 'r', MARK_END = 'e' };
struct mark_head { unsigned char length[4]; unsigned char mark; };

struct flight {
    struct flights *all;
    char *path;
    int fd;
    bool leads, ended, broken;
    /* following */
    int followers_fd;  /* holds the shared lock that says that somebody does */
    int bell;          /* eventfd; -1: blind */
    int watch;
    struct buf in;     /* read and not yet given */
    size_t given;      /* of it: the record that was given last */
    struct flight *next;
};

struct flights {
    char *directory;
    pthread_mutex_t lock;
    int inotify, stop;         /* -1 until the first follower */
    pthread_t thread;
    struct flight *followers;
};

/* ---- who wakes followers ---- */

static void ring(struct flights *f, int watch)
{
    uint64_t one = 1;
    pthread_mutex_lock(&f->lock);
    for (struct flight *t = f->followers; t; t = t->next)
        if (t->watch == watch && write(t->bell, &one, sizeof one) < 0) continue;
    pthread_mutex_unlock(&f->lock);
}

static void *watch_main(void *arg)
{
    struct flights *f = arg;
    char events[4096];
    struct inotify_event e;
    struct pollfd fds[] = {{f->inotify, POLLIN, 0}, {f->stop, POLLIN, 0}};
    while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
        if (fds[1].revents) break;
        ssize_t n = read(f->inotify, events, sizeof events);
        for (char *at = events; n > 0 && at < events + n; at += sizeof e + e.len) {
            memcpy(&e, at, sizeof e);
            ring(f, e.wd);
        }
    }
    return NULL;
}

/* Under the lock. False: followers go blind, and look by themselves. */
static bool start_watching(struct flights *f)
{
    if (f->inotify >= 0) return true;
    f->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    f->stop = eventfd(0, EFD_CLOEXEC);
    if (f->inotify >= 0 && f->stop >= 0 && pthread_create(&f->thread, NULL, watch_main, f) == 0) return true;
    if (f->inotify >= 0) close(f->inotify);
    if (f->stop >= 0) close(f->stop);
    f->inotify = f->stop = -1;
    return false;
}

static void watch(struct flight *t)
{
    struct flights *f = t->all;
    t->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_lock(&f->lock);
    /* By the descriptor: the name may mean another file already. */
    char self[40];
    snprintf(self, sizeof self, "/proc/self/fd/%d", t->fd);
    t->watch = t->bell >= 0 && start_watching(f) ? inotify_add_watch(f->inotify, self, IN_MODIFY | IN_CLOSE_WRITE) : -1;
    if (t->watch >= 0) {
        t->next = f->followers;
        f->followers = t;
    } else if (t->bell >= 0) {
        close(t->bell);
        t->bell = -1;
    }
    pthread_mutex_unlock(&f->lock);
}

static void unwatch(struct flight *t)
{
    struct flights *f = t->all;
    bool shared = false;
    if (t->bell < 0) return;
    pthread_mutex_lock(&f->lock);
    for (struct flight **at = &f->followers; *at;) {
        if (*at == t) {
            *at = t->next;
            continue;
        }
        shared |= (*at)->watch == t->watch;
        at = &(*at)->next;
    }
    if (!shared) inotify_rm_watch(f->inotify, t->watch);
    pthread_mutex_unlock(&f->lock);
    close(t->bell);
}

/* ---- joining ---- */

static bool is_named(const char *path, int fd)
{
    struct stat named, opened;
    if (stat(path, &named) != 0 || fstat(fd, &opened) != 0) return false;
    return named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

/* Takes the lock of the file that has the name, if it is free: 1 leads, 0 follows, -1 with errno. What a dead leader wrote
 * is for its followers alone: the name then goes to another file. */
static int contend(const char *path, int *fd)
{
    for (;; close(*fd)) {
        struct stat st;
        *fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (*fd < 0) return -1;
        if (flock(*fd, LOCK_EX | LOCK_NB) != 0) return errno == EWOULDBLOCK ? 0 : -1;
        if (!is_named(path, *fd)) continue;
        if (fstat(*fd, &st) == 0 && st.st_size == 0) return 1;
        unlink(path);
    }
}

static int open_followers(const char *path)
{
    char other[4200];
    if (snprintf(other, sizeof other, "%s.followed", path) >= (int)sizeof other) return -1;
    return open(other, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
}

enum weir_err flight_join(struct flights *f, const char *name, bool *leads, struct flight **out)
{
    *out = NULL;
    struct flight *t = calloc(1, sizeof *t);
    if (!t) return WEIR_NOMEM;
    *t = (struct flight){.all = f, .fd = -1, .followers_fd = -1, .bell = -1, .watch = -1};
    buf_init(&t->in, RECORD_MAX + READ_BYTES);
    if (asprintf(&t->path, "%s/%s", f->directory, name) < 0) t->path = NULL;
    int rank = t->path ? contend(t->path, &t->fd) : -1;
    if (rank < 0 && t->path && errno == ENOENT && (mkdir(f->directory, 0700) == 0 || errno == EEXIST))
        rank = contend(t->path, &t->fd);
    if (rank < 0) {
        flight_leave(t);
        return WEIR_IO;
    }
    t->leads = *leads = rank == 1;
    if (!t->leads) {
        t->followers_fd = open_followers(t->path);
        if (t->followers_fd >= 0) flock(t->followers_fd, LOCK_SH);
        watch(t);
    }
    *out = t;
    return WEIR_OK;
}

void flight_leave(struct flight *t)
{
    if (!t) return;
    if (t->leads && !t->ended && is_named(t->path, t->fd)) unlink(t->path);
    unwatch(t);
    if (t->fd >= 0) close(t->fd);
    if (t->followers_fd >= 0) close(t->followers_fd);
    buf_free(&t->in);
    free(t->path);
    free(t);
}

/* ---- leading ---- */

static void append(struct flight *t, enum mark mark, struct span record)
{
    size_t n = record.len;
    struct mark_head head = {.mark = (unsigned char)mark};
    for (int i = 0; i < 4; i++) head.length[i] = (unsigned char)(n >> (24 - 8 * i));
    struct iovec parts[] = {{&head, sizeof head}, {(void *)(uintptr_t)record.at, record.len}};
    if (t->broken) return;
    t->broken = n > RECORD_MAX || writev(t->fd, parts, 2) != (ssize_t)(sizeof head + n);
}

void flight_tell(struct flight *t, struct span record) { append(t, MARK_RECORD, record); }

/* The name goes first: whoever comes from now on does not join what is over. */
void flight_end(struct flight *t, struct span record)
{
    char other[4200];
    unlink(t->path);
    if (snprintf(other, sizeof other, "%s.followed", t->path) < (int)sizeof other) unlink(other);
    append(t, MARK_END, record);
    t->ended = !t->broken;
}

bool flight_is_followed(struct flight *t)
{
    int fd = open_followers(t->path);
    if (fd < 0) return false;
    bool followed = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return followed;
}

/* ---- following ---- */

/* The next record of what was read; false: it is not there yet. */
static bool next_record(struct flight *t, enum flight_event *event, struct span *record)
{
    buf_drop(&t->in, t->given);
    t->given = 0;
    if (t->in.len < sizeof(struct mark_head)) return false;
    const unsigned char *head = (const unsigned char *)t->in.at;
    size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (n > RECORD_MAX || (head[4] != MARK_RECORD && head[4] != MARK_END)) {
        *event = FLIGHT_FAILED;
        return true;
    }
    if (t->in.len < sizeof(struct mark_head) + n) return false;
    *event = head[4] == MARK_END ? FLIGHT_END : FLIGHT_RECORD;
    *record = (struct span){t->in.at + sizeof(struct mark_head), n};
    t->given = sizeof(struct mark_head) + n;
    return true;
}

/* 1: something came, 0: nothing is there, -1: it cannot be read. */
static int read_more(struct flight *t)
{
    char *room = buf_room(&t->in, READ_BYTES);
    ssize_t n = room ? read(t->fd, room, READ_BYTES) : -1;
    if (n > 0) buf_added(&t->in, (size_t)n);
    return n > 0 ? 1 : n < 0 && errno != EINTR ? -1 : 0;
}

static bool leader_is_gone(const struct flight *t)
{
    if (flock(t->fd, LOCK_SH | LOCK_NB) != 0) return false;
    flock(t->fd, LOCK_UN);
    return true;
}

/* Looks once: true if there is something to say. What the leader wrote before it left is read after it was seen to have. */
static bool look(struct flight *t, enum flight_event *event, struct span *record)
{
    for (bool gone = false;;) {
        if (next_record(t, event, record)) return true;
        int more = read_more(t);
        if (more > 0) continue;
        if (more < 0 || gone) {
            *event = FLIGHT_FAILED;
            return true;
        }
        gone = leader_is_gone(t);
        if (!gone) return false;
    }
}

enum flight_event flight_wait(struct flight *t, int client_fd, int stop_fd, int64_t deadline, struct span *record)
{
    enum flight_event event;
    while (!look(t, &event, record)) {
        int64_t left = deadline - clock_mono_ms(), most = t->bell >= 0 ? LOOK_MS : LOOK_BLIND_MS;
        uint64_t rung;
        struct pollfd fds[] = {{t->bell, POLLIN, 0}, {client_fd, POLLRDHUP, 0}, {stop_fd, POLLIN, 0}};
        if (left <= 0) return FLIGHT_TIMEOUT;
        poll(fds, 3, (int)(left < most ? left : most)); /* a descriptor of -1 is passed over */
        if (fds[1].revents & (POLLHUP | POLLRDHUP | POLLERR)) return FLIGHT_GONE;
        if (fds[2].revents) return FLIGHT_STOP;
        if (fds[0].revents && read(t->bell, &rung, sizeof rung) < 0) continue;
    }
    return event;
}

/* ---- the whole ---- */

enum weir_err flights_new(const char *data_dir, struct flights **out)
{
    struct flights *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f) return WEIR_NOMEM;
    *f = (struct flights){.inotify = -1, .stop = -1};
    if (asprintf(&f->directory, "%s/flight", data_dir) < 0) {
        free(f);
        return WEIR_NOMEM;
    }
    pthread_mutex_init(&f->lock, NULL);
    *out = f;
    return WEIR_OK;
}

void flights_free(struct flights *f)
{
    uint64_t one = 1;
    if (!f) return;
    if (f->inotify >= 0) {
        while (write(f->stop, &one, sizeof one) < 0 && errno == EINTR) continue;
        pthread_join(f->thread, NULL);
        close(f->inotify);
        close(f->stop);
    }
    pthread_mutex_destroy(&f->lock);
    free(f->directory);
    free(f);
}

void flights_sweep(struct flights *f)
{
    DIR *d = opendir(f->directory);
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) continue;
        if (time(NULL) - st.st_mtime < OLD_S) continue;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dirfd(d), e->d_name, 0);
        close(fd);
    }
    closedir(d);
}
