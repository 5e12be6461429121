/* Administrators' keys: their rows. Sees hashes, never a secret. */
#include "sql/admin_keys.h"

#include "sql_ids.h"

const char *const admin_role_names[ADMIN_ROLE_COUNT] = {"viewer", "operator", "admin"};

bool admin_role_parse(struct span name, enum admin_role *out)
{
    for (int i = 0; i < ADMIN_ROLE_COUNT; i++) {
        if (!span_is(name, admin_role_names[i])) continue;
        *out = (enum admin_role)i;
        return true;
    }
    return false;
}

/* The columns that all the reading statements have; the name is the statement's. */
static enum weir_err read_row(struct stmt *s, struct admin_key *out)
{
    *out = (struct admin_key){.id = stmt_get_int(s, 0), .name = stmt_get_text(s, 1).at, .created = stmt_get_int(s, 3),
                              .expires = stmt_get_int(s, 4), .revoked = stmt_get_int(s, 5),
                              .last_used = stmt_get_int(s, 6)};
    return admin_role_parse(stmt_get_text(s, 2), &out->role) ? WEIR_OK : WEIR_CORRUPT;
}

static enum weir_err read_one(struct stmt *s, struct arena *a, struct admin_key *out)
{
    bool row;
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK) err = row ? read_row(s, out) : WEIR_NOT_FOUND;
    if (err == WEIR_OK && !(out->name = arena_str(a, span_of(out->name)))) err = WEIR_NOMEM;
    stmt_reset(s);
    return err;
}

static struct span hash_span(const struct client_hash *hash)
{
    return (struct span){(const char *)hash->at, sizeof hash->at};
}

enum weir_err admin_key_find(struct db *db, const struct client_hash *hash, struct arena *a, struct admin_key *out)
{
    struct stmt *s = db_stmt(db, SQL_ADMIN_KEY_FIND);
    stmt_blob(s, 1, hash_span(hash));
    return read_one(s, a, out);
}

enum weir_err admin_key_by_name(struct db *db, struct span name, struct arena *a, struct admin_key *out)
{
    struct stmt *s = db_stmt(db, SQL_ADMIN_KEY_BY_NAME);
    stmt_text(s, 1, name);
    return read_one(s, a, out);
}

bool admin_key_is_live(const struct admin_key *k, int64_t now_ms)
{
    return !k->revoked && (!k->expires || now_ms < k->expires);
}

enum weir_err admin_keys_each(struct db *db, void (*row)(const struct admin_key *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_ADMIN_KEY_ALL);
    struct admin_key k;
    bool more;
    enum weir_err err;
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        if ((err = read_row(s, &k)) != WEIR_OK) break;
        row(&k, arg);
    }
    stmt_reset(s);
    return err;
}

enum weir_err admin_key_add(struct db *db, const struct admin_key *k, const struct client_hash *hash)
{
    struct stmt *s = db_stmt(db, SQL_ADMIN_KEY_ADD);
    stmt_text(s, 1, span_of(k->name));
    stmt_text(s, 2, span_of(admin_role_names[k->role]));
    stmt_blob(s, 3, hash_span(hash));
    stmt_int(s, 4, k->created);
    if (k->expires) stmt_int(s, 5, k->expires); else stmt_null(s, 5);
    return stmt_run(s);
}

static enum weir_err run_id_time(struct db *db, int statement, int64_t id, int64_t ms)
{
    struct stmt *s = db_stmt(db, statement);
    stmt_int(s, 1, id);
    stmt_int(s, 2, ms);
    return stmt_run(s);
}

enum weir_err admin_key_revoke(struct db *db, int64_t id, int64_t now_ms)
{
    enum weir_err err = run_id_time(db, SQL_ADMIN_KEY_REVOKE, id, now_ms);
    return err == WEIR_OK && db_changes(db) == 0 ? WEIR_NOT_FOUND : err;
}

enum weir_err admin_key_touch(struct db *db, int64_t id, int64_t now_ms)
{
    return run_id_time(db, SQL_ADMIN_KEY_TOUCH, id, now_ms);
}
