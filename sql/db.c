/* The SQLite door: connections, their prepared statements, transactions, and SQLite's errors as ours.
 * With sql/db_log.c the only file that includes sqlite3.h. Knows no table, makes no SQL from what it is given. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "fcgi/base/buf.h"
#include "fcgi/base/clock.h"
#include "sql/db.h"
#include "sql/db_log.h"
#include "sql/wall.h"

#define CACHE_KIB    512        /* page cache of a connection; a process has several */
#define BACKUP_PAGES 256        /* pages copied between two calls of progress */
#define INTEGRITY_MAX (64 << 10) /* bytes of integrity_check's text that are kept */

struct stmt {
    sqlite3_stmt *at; /* NULL until its first use, and for ever in db->broken */
    struct db *db;
    int bind;         /* SQLite's code of the first binding that failed */
};

enum own { OWN_BEGIN, OWN_BEGIN_READ, OWN_COMMIT, OWN_ROLLBACK, OWN_SAVE, OWN_RELEASE, OWN_BACK, OWN_COUNT };
static const char *const own_text[OWN_COUNT] = {
    "BEGIN IMMEDIATE", "BEGIN DEFERRED", "COMMIT", "ROLLBACK", "SAVEPOINT one", "RELEASE one", "ROLLBACK TO one",
};

struct db {
    sqlite3 *at;
    const struct sql_list *list;
    struct stmt *stmts; /* list->count of them */
    struct stmt own[OWN_COUNT];
    struct stmt broken; /* stands for one that could not be had */
    struct { enum weir_err (*write)(void *arg, struct db *db); void *arg; } deferred; /* write NULL: nothing */
    int busy_ms;
    enum db_survives survives;
    int wal_pages;
    bool begun;      /* a transaction that has not been committed; SQLite may have rolled it back by itself */
    int64_t undone;  /* see db_undone */
    enum weir_err fault;
    char message[240];
};

/* SQLite counts its memory unless told not to, under one lock of the whole process at each allocation. */
void db_start(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    db_log_start();
}

static enum weir_err fault_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK: case SQLITE_ROW: case SQLITE_DONE:
        return WEIR_OK;
    case SQLITE_CONSTRAINT:
        return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_ROWID
            ? WEIR_EXISTS : WEIR_INVALID;
    case SQLITE_BUSY: case SQLITE_LOCKED: case SQLITE_PROTOCOL: case SQLITE_INTERRUPT:
        return WEIR_BUSY;
    case SQLITE_NOMEM:
        return WEIR_NOMEM;
    case SQLITE_IOERR:
        return rc == SQLITE_IOERR_NOMEM ? WEIR_NOMEM : WEIR_STORAGE;
    case SQLITE_FULL: case SQLITE_READONLY: case SQLITE_CANTOPEN: case SQLITE_PERM: case SQLITE_NOLFS:
        return WEIR_STORAGE;
    case SQLITE_CORRUPT: case SQLITE_NOTADB:
        return WEIR_CORRUPT;
    case SQLITE_TOOBIG:
        return WEIR_FULL;
    default:
        return WEIR_INTERNAL;
    }
}

static enum weir_err fail(struct db *db, int rc)
{
    db->fault = fault_of(rc);
    snprintf(db->message, sizeof db->message, "%s (%d)", db->at ? sqlite3_errmsg(db->at) : sqlite3_errstr(rc), rc);
    return db->fault;
}

static enum weir_err fail_as(struct db *db, enum weir_err err, const char *why)
{
    db->fault = err;
    snprintf(db->message, sizeof db->message, "%s", why);
    return err;
}

/* A descriptor of the database file must never be closed while SQLite has it open in this process: that drops
 * SQLite's POSIX locks. So the file is touched only to make it, when nobody can have it open. */
static enum weir_err make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return errno == EEXIST ? WEIR_EXISTS : WEIR_STORAGE;
    close(fd);
    return WEIR_OK;
}

static int on_commit(void *arg, sqlite3 *at, const char *schema, int pages)
{
    struct db *db = arg;
    (void)at, (void)schema;
    db->wal_pages = pages;
    return SQLITE_OK;
}

/* For connections behind the wall. Transactions, selects and functions are what statements are made of; the schema and
 * other files are nobody's behind it, and of pragmas only those that db_probe and db_survive need. */
