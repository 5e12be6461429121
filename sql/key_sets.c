/* Rows of table key_set. */
#include "sql/key_sets.h"

#include "sql_ids.h"

enum weir_err key_set_is_due(struct db *db, const struct verifier *v, int64_t now_ms, bool *due, int64_t *tried)
{
    struct stmt *s = db_stmt(db, SQL_KEY_SET_TIMES);
    bool row;
    stmt_text(s, 1, span_of(v->name));
    enum weir_err err = stmt_step(s, &row);
    *tried = -1;
    *due = err == WEIR_OK;
    if (err == WEIR_OK && row) {
        int64_t fetched = stmt_get_int(s, 2), wanted = stmt_get_int(s, 3);
        *tried = stmt_get_int(s, 1);
        /* A clock that was set back must not keep a set for ever. */
        bool paused = now_ms >= *tried && now_ms - *tried < KEY_SET_PAUSE_MS;
        bool old = now_ms < fetched || now_ms - fetched >= KEY_SET_TTL_MS;
        *due = !span_is(stmt_get_text(s, 0), v->jwks_url) || (!paused && (old || wanted > *tried));
    }
    stmt_reset(s);
    return err;
}

enum weir_err key_set_claim(struct db *db, const struct verifier *v, int64_t now_ms, int64_t tried, bool *mine)
{
    struct stmt *s = db_stmt(db, SQL_KEY_SET_CLAIM);
    stmt_text(s, 1, span_of(v->name));
    stmt_text(s, 2, span_of(v->jwks_url));
    stmt_int(s, 3, now_ms);
    stmt_int(s, 4, tried);
    enum weir_err err = stmt_run(s);
    *mine = err == WEIR_OK && db_changes(db) == 1;
    return err;
}

static enum weir_err run_put(struct db *db, int statement, const struct verifier *v, struct span keys, int64_t now_ms)
{
    struct stmt *s = db_stmt(db, statement);
    stmt_text(s, 1, span_of(v->name));
    stmt_text(s, 2, span_of(v->jwks_url));
    stmt_text(s, 3, keys);
    stmt_int(s, 4, now_ms);
    return stmt_run(s);
}

enum weir_err key_set_put(struct db *db, const struct verifier *v, struct span keys, int64_t now_ms)
{
    enum weir_err err = run_put(db, SQL_KEY_SET_PUT, v, keys, now_ms);
    if (err != WEIR_OK || !db_changes(db)) return err == WEIR_OK ? run_put(db, SQL_KEY_SET_SAME, v, keys, now_ms) : err;
    return stmt_run(db_stmt(db, SQL_KEY_SET_RAISE));
}

enum weir_err key_set_failed(struct db *db, const struct verifier *v, const char *fault)
{
    struct stmt *s = db_stmt(db, SQL_KEY_SET_FAILED);
    stmt_text(s, 1, span_of(v->name));
    stmt_text(s, 2, span_of(v->jwks_url));
    stmt_text(s, 3, span_of(fault));
    return stmt_run(s);
}

enum weir_err key_set_want(struct db *db, const char *verifier, int64_t now_ms)
{
    struct stmt *s = db_stmt(db, SQL_KEY_SET_WANT);
    stmt_text(s, 1, span_of(verifier));
    stmt_int(s, 2, now_ms);
    return stmt_run(s);
}

enum weir_err key_set_is_wanted(struct db *db, const char *verifier, bool *wanted)
{
    struct stmt *s = db_stmt(db, SQL_KEY_SET_TIMES);
    bool row;
    stmt_text(s, 1, span_of(verifier));
    enum weir_err err = stmt_step(s, &row);
    *wanted = err == WEIR_OK && row && stmt_get_int(s, 3) > stmt_get_int(s, 1);
    stmt_reset(s);
    return err;
}
