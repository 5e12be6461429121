/* The SQLite door: only sql/db.c and sql/db_log.c include sqlite3.h. A connection with its closed list of prepared
 * statements. A connection belongs to one thread at a time. */
#ifndef WEIR_SQL_DB_H
#define WEIR_SQL_DB_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/err.h"
#include "fcgi/base/span.h"
#include "fcgi/base/arena.h"

/* A program's closed list, made by the build from sql/gateway.sql (and sql/admin.sql behind it): entry i is the
 * text of statement number i of enum sql_id (build/gen/sql_ids.h). */
struct sql_list { const char *const *text; int count; bool walled; /* see wall.h */ };
extern const struct sql_list sql_gateway; /* linked into every program */
extern const struct sql_list sql_admin;   /* all of sql_gateway and what only administrators may; not in weir.fcgi */

extern const struct sql_list sql_cache;   /* cache.db's; numbered by enum cache_id (build/gen/cache_ids.h) */

struct db;
struct stmt; /* a prepared statement of a connection; owned by it */

enum db_mode { DB_READ, DB_WRITE };

/* Once in a process, before the first connection; who does without has a slower SQLite. */
void db_start(void);
/* path: the database file, which must exist for DB_READ. WAL, synchronous=NORMAL, foreign keys on,
 * wal_autocheckpoint=0, busy time-out busy_ms set before the first statement. Errors: WEIR_NOT_FOUND (no file),
 * WEIR_STORAGE, WEIR_CORRUPT, WEIR_NOMEM. */
enum weir_err db_open(const char *path, enum db_mode mode, int busy_ms, const struct sql_list *list, struct db **out);
void db_close(struct db *db); /* NULL is fine. Makes no checkpoint. */
/* What a commit of this connection survives from now on; outside of transactions. A new connection's survive its process.
 * NOTHING: the file may be torn when power is lost. POWER: it is on the disk when it returns. Costs nothing if it is so. */
enum db_survives { DB_SURVIVES_NOTHING, DB_SURVIVES_PROCESS, DB_SURVIVES_POWER };
enum weir_err db_survive(struct db *db, enum db_survives what);
/* From now on what this connection deletes or overwrites is zeros in the file. */
enum weir_err db_erase_deleted(struct db *db);
/* What SQLite said of the last failure on this connection, for the log. */
const char *db_message(const struct db *db);

/* Statement `id` of the list, prepared at its first use, reset and with nothing bound. Never NULL: if it cannot be had
 * (an id that is not on the list: WEIR_INTERNAL) the statement is one that takes bindings and fails when stepped, with
 * the error that db_fault gives too. */
struct stmt *db_stmt(struct db *db, int id);
enum weir_err db_fault(const struct db *db); /* the last error of this connection as ours */

/* Binding; index from 1. Texts and blobs are not copied: they must live until stmt_reset. */
void stmt_text(struct stmt *s, int i, struct span text);  /* absent: NULL */
void stmt_int(struct stmt *s, int i, int64_t n);
void stmt_blob(struct stmt *s, int i, struct span bytes);
void stmt_null(struct stmt *s, int i);
/* *row: whether there is one to read. On error the statement is reset. WEIR_EXISTS: a uniqueness constraint refused;
 * WEIR_INVALID: another constraint; WEIR_BUSY; WEIR_STORAGE: full, I/O error, read-only. */
enum weir_err stmt_step(struct stmt *s, bool *row);
enum weir_err stmt_run(struct stmt *s); /* step to the end, reset */
/* Columns from 0; spans are valid until the next step or reset. */
struct span stmt_get_text(struct stmt *s, int col);  /* absent for NULL */
int64_t stmt_get_int(struct stmt *s, int col);
bool stmt_is_null(struct stmt *s, int col);
struct span stmt_get_blob(struct stmt *s, int col);
void stmt_reset(struct stmt *s);

/* Transactions. db_begin is IMMEDIATE; db_begin_read DEFERRED, for a view of one moment. */
enum weir_err db_begin(struct db *db);
enum weir_err db_begin_read(struct db *db);
enum weir_err db_commit(struct db *db);   /* on error all is rolled back */
void db_rollback(struct db *db);          /* nothing if none is open */
bool db_in_transaction(const struct db *db); /* false after SQLite rolled back by itself */
enum weir_err db_savepoint(struct db *db);
enum weir_err db_release(struct db *db);
enum weir_err db_undo(struct db *db);     /* rolls back to the savepoint and drops it */
/* For what changes often in one transaction and need be written once: `write` is called before the next commit or
 * savepoint, or by db_write_deferred; rollback and undo forget it. In no transaction it is called at once. One at a time:
 * that of another arg is called first. Its error is that of whatever called it; a commit fails by it. */
enum weir_err db_defer(struct db *db, enum weir_err (*write)(void *arg, struct db *db), void *arg);
/* A number that becomes another whenever something this connection did may have been undone, and with every connection. */
int64_t db_undone(const struct db *db);
bool db_is_deferring(const struct db *db, const void *arg);
enum weir_err db_write_deferred(struct db *db);
int64_t db_last_id(const struct db *db);
int db_changes(const struct db *db);

/* *wal_pages and *moved as sqlite3_wal_checkpoint_v2 gives them. `whole`: TRUNCATE (waits), else PASSIVE. */
enum weir_err db_checkpoint(struct db *db, bool whole, int *wal_pages, int *moved);
/* The database file, without its log, is on disk. */
enum weir_err db_sync(struct db *db);
/* Online copy into `path` (made, 0600; WEIR_EXISTS if it is there), consistent, while others write; progress may be
 * NULL. What was made is removed on failure. */
enum weir_err db_backup(struct db *db, const char *path, void (*progress)(int left, int total));
/* Text of `PRAGMA integrity_check` ("ok"). */
enum weir_err db_integrity(struct db *db, struct arena *a, char **out);

/* Pages in the write-ahead log (4 KiB each) when this connection last committed a change, others' included. */
int db_wal_pages(const struct db *db);
/* True if `path` no longer names the file this connection has open (moved, deleted, replaced, or not to be reached). */
bool db_has_moved(const struct db *db);
/* Commits a change that changes nothing: can this connection write at all? Errors as db_commit's. */
enum weir_err db_probe(struct db *db);
/* Stops what another thread has running on this connection soon (WEIR_BUSY there). */
void db_interrupt(struct db *db);
/* One migration: in one IMMEDIATE transaction runs `text` and sets user_version to `number`, unless it is that far
 * already. For db_migrate. */
enum weir_err db_apply(struct db *db, const char *text, int number);

/* Brings the database at `path` to the newest schema: makes it if missing (0600), applies each newer
 * sql/schema/NNN_name.sql in one IMMEDIATE transaction under migrate.lock beside it. *from and *to may be NULL.
 * WEIR_CORRUPT: its user_version is newer than this program knows. WEIR_BUSY: another held the lock for 30 s. */
enum weir_err db_migrate(const char *path, int *from, int *to);
int db_schema_newest(void);
/* The user_version of an open connection. */
int db_schema(struct db *db);

#endif
