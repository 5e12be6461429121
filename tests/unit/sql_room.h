/* What the tests of the database room share: a data directory that goes away, rows to write, questions to ask.
 * Include after sql/db.c. */
#ifndef WEIR_TESTS_SQL_ROOM_H
#define WEIR_TESTS_SQL_ROOM_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "sql/audit.h"
#include "sql/change.h"

struct room { char dir[40], db[60], key[60]; };

static inline void room_open(struct room *r)
{
    snprintf(r->dir, sizeof r->dir, "/tmp/weir-unit-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->db, sizeof r->db, "%s/weir.db", r->dir);
    snprintf(r->key, sizeof r->key, "%s/master.key", r->dir);
    assert_int_equal(db_migrate(r->db, NULL, NULL), WEIR_OK);
}

static inline int room_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static inline void room_close(struct room *r) { nftw(r->dir, room_remove, 8, FTW_DEPTH | FTW_PHYS); }

static inline struct db *room_admin(const struct room *r)
{
    struct db *db;
    assert_int_equal(db_open(r->db, DB_WRITE, 5000, &sql_admin, &db), WEIR_OK);
    return db;
}

/* The first column of one row, asked on a connection of its own. */
static inline int64_t room_number(const struct room *r, const char *sql)
{
    sqlite3 *at;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open_v2(r->db, &at, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(at, 5000);
    sqlite3_db_config(at, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(sqlite3_prepare_v2(at, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(at);
    return n;
}

static inline void room_is_whole(const struct room *r)
{
    struct arena a;
    char *text;
    struct db *db = room_admin(r);
    arena_init(&a);
    assert_int_equal(db_integrity(db, &a, &text), WEIR_OK);
    assert_string_equal(text, "ok");
    arena_end(&a);
    db_close(db);
}

static inline struct audit_row room_audit(const char *request_id)
{
    return (struct audit_row){.time = 1000, .request_id = request_id, .user = "alice", .endpoint = "/v1/chat/completions",
                              .status = 200, .outcome = "ok", .attempts = 1, .cache = "miss", .prompt_tokens = 3,
                              .completion_tokens = 4, .cost = 5, .usage_source = "provider", .first_byte_ms = 1,
                              .latency_ms = 2};
}

/* Ends of children are waited for; 0 is a good one. */
static inline int room_wait(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
