/* Preloaded into Weir's programs by tests/fault/test_inject.py: the n-th call of a kind fails, or the process is killed
 * there. What and when is told in a file that both sides have mapped. The steps that SQLite takes while it reads the schema
 * are left alone: not taken at all, they would leave it with an empty one, which no failure really does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, ALLOCATION, STATEMENT, WRITE, CONNECTION, KILL, SYNC };

/* test_inject.py knows this layout. */
struct control {
    _Atomic uint32_t kind;   /* what is counted; NONE: nothing */
    _Atomic uint32_t at;     /* the call that fails, from 1; 0: only counts */
    _Atomic uint32_t last;   /* and those behind it up to this one */
    _Atomic uint32_t code;   /* errno, or SQLite's code */
    _Atomic uint32_t count;  /* calls so far */
    _Atomic uint32_t failed; /* of them made to fail */
    char program[16];        /* only this one */
};

static struct control *control;
static struct library { const char *name; uintptr_t from, to; } sqlite = {"libsqlite3.so", 0, 0};

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int find_library(struct dl_phdr_info *object, size_t size, void *wanted)
{
    struct library *l = wanted;
    (void)size;
    if (!object->dlpi_name || !strstr(object->dlpi_name, l->name)) return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &object->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
        l->from = object->dlpi_addr + p->p_vaddr;
        l->to = l->from + p->p_memsz;
    }
    return 1;
}

static int is_of(const struct library *l, const void *caller)
{
    return (uintptr_t)caller >= l->from && (uintptr_t)caller < l->to;
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("WEIR_INJECT");
    if (!path || strncmp(program_invocation_short_name, "weir", 4) != 0) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    struct control *c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (c == MAP_FAILED) return;
    dl_iterate_phdr(find_library, &sqlite);
    control = c;
}

/* Is this call the one? */
static int fails(enum kind kind, const void *caller)
{
    if (!control || atomic_load(&control->kind) != kind) return 0;
    if (strcmp(control->program, program_invocation_short_name) != 0) return 0;
    if (kind == STATEMENT && is_of(&sqlite, caller)) return 0;
    uint32_t n = atomic_fetch_add(&control->count, 1) + 1, at = atomic_load(&control->at);
    if (!at || n < at || n > atomic_load(&control->last)) return 0;
    atomic_fetch_add(&control->failed, 1);
    if (kind == KILL) raise(SIGKILL);
    errno = (int)atomic_load(&control->code);
    return 1;
}
#define FAILS(kind) fails(kind, __builtin_return_address(0))

/* ---- memory ---- */

/* dlsym allocates before it has found the real one. */
static _Alignas(16) char first[16384];
static size_t first_used;
static int is_first(const void *at) { return (const char *)at >= first && (const char *)at < first + sizeof first; }
static void *take_first(size_t size)
{
    size = (size + 31) & ~(size_t)15;
    if (first_used + size > sizeof first) _exit(99);
    char *at = first + first_used + 16;
    *(size_t *)(at - 16) = size - 16;
    first_used += size;
    return at;
}

static void *(*real_malloc)(size_t), *(*real_calloc)(size_t, size_t), *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);

static int found(void)
{
    static _Atomic int state; /* 0: not looked for, 1: being looked for, 2: found */
    int none = 0;
    if (atomic_load(&state) == 2) return 1;
    if (!atomic_compare_exchange_strong(&state, &none, 1)) return 0;
    real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    atomic_store(&state, 2);
    return 1;
}

void *malloc(size_t size)
{
    if (!found()) return take_first(size);
    return FAILS(ALLOCATION) ? NULL : real_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    if (!found()) return take_first(n * size); /* zero from the start, and given out once */
    return FAILS(ALLOCATION) ? NULL : real_calloc(n, size);
}

void *realloc(void *at, size_t size)
{
    if (!found()) _exit(99);
    if (FAILS(ALLOCATION)) return NULL;
    if (!is_first(at)) return real_realloc(at, size);
    size_t had = *(size_t *)((char *)at - 16);
    void *moved = real_malloc(size);
    return moved ? memcpy(moved, at, had < size ? had : size) : NULL;
}

void free(void *at)
{
    if (at && !is_first(at) && found()) real_free(at);
}

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset)
{
    REAL(mmap);
    return FAILS(ALLOCATION) ? MAP_FAILED : real(where, size, protection, flags, fd, offset);
}

/* ---- statements ---- */

struct sqlite3_stmt;
int sqlite3_step(struct sqlite3_stmt *s);

int sqlite3_step(struct sqlite3_stmt *s)
{
    REAL(sqlite3_step);
    return FAILS(STATEMENT) ? (int)atomic_load(&control->code) : real(s);
}

/* ---- files ---- */

#define CHANGES(...) /* of a file: may fail, or be where the process dies */ \
    if (FAILS(KILL) || FAILS(WRITE)) return -1; \
    return real(__VA_ARGS__)

ssize_t pwrite64(int fd, const void *at, size_t n, off64_t offset) { REAL(pwrite64); CHANGES(fd, at, n, offset); }
ssize_t pwrite(int fd, const void *at, size_t n, off_t offset) { REAL(pwrite); CHANGES(fd, at, n, offset); }
int fsync(int fd) { REAL(fsync); if (FAILS(SYNC)) return -1; CHANGES(fd); }
int fdatasync(int fd) { REAL(fdatasync); if (FAILS(SYNC)) return -1; CHANGES(fd); }
int ftruncate64(int fd, off64_t n) { REAL(ftruncate64); CHANGES(fd, n); }
int ftruncate(int fd, off_t n) { REAL(ftruncate); CHANGES(fd, n); }
int rename(const char *from, const char *to) { REAL(rename); CHANGES(from, to); }
int unlink(const char *path) { REAL(unlink); CHANGES(path); }
int fchmod(int fd, mode_t mode) { REAL(fchmod); CHANGES(fd, mode); }

ssize_t write(int fd, const void *at, size_t n)
{
    REAL(write);
    if (fd > 2 && FAILS(KILL)) return -1;
    return real(fd, at, n);
}

int open(const char *path, int flags, ...)
{
    REAL(open);
    mode_t mode = 0;
    if (flags & O_CREAT) {
        __builtin_va_list args;
        __builtin_va_start(args, flags);
        mode = __builtin_va_arg(args, mode_t);
        __builtin_va_end(args);
        if (FAILS(KILL)) return -1;
    }
    return real(path, flags, mode);
}

/* ---- connections ---- */

static int is_ours(int family) { return family == AF_INET || family == AF_INET6; }

/* Not the web server's. */
static int is_upstreams(int fd)
{
    struct sockaddr_storage name;
    socklen_t n = sizeof name;
    return getsockname(fd, (struct sockaddr *)&name, &n) == 0 && is_ours(name.ss_family);
}

int socket(int family, int type, int protocol)
{
    REAL(socket);
    return is_ours(family) && FAILS(CONNECTION) ? -1 : real(family, type, protocol);
}

int connect(int fd, const struct sockaddr *to, socklen_t n)
{
    REAL(connect);
    return is_ours(to->sa_family) && FAILS(CONNECTION) ? -1 : real(fd, to, n);
}

ssize_t send(int fd, const void *at, size_t n, int flags)
{
    REAL(send);
    return is_upstreams(fd) && FAILS(CONNECTION) ? -1 : real(fd, at, n, flags);
}

ssize_t recv(int fd, void *at, size_t n, int flags)
{
    REAL(recv);
    return is_upstreams(fd) && FAILS(CONNECTION) ? -1 : real(fd, at, n, flags);
}