static int ask_wall(void *arg, int action, const char *a, const char *b, const char *schema, const char *trigger)
{
    enum wall_act act;
    (void)arg, (void)schema, (void)trigger;
    switch (action) {
    case SQLITE_SELECT: case SQLITE_TRANSACTION: case SQLITE_SAVEPOINT: case SQLITE_FUNCTION: case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_PRAGMA: return strcmp(a, "user_version") == 0 || strcmp(a, "synchronous") == 0 ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_READ: act = WALL_READ; break;
    case SQLITE_INSERT: act = WALL_INSERT; break;
    case SQLITE_UPDATE: act = WALL_UPDATE; break;
    case SQLITE_DELETE: act = WALL_DELETE; break;
    default: return SQLITE_DENY;
    }
    return wall_allows(act, a, b ? b : "") ? SQLITE_OK : SQLITE_DENY;
}

/* Pages are SQLite's unit of writing, and what is written here is small: of half the usual size a commit writes and sums up
 * half as many bytes. A file that was made with others keeps them. */
static enum weir_err set_up(struct db *db, enum db_mode mode)
{
    char pragmas[300];
    snprintf(pragmas, sizeof pragmas,
             "%sPRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0;"
             "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-%d;",
             mode == DB_WRITE ? "PRAGMA page_size=2048; PRAGMA journal_mode=WAL;" : "", CACHE_KIB);
    int rc = sqlite3_exec(db->at, pragmas, NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_db_config(db->at, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (rc == SQLITE_OK && db->list && db->list->walled) rc = sqlite3_set_authorizer(db->at, ask_wall, NULL);
    if (rc != SQLITE_OK) return fail(db, rc);
    if (mode == DB_WRITE && sqlite3_db_readonly(db->at, "main") != 0)
        return fail_as(db, WEIR_STORAGE, "the database file is read-only");
    sqlite3_wal_hook(db->at, on_commit, db);
    return WEIR_OK;
}

enum weir_err db_open(const char *path, enum db_mode mode, int busy_ms, const struct sql_list *list, struct db **out)
{
    *out = NULL;
    if (mode == DB_WRITE && access(path, F_OK) != 0) {
        enum weir_err made = make_file(path);
        if (made != WEIR_OK && made != WEIR_EXISTS) return made;
    } else if (access(path, F_OK) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? WEIR_NOT_FOUND : WEIR_STORAGE;
    }
    struct db *db = calloc(1, sizeof *db);
    if (!db) return WEIR_NOMEM;
    enum weir_err err = WEIR_NOMEM;
    db->list = list;
    db->broken.db = db;
    db->busy_ms = busy_ms;
    db->survives = DB_SURVIVES_PROCESS;
    sqlite3_randomness(sizeof db->undone, &db->undone);
    if (list && !(db->stmts = calloc((size_t)list->count, sizeof *db->stmts))) goto out;
    int flags = (mode == DB_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(path, &db->at, flags, NULL);
    if (rc != SQLITE_OK) { err = fail(db, rc); goto out; }
    sqlite3_extended_result_codes(db->at, 1);
    sqlite3_busy_timeout(db->at, busy_ms);
    err = set_up(db, mode);
out:
    if (err != WEIR_OK) { db_close(db); return err; }
    *out = db;
    return WEIR_OK;
}

void db_close(struct db *db)
{
    if (!db) return;
    for (int i = 0; i < OWN_COUNT; i++) sqlite3_finalize(db->own[i].at);
    for (int i = 0; db->stmts && i < db->list->count; i++) sqlite3_finalize(db->stmts[i].at);
    sqlite3_close_v2(db->at);
    free(db->stmts);
    free(db);
}

enum weir_err db_survive(struct db *db, enum db_survives what)
{
    static const char *const pragmas[] = {"PRAGMA synchronous=OFF", "PRAGMA synchronous=NORMAL", "PRAGMA synchronous=FULL"};
    if (db->survives == what) return WEIR_OK;
    int rc = sqlite3_exec(db->at, pragmas[what], NULL, NULL, NULL);
    if (rc != SQLITE_OK) return fail(db, rc);
    db->survives = what;
    return WEIR_OK;
}

enum weir_err db_erase_deleted(struct db *db)
{
    int rc = sqlite3_exec(db->at, "PRAGMA secure_delete=ON", NULL, NULL, NULL);
    return rc == SQLITE_OK ? WEIR_OK : fail(db, rc);
}

const char *db_message(const struct db *db) { return db ? db->message : "no connection"; }
enum weir_err db_fault(const struct db *db) { return db->fault; }

/* ---- statements ---- */

static struct stmt *prepare(struct db *db, struct stmt *s, const char *text)
{
    if (!s->at) {
        int rc = sqlite3_prepare_v3(db->at, text, -1, SQLITE_PREPARE_PERSISTENT, &s->at, NULL);
        if (rc != SQLITE_OK) { fail(db, rc); return &db->broken; }
        s->db = db;
    }
    return s;
}

struct stmt *db_stmt(struct db *db, int id)
{
    if (!db->list || id < 0 || id >= db->list->count) {
        fail_as(db, WEIR_INTERNAL, "a statement that is not on this program's list");
        return &db->broken;
    }
    struct stmt *s = prepare(db, &db->stmts[id], db->list->text[id]);
    if (s->at && sqlite3_stmt_busy(s->at)) stmt_reset(s);
    return s;
}

static void bound(struct stmt *s, int rc)
{
    if (rc != SQLITE_OK && s->bind == SQLITE_OK) s->bind = rc;
}

void stmt_text(struct stmt *s, int i, struct span text)
{
    if (s->at) bound(s, sqlite3_bind_text64(s->at, i, text.at, text.len, SQLITE_STATIC, SQLITE_UTF8));
}

void stmt_int(struct stmt *s, int i, int64_t n)
{
    if (s->at) bound(s, sqlite3_bind_int64(s->at, i, n));
}

void stmt_blob(struct stmt *s, int i, struct span bytes)
{
    if (s->at) bound(s, sqlite3_bind_blob64(s->at, i, bytes.at, bytes.len, SQLITE_STATIC));
}

void stmt_null(struct stmt *s, int i)
{
    if (s->at) bound(s, sqlite3_bind_null(s->at, i));
}

enum weir_err stmt_step(struct stmt *s, bool *row)
{
    *row = false;
    if (!s->at) return s->db->fault;
    int rc = s->bind != SQLITE_OK ? s->bind : sqlite3_step(s->at);
    if (rc == SQLITE_ROW) { *row = true; return WEIR_OK; }
    if (rc == SQLITE_DONE) return WEIR_OK;
    enum weir_err err = fail(s->db, rc);
    stmt_reset(s);
    return err;
}

enum weir_err stmt_run(struct stmt *s)
{
    bool row;
    enum weir_err err;
    do err = stmt_step(s, &row); while (err == WEIR_OK && row);
    stmt_reset(s);
    return err;
}

struct span stmt_get_text(struct stmt *s, int col)
{
    const char *at = (const char *)sqlite3_column_text(s->at, col);
    return at ? (struct span){at, (size_t)sqlite3_column_bytes(s->at, col)} : SPAN_NONE;
}

struct span stmt_get_blob(struct stmt *s, int col)
{
    const char *at = sqlite3_column_blob(s->at, col);
    size_t len = (size_t)sqlite3_column_bytes(s->at, col);
    if (!at && sqlite3_column_type(s->at, col) != SQLITE_NULL) at = "";
    return at ? (struct span){at, len} : SPAN_NONE;
}

int64_t stmt_get_int(struct stmt *s, int col) { return sqlite3_column_int64(s->at, col); }
bool stmt_is_null(struct stmt *s, int col) { return sqlite3_column_type(s->at, col) == SQLITE_NULL; }

void stmt_reset(struct stmt *s)
{
    if (!s->at) return;
    sqlite3_reset(s->at);
    sqlite3_clear_bindings(s->at);
    s->bind = SQLITE_OK;
}

/* ---- transactions ---- */

static enum weir_err own_run(struct db *db, enum own which)
{
    return stmt_run(prepare(db, &db->own[which], own_text[which]));
}

static void note_undone(struct db *db) { db->undone = (int64_t)((uint64_t)db->undone + 1); }

enum weir_err db_begin(struct db *db)
{
    db->deferred.write = NULL; /* of one that SQLite rolled back by itself */
    if (db->begun) note_undone(db);
    db->begun = true;
    return own_run(db, OWN_BEGIN);
}

enum weir_err db_begin_read(struct db *db) { return own_run(db, OWN_BEGIN_READ); }

enum weir_err db_write_deferred(struct db *db)
{
    enum weir_err (*write)(void *arg, struct db *db) = db->deferred.write;
    db->deferred.write = NULL;
    return write && db_in_transaction(db) ? write(db->deferred.arg, db) : WEIR_OK;
}

enum weir_err db_defer(struct db *db, enum weir_err (*write)(void *arg, struct db *db), void *arg)
{
    if (!db_in_transaction(db)) return write(arg, db);
    enum weir_err err = db_is_deferring(db, arg) ? WEIR_OK : db_write_deferred(db);
    if (err != WEIR_OK) return err;
    db->deferred.write = write;
    db->deferred.arg = arg;
    return WEIR_OK;
}

bool db_is_deferring(const struct db *db, const void *arg) { return db->deferred.write && db->deferred.arg == arg; }

enum weir_err db_savepoint(struct db *db)
{
    enum weir_err err = db_write_deferred(db);
    return err == WEIR_OK ? own_run(db, OWN_SAVE) : err;
}

enum weir_err db_release(struct db *db) { return own_run(db, OWN_RELEASE); }

enum weir_err db_undo(struct db *db)
{
    db->deferred.write = NULL;
    note_undone(db);
    enum weir_err err = own_run(db, OWN_BACK);
    return err == WEIR_OK ? own_run(db, OWN_RELEASE) : err;
}

/* What must survive a power failure SQLite writes with syncs in between. */
static enum weir_err commit_once(struct db *db)
{
    sqlite3_file *log = NULL;
    if (db->survives != DB_SURVIVES_POWER) sqlite3_file_control(db->at, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    db_log_gather(log, true);
    enum weir_err err = own_run(db, OWN_COMMIT);
    db_log_gather(log, false);
    return err;
}

/* COMMIT that is refused as busy leaves the transaction open and may be asked again; SQLite's own busy handler is not
 * always asked there. */
static enum weir_err commit(struct db *db)
{
    int64_t until = clock_mono_ms() + db->busy_ms;
    enum weir_err err;
    while ((err = commit_once(db)) == WEIR_BUSY && db_in_transaction(db) && clock_mono_ms() < until)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    return err;
}

enum weir_err db_commit(struct db *db)
{
    enum weir_err err = db_write_deferred(db);
    if (err == WEIR_OK) err = commit(db);
    if (err != WEIR_OK) db_rollback(db);
    else db->begun = false;
    return err;
}

/* The rollback's own failure, if any, must not hide what led to it. */
void db_rollback(struct db *db)
{
    db->deferred.write = NULL;
    note_undone(db);
    if (!db_in_transaction(db)) return;
    struct stmt *s = prepare(db, &db->own[OWN_ROLLBACK], own_text[OWN_ROLLBACK]);
    if (!s->at) return;
    sqlite3_step(s->at);
    sqlite3_reset(s->at);
}

bool db_in_transaction(const struct db *db) { return sqlite3_get_autocommit(db->at) == 0; }
int64_t db_undone(const struct db *db) { return db->undone; }
int64_t db_last_id(const struct db *db) { return sqlite3_last_insert_rowid(db->at); }
int db_changes(const struct db *db) { return sqlite3_changes(db->at); }
int db_wal_pages(const struct db *db) { return db->wal_pages; }
void db_interrupt(struct db *db) { sqlite3_interrupt(db->at); }

bool db_has_moved(const struct db *db)
{
    int moved = 0;
    return sqlite3_file_control(db->at, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

/* ---- the whole file ---- */

enum weir_err db_checkpoint(struct db *db, bool whole, int *wal_pages, int *moved)
{
    int mode = whole ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    int rc = sqlite3_wal_checkpoint_v2(db->at, "main", mode, wal_pages, moved);
    return rc == SQLITE_OK ? WEIR_OK : fail(db, rc);
}

enum weir_err db_sync(struct db *db)
{
    sqlite3_file *file = NULL;
    int rc = sqlite3_file_control(db->at, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK && file && file->pMethods) rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
    return rc == SQLITE_OK ? WEIR_OK : fail(db, rc);
}

int db_schema(struct db *db)
{
    sqlite3_stmt *s = NULL;
    int version = -1, rc = sqlite3_prepare_v2(db->at, "PRAGMA user_version", -1, &s, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) version = sqlite3_column_int(s, 0);
    if (version < 0) fail(db, rc);
    sqlite3_finalize(s);
    return version;
}

static enum weir_err set_schema(struct db *db, int version)
{
    char text[60];
    snprintf(text, sizeof text, "PRAGMA user_version=%d", version);
    int rc = sqlite3_exec(db->at, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? WEIR_OK : fail(db, rc);
}

/* user_version stands in the file's first page: setting it to what it is writes that page. */
enum weir_err db_probe(struct db *db)
{
    enum weir_err err = db_begin(db);
    if (err != WEIR_OK) return err;
    int version = db_schema(db);
    err = version < 0 ? db->fault : set_schema(db, version);
    if (err == WEIR_OK) return db_commit(db);
    db_rollback(db);
    return err;
}

enum weir_err db_apply(struct db *db, const char *text, int number)
{
    enum weir_err err = db_begin(db);
    if (err != WEIR_OK) return err;
    int version = db_schema(db);
    if (version < 0) {
        err = db->fault;
    } else if (version < number) {
        int rc = sqlite3_exec(db->at, text, NULL, NULL, NULL);
        err = rc == SQLITE_OK ? set_schema(db, number) : fail(db, rc);
    }
    if (err == WEIR_OK) return db_commit(db);
    db_rollback(db);
    return err;
}

/* One read transaction holds the source still: without it every commit of another process would start the copy anew. */
static enum weir_err copy_pages(struct db *db, sqlite3 *to, void (*progress)(int left, int total))
{
    sqlite3_backup *copy = sqlite3_backup_init(to, "main", db->at, "main");
    if (!copy) return fail(db, sqlite3_extended_errcode(to));
    int rc;
    do {
        rc = sqlite3_backup_step(copy, BACKUP_PAGES);
        if (progress) progress(sqlite3_backup_remaining(copy), sqlite3_backup_pagecount(copy));
    } while (rc == SQLITE_OK);
    int end = sqlite3_backup_finish(copy);
    if (rc == SQLITE_DONE && end == SQLITE_OK) return WEIR_OK;
    rc = rc == SQLITE_DONE ? end : rc;
    fail_as(db, fault_of(rc), sqlite3_errstr(rc));
    return db->fault;
}

enum weir_err db_backup(struct db *db, const char *path, void (*progress)(int left, int total))
{
    sqlite3 *to = NULL;
    enum weir_err err = make_file(path);
    if (err != WEIR_OK) return fail_as(db, err, err == WEIR_EXISTS ? "the file exists" : strerror(errno));
    int rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    err = rc == SQLITE_OK ? db_begin_read(db) : fail_as(db, fault_of(rc), sqlite3_errstr(rc));
    if (err == WEIR_OK) {
        err = db_schema(db) < 0 ? db->fault : copy_pages(db, to, progress);
        db_rollback(db);
    }
    sqlite3_close_v2(to);
    if (err != WEIR_OK) unlink(path);
    return err;
}

enum weir_err db_integrity(struct db *db, struct arena *a, char **out)
{
    struct buf text;
    sqlite3_stmt *s = NULL;
    *out = NULL;
    buf_init(&text, INTEGRITY_MAX);
    int rc = sqlite3_prepare_v2(db->at, "PRAGMA integrity_check", -1, &s, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        if (text.len) buf_char(&text, '\n');
        buf_str(&text, (const char *)sqlite3_column_text(s, 0));
        rc = SQLITE_OK;
    }
    enum weir_err err = rc == SQLITE_DONE ? text.err : fail(db, rc);
    if (err == WEIR_FULL) err = WEIR_OK;
    if (err == WEIR_OK && !(*out = arena_str(a, buf_all(&text)))) err = WEIR_NOMEM;
    sqlite3_finalize(s);
    buf_free(&text);
    return err;
}
