/* Limits and token verifiers as they are configured: their rows, and nothing of what they mean. */
#include <stdio.h>
#include "fcgi/base/bounds.h"
#include "sql/limits.h"
#include "sql_ids.h"

#define SEALED_MAX (64 << 10)

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
    return stmt_run(s);
}

/* The secret's binding is its row's name: "jwt/NAME". */
static enum weir_err seal(const struct master_key *m, const char *name, struct span secret, struct buf *sealed)
{
    char identity[BOUND_NAME + 8];
    int n = snprintf(identity, sizeof identity, "jwt/%s", name);
    if (n < 0 || n >= (int)sizeof identity) return WEIR_INVALID;
    return secret_seal(m, secret, identity, sealed);
}

enum weir_err jwt_put(struct db *db, const struct master_key *m, const char *name, struct span body, struct span secret)
{
    struct buf sealed;
    enum weir_err err = WEIR_OK;
    buf_init(&sealed, SEALED_MAX);
    if (secret.at) err = seal(m, name, secret, &sealed);
    if (err == WEIR_OK) {
        struct stmt *s = db_stmt(db, SQL_JWT_PUT);
        stmt_text(s, 1, span_of(name));
        stmt_text(s, 2, body);
        stmt_blob(s, 3, secret.at ? buf_all(&sealed) : SPAN_NONE);
        err = stmt_run(s);
    }
    buf_free(&sealed);
    return err;
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

enum weir_err jwt_each(struct db *db, void (*row)(const struct jwt_row *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_JWT_ALL);
    bool more;
    enum weir_err err;
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        struct jwt_row r = {stmt_get_text(s, 0).at, stmt_get_text(s, 1).at, stmt_get_int(s, 2) != 0};
        row(&r, arg);
    }
    stmt_reset(s);
    return err;
}
