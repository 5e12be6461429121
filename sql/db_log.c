/* The log of a database, gathered. SQLite writes each frame of a commit in two, its header and its page: some twenty system
 * calls a commit. Here they become one. Nobody may read a frame before its commit is in the log's index, which SQLite writes
 * only behind the last, and that one takes all before it along. (https://www.sqlite.org/fileformat2.html#walformat)
 * Whatever is not a header or the page behind it goes straight through, behind what was kept back. */
#include "sql/db_log.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEADER 24
#define GATHER_MAX   (64 << 10) /* bytes; what is more goes in several writes */

struct log_vfs {
    sqlite3_vfs vfs; /* first: SQLite's */
    sqlite3_vfs *under;
};

struct log_file {
    sqlite3_file file; /* first: SQLite's */
    sqlite3_file *under; /* directly behind this */
    bool gathers;
    bool in_frame;     /* a header was taken, and its page comes next */
    bool last;         /* it ends the commit */
    sqlite3_int64 at;
    int len;
    unsigned char *bytes; /* NULL until the first commit */
};

static struct log_file *log_of(sqlite3_file *file) { return (struct log_file *)file; }
static const sqlite3_io_methods *does(sqlite3_file *file) { return log_of(file)->under->pMethods; }

static int write_kept(struct log_file *f)
{
    int len = f->len;
    f->len = 0;
    f->in_frame = false;
    return len ? f->under->pMethods->xWrite(f->under, f->bytes, len, f->at) : SQLITE_OK;
}

/* Header and page by turns; the header's second number is the database's size after a commit, and 0 within one. */
static int keep(struct log_file *f, const unsigned char *from, int len, sqlite3_int64 at)
{
    static const unsigned char within[4];
    if (!f->len) f->at = at;
    memcpy(f->bytes + f->len, from, (size_t)len);
    f->len += len;
    f->in_frame = !f->in_frame;
    if (f->in_frame) {
        f->last = memcmp(from + 4, within, sizeof within) != 0;
        return SQLITE_OK;
    }
    if (!f->last) return SQLITE_OK;
    f->gathers = false;
    return write_kept(f);
}

static bool belongs(const struct log_file *f, int len, sqlite3_int64 at)
{
    return f->gathers && (f->in_frame || len == FRAME_HEADER) && len <= GATHER_MAX - f->len &&
           (!f->len || at == f->at + f->len);
}

static int log_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
    struct log_file *f = log_of(file);
    if (belongs(f, len, at)) return keep(f, from, len, at);
    int rc = write_kept(f);
    return rc == SQLITE_OK ? f->under->pMethods->xWrite(f->under, from, len, at) : rc;
}

static int log_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
    int rc = write_kept(log_of(file));
    return rc == SQLITE_OK ? does(file)->xRead(log_of(file)->under, to, len, at) : rc;
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = write_kept(log_of(file));
    return rc == SQLITE_OK ? does(file)->xTruncate(log_of(file)->under, size) : rc;
}

static int log_sync(sqlite3_file *file, int flags)
{
    int rc = write_kept(log_of(file));
    return rc == SQLITE_OK ? does(file)->xSync(log_of(file)->under, flags) : rc;
}

static int log_size(sqlite3_file *file, sqlite3_int64 *size)
{
    int rc = write_kept(log_of(file));
    return rc == SQLITE_OK ? does(file)->xFileSize(log_of(file)->under, size) : rc;
}

static int log_close(sqlite3_file *file)
{
    free(log_of(file)->bytes);
    return does(file)->xClose(log_of(file)->under);
}

static int log_lock(sqlite3_file *file, int how) { return does(file)->xLock(log_of(file)->under, how); }
static int log_unlock(sqlite3_file *file, int how) { return does(file)->xUnlock(log_of(file)->under, how); }

static int log_is_reserved(sqlite3_file *file, int *out)
{
    return does(file)->xCheckReservedLock(log_of(file)->under, out);
}

static int log_control(sqlite3_file *file, int op, void *arg)
{
    return does(file)->xFileControl(log_of(file)->under, op, arg);
}

static int log_sector(sqlite3_file *file) { return does(file)->xSectorSize(log_of(file)->under); }
static int log_traits(sqlite3_file *file) { return does(file)->xDeviceCharacteristics(log_of(file)->under); }

static const sqlite3_io_methods log_methods = {
    1, log_close, log_read, log_write, log_truncate, log_sync, log_size, log_lock, log_unlock, log_is_reserved, log_control,
    log_sector, log_traits, NULL, NULL, NULL, NULL, NULL, NULL,
};

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *got)
{
    sqlite3_vfs *under = ((struct log_vfs *)vfs)->under;
    if (!(flags & SQLITE_OPEN_WAL)) return under->xOpen(under, name, file, flags, got);
    struct log_file *f = log_of(file);
    *f = (struct log_file){.under = (sqlite3_file *)(f + 1)};
    int rc = under->xOpen(under, name, f->under, flags, got);
    if (f->under->pMethods) f->file.pMethods = &log_methods;
    return rc;
}

void db_log_start(void)
{
    sqlite3_vfs *under = sqlite3_vfs_find(NULL);
    struct log_vfs *v = under ? calloc(1, sizeof *v) : NULL;
    if (!v) return;
    v->vfs = *under;
    v->vfs.pNext = NULL;
    v->vfs.zName = "weir";
    v->vfs.szOsFile = under->szOsFile + (int)sizeof(struct log_file);
    v->vfs.xOpen = open_file;
    v->under = under;
    if (sqlite3_vfs_register(&v->vfs, 1) != SQLITE_OK) free(v);
}

void db_log_gather(sqlite3_file *log, bool on)
{
    if (!log || log->pMethods != &log_methods) return;
    struct log_file *f = log_of(log);
    if (on && !f->bytes) f->bytes = malloc(GATHER_MAX);
    f->gathers = on && f->bytes;
    f->len = 0;
    f->in_frame = false;
}
