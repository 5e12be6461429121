/* Limits as they are configured: their rows, and what becomes of their counters when these change. */
#include <stdio.h>
#include "sql/limits.h"
#include "sql_ids.h"

/* The member's own limit takes over from the star limit of that metric and shape. */
static enum weir_err shadow(struct db *db, const struct limit_rule *r)
{
    char star[40];
    const char *slash = strchr(r->scope, '/');
    if (!slash || strcmp(slash, "/*") == 0) return WEIR_OK;
    int n = snprintf(star, sizeof star, "%.*s/*", (int)(slash - r->scope), r->scope);
    if (n < 0 || n >= (int)sizeof star) return WEIR_OK;
    struct stmt *s = db_stmt(db, SQL_COUNTER_SHADOW);
    stmt_text(s, 1, span_of(r->scope));
    stmt_text(s, 2, span_of(star));
    stmt_text(s, 3, span_of(r->metric));
    stmt_text(s, 4, span_of(r->shape));
    return stmt_run(s);
}

enum weir_err limit_put(struct db *db, const struct limit_rule *r)
{
    struct stmt *s = db_stmt(db, SQL_LIMIT_PUT);
    stmt_text(s, 1, span_of(r->scope));
    stmt_text(s, 2, span_of(r->metric));
    stmt_text(s, 3, span_of(r->shape));
    stmt_text(s, 4, span_of(r->period ? r->period : ""));
    stmt_int(s, 5, r->seconds);
    stmt_text(s, 6, span_of(r->mode));
    stmt_int(s, 7, r->amount);
    stmt_int(s, 8, r->refill_nano);
    stmt_int(s, 9, r->utc_offset_min);
    stmt_int(s, 10, r->warn_percent);
    stmt_int(s, 11, r->created);
    enum weir_err err = stmt_run(s);
    return err == WEIR_OK ? shadow(db, r) : err;
}

static struct stmt *bind_key(struct db *db, int id, const struct limit_key *k)
{
    struct stmt *s = db_stmt(db, id);
    stmt_text(s, 1, span_of(k->scope));
    stmt_text(s, 2, span_of(k->metric));
    stmt_text(s, 3, span_of(k->shape));
    stmt_text(s, 4, span_of(k->period));
    stmt_int(s, 5, k->seconds);
    return s;
}

enum weir_err limit_remove(struct db *db, const struct limit_key *k, int *removed)
{
    enum weir_err err = stmt_run(bind_key(db, SQL_LIMIT_REMOVE, k));
    *removed = err == WEIR_OK ? db_changes(db) : 0;
    return err == WEIR_OK && !*removed ? WEIR_NOT_FOUND : err;
}

enum weir_err limit_find(struct db *db, const struct limit_rule *like, struct arena *a, struct limit_rule *out)
{
    struct stmt *s = db_stmt(db, SQL_LIMIT_FIND);
    bool row;
    stmt_text(s, 1, span_of(like->scope));
    stmt_text(s, 2, span_of(like->metric));
    stmt_text(s, 3, span_of(like->shape));
    stmt_text(s, 4, span_of(like->period));
    stmt_int(s, 5, like->seconds);
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && !row) err = WEIR_NOT_FOUND;
    if (err == WEIR_OK) {
        *out = *like;
        out->id = stmt_get_int(s, 0), out->created = stmt_get_int(s, 1);
        out->amount = stmt_get_int(s, 3), out->refill_nano = stmt_get_int(s, 4);
        out->utc_offset_min = stmt_get_int(s, 5), out->warn_percent = stmt_get_int(s, 6);
        if (!(out->mode = arena_str(a, stmt_get_text(s, 2)))) err = WEIR_NOMEM;
    }
    stmt_reset(s);
    return err;
}

enum weir_err limit_reset(struct db *db, const struct limit_key *k, const char *member, int64_t now_ms, int *reset)
{
    struct stmt *s = bind_key(db, SQL_RESET_NOTE, k);
    stmt_int(s, 6, now_ms);
    stmt_text(s, 7, span_of(member));
    enum weir_err err = stmt_run(s);
    *reset = err == WEIR_OK ? db_changes(db) : 0;
    const int steps[] = {SQL_RESET_SLOTS, SQL_RESET_COUNTERS};
    for (int i = 0; i < 2 && err == WEIR_OK; i++) {
        s = bind_key(db, steps[i], k);
        stmt_text(s, 6, span_of(member));
        err = stmt_run(s);
    }
    return err == WEIR_OK ? stmt_run(db_stmt(db, SQL_LEDGER_TOKEN)) : err;
}

enum weir_err limits_each(struct db *db, void (*row)(const struct limit_rule *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_LIMIT_ALL);
    bool more;
    enum weir_err err;
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        struct limit_rule r = {
            .id = stmt_get_int(s, 0), .created = stmt_get_int(s, 1), .scope = stmt_get_text(s, 2).at,
            .metric = stmt_get_text(s, 3).at, .shape = stmt_get_text(s, 4).at, .period = stmt_get_text(s, 5).at,
            .seconds = stmt_get_int(s, 6), .mode = stmt_get_text(s, 7).at, .amount = stmt_get_int(s, 8),
            .refill_nano = stmt_get_int(s, 9), .utc_offset_min = stmt_get_int(s, 10),
            .warn_percent = stmt_get_int(s, 11)};
        row(&r, arg);
    }
    stmt_reset(s);
    return err;
}
