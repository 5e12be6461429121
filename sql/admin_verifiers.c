/* Rows of table jwt_verifier, beside what was fetched for them (table key_set). */
#include "sql/admin_verifiers.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "sql/vault.h"
#include "sql_ids.h"

#define SEALED_MAX (64 << 10)

/* ---- reading ---- */

static struct jwt_row row_of(struct stmt *s)
{
    return (struct jwt_row){.name = stmt_get_text(s, 0).at, .body = stmt_get_text(s, 1).at,
                            .has_secret = stmt_get_int(s, 2) != 0, .keys = stmt_get_text(s, 3).at,
                            .tried = stmt_get_int(s, 4), .fetched = stmt_get_int(s, 5), .fault = stmt_get_text(s, 6).at};
}

enum weir_err jwt_each(struct db *db, void (*row)(const struct jwt_row *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_JWT_ALL);
    bool more;
    enum weir_err err;
    stmt_text(s, 1, SPAN_NONE);
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        struct jwt_row r = row_of(s);
        row(&r, arg);
    }
    stmt_reset(s);
    return err;
}

static bool keep(struct arena *a, const char **text)
{
    return !*text || (*text = arena_str(a, span_of(*text))) != NULL;
}

enum weir_err jwt_find(struct db *db, const char *name, struct arena *a, struct jwt_row *out)
{
    struct stmt *s = db_stmt(db, SQL_JWT_ALL);
    bool found;
    stmt_text(s, 1, span_of(name));
    enum weir_err err = stmt_step(s, &found);
    if (err == WEIR_OK && !found) err = WEIR_NOT_FOUND;
    if (err == WEIR_OK) {
        *out = row_of(s);
        if (!keep(a, &out->name) || !keep(a, &out->body) || !keep(a, &out->keys) || !keep(a, &out->fault)) err = WEIR_NOMEM;
    }
    stmt_reset(s);
    return err;
}

enum weir_err jwt_count(struct db *db, int64_t *count)
{
    struct stmt *s = db_stmt(db, SQL_JWT_COUNT);
    bool row;
    enum weir_err err = stmt_step(s, &row);
    *count = err == WEIR_OK && row ? stmt_get_int(s, 0) : 0;
    stmt_reset(s);
    return err;
}

/* ---- writing ---- */

/* The secret's binding is its row's name: "jwt/NAME". */
static enum weir_err seal(const struct master_key *m, const char *name, struct span secret, struct buf *sealed)
{
    char identity[BOUND_NAME + 8];
    int n = snprintf(identity, sizeof identity, "jwt/%s", name);
    if (n < 0 || n >= (int)sizeof identity) return WEIR_INVALID;
    return secret_seal(m, secret, identity, sealed);
}

static enum weir_err forget_set_of_other_algorithm(struct db *db, const char *name, struct span body)
{
    struct stmt *s = db_stmt(db, SQL_JWT_SET_FORGET);
    stmt_text(s, 1, span_of(name));
    stmt_text(s, 2, body);
    return stmt_run(s);
}

enum weir_err jwt_put(struct db *db, const struct master_key *m, const char *name, struct span body, struct span secret)
{
    struct buf sealed;
    enum weir_err err = WEIR_OK;
    buf_init(&sealed, SEALED_MAX);
    if (secret.at) err = vault_check(db, m);
    if (err == WEIR_OK && secret.at) err = seal(m, name, secret, &sealed);
    if (err == WEIR_OK) err = forget_set_of_other_algorithm(db, name, body);
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

enum weir_err jwt_remove(struct db *db, const char *name)
{
    struct stmt *s = db_stmt(db, SQL_JWT_REMOVE);
    stmt_text(s, 1, span_of(name));
    enum weir_err err = stmt_run(s);
    return err == WEIR_OK && !db_changes(db) ? WEIR_NOT_FOUND : err;
}
