/* Client keys: finding, judging and changing their rows. The statements of the lower half stand only in admin.sql, so
 * in the gateway they fail. Sees hashes, never a secret. */
#include "sql/keys.h"
#include "sql/list.h"
#include "sql_ids.h"

static struct span hash_span(const struct client_hash *hash)
{
    return (struct span){(const char *)hash->at, sizeof hash->at};
}

/* Column `col` into *to; false when memory is out. */
static bool read_text(struct stmt *s, int col, struct arena *a, const char **to)
{
    struct span text = stmt_get_text(s, col);
    *to = arena_str(a, text);
    return *to || !text.at;
}

/* The columns of key_find, key_by_name and key_page, which are the same. */
static enum weir_err read_key(struct stmt *s, struct arena *a, struct key *out)
{
    *out = (struct key){.id = stmt_get_int(s, 0), .may_assert = stmt_get_int(s, 8) != 0, .created = stmt_get_int(s, 9),
                        .expires = stmt_get_int(s, 10), .revoked = stmt_get_int(s, 11),
                        .last_used = stmt_get_int(s, 12), .secret_expires = stmt_get_int(s, 13)};
    bool whole = read_text(s, 1, a, &out->name) && read_text(s, 2, a, &out->user) && read_text(s, 3, a, &out->team) &&
                 read_text(s, 4, a, &out->role) && read_text(s, 5, a, &out->rolegroup) &&
                 read_text(s, 6, a, &out->models) && read_text(s, 7, a, &out->allow_ip) &&
                 read_text(s, 14, a, &out->endpoints);
    return whole ? WEIR_OK : WEIR_NOMEM;
}

static enum weir_err read_one(struct stmt *s, struct arena *a, struct key *out)
{
    bool row;
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK) err = row ? read_key(s, a, out) : WEIR_NOT_FOUND;
    stmt_reset(s);
    return err;
}

enum weir_err keys_find(struct db *db, const struct client_hash *hash, struct arena *a, struct key *out)
{
    struct stmt *s = db_stmt(db, SQL_KEY_FIND);
    stmt_blob(s, 1, hash_span(hash));
    return read_one(s, a, out);
}

bool key_is_live(const struct key *k, int64_t now_ms)
{
    return !k->revoked && (!k->expires || now_ms < k->expires) && (!k->secret_expires || now_ms < k->secret_expires);
}

bool key_allows_model(const struct key *k, struct span alias)
{
    return !k->models || list_has(k->models, alias);
}

bool key_allows_ip(const struct key *k, struct span ip)
{
    return !k->allow_ip || list_has_range(k->allow_ip, ip);
}

bool key_allows_endpoint(const struct key *k, struct span path)
{
    return !k->endpoints || list_has(k->endpoints, path);
}

enum weir_err keys_touch(struct db *db, int64_t id, int64_t now_ms)
{
    struct stmt *s = db_stmt(db, SQL_KEY_TOUCH);
    stmt_int(s, 1, id);
    stmt_int(s, 2, now_ms);
    return stmt_run(s);
}

/* ---- administrators' ---- */

static void bind_time(struct stmt *s, int i, int64_t ms)
{
    if (ms) stmt_int(s, i, ms); else stmt_null(s, i);
}

static enum weir_err secret_add(struct db *db, int64_t id, const struct client_hash *hash)
{
    struct stmt *s = db_stmt(db, SQL_SECRET_ADD);
    stmt_blob(s, 1, hash_span(hash));
    stmt_int(s, 2, id);
    return stmt_run(s);
}

static enum weir_err row_add(struct db *db, const struct key *k)
{
    struct stmt *s = db_stmt(db, SQL_KEY_ADD);
    stmt_text(s, 1, span_of(k->name));
    stmt_text(s, 2, span_of(k->user));
    stmt_text(s, 3, span_of(k->team));
    stmt_text(s, 4, span_of(k->role));
    stmt_text(s, 5, span_of(k->rolegroup));
    stmt_text(s, 6, span_of(k->models));
    stmt_text(s, 7, span_of(k->allow_ip));
    stmt_int(s, 8, k->may_assert);
    stmt_int(s, 9, k->created);
    bind_time(s, 10, k->expires);
    stmt_text(s, 11, span_of(k->endpoints));
    return stmt_run(s);
}

/* What several statements do is done by all of them or by none; the first error is the one that counts. */
static enum weir_err together(struct db *db, enum weir_err err)
{
    if (err == WEIR_OK) return db_release(db);
    if (db_in_transaction(db)) db_undo(db);
    return err;
}

enum weir_err keys_add(struct db *db, const struct key *k, const struct client_hash *hash, int64_t *id)
{
    enum weir_err err = db_savepoint(db);
    if (err != WEIR_OK) return err;
    err = row_add(db, k);
    *id = err == WEIR_OK ? db_last_id(db) : 0;
    if (err == WEIR_OK) err = secret_add(db, *id, hash);
    return together(db, err);
}

enum weir_err keys_update(struct db *db, const struct key *k)
{
    struct stmt *s = db_stmt(db, SQL_KEY_UPDATE);
    stmt_int(s, 1, k->id);
    stmt_text(s, 2, span_of(k->user));
    stmt_text(s, 3, span_of(k->team));
    stmt_text(s, 4, span_of(k->role));
    stmt_text(s, 5, span_of(k->rolegroup));
    stmt_text(s, 6, span_of(k->models));
    stmt_text(s, 7, span_of(k->allow_ip));
    stmt_int(s, 8, k->may_assert);
    bind_time(s, 9, k->expires);
    stmt_text(s, 10, span_of(k->endpoints));
    enum weir_err err = stmt_run(s);
    return err == WEIR_OK && db_changes(db) == 0 ? WEIR_NOT_FOUND : err;
}

enum weir_err keys_by_name(struct db *db, struct span name, struct arena *a, struct key *out)
{
    struct stmt *s = db_stmt(db, SQL_KEY_BY_NAME);
    stmt_text(s, 1, name);
    return read_one(s, a, out);
}

enum weir_err keys_by_id_after(struct db *db, int64_t after_id, int most, struct arena *a, struct key *out, int *count)
{
    struct stmt *s = db_stmt(db, SQL_KEY_PAGE);
    bool row;
    enum weir_err err;
    stmt_int(s, 1, after_id);
    stmt_int(s, 2, most);
    *count = 0;
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && *count < most)
        if ((err = read_key(s, a, &out[(*count)++])) != WEIR_OK) break;
    stmt_reset(s);
    return err;
}

enum weir_err keys_search(struct db *db, enum keys_by by, const char *text, const char *after, int most, struct arena *a,
                          struct key *out, int *count)
{
    struct stmt *s = db_stmt(db, !text || by == KEYS_BY_NAME ? SQL_KEY_SEARCH
                                 : by == KEYS_BY_USER        ? SQL_KEY_SEARCH_USER
                                                             : SQL_KEY_SEARCH_TEAM);
    bool row;
    enum weir_err err;
    stmt_text(s, 1, span_of(after));
    stmt_text(s, 2, span_of(text));
    stmt_int(s, 3, most);
    *count = 0;
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && *count < most)
        if ((err = read_key(s, a, &out[(*count)++])) != WEIR_OK) break;
    stmt_reset(s);
    return err;
}

enum weir_err keys_people(struct db *db, const char *after, int most, void (*row)(const struct person *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_PEOPLE);
    bool more;
    enum weir_err err;
    stmt_text(s, 1, span_of(after));
    stmt_int(s, 2, most);
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        const struct person p = {.user = stmt_get_text(s, 0).at, .team = stmt_get_text(s, 1).at, .keys = stmt_get_int(s, 2),
                                 .live = stmt_get_int(s, 3), .last_used = stmt_get_int(s, 4)};
        row(&p, arg);
    }
    stmt_reset(s);
    return err;
}

static enum weir_err exists(struct db *db, int64_t id)
{
    struct stmt *s = db_stmt(db, SQL_KEY_EXISTS);
    bool row;
    stmt_int(s, 1, id);
    enum weir_err err = stmt_step(s, &row);
    stmt_reset(s);
    return err == WEIR_OK && !row ? WEIR_NOT_FOUND : err;
}

static enum weir_err run_id_time(struct db *db, int statement, int64_t id, int64_t ms)
{
    struct stmt *s = db_stmt(db, statement);
    stmt_int(s, 1, id);
    stmt_int(s, 2, ms);
    return stmt_run(s);
}

static enum weir_err secret_drop(struct db *db, int64_t id)
{
    struct stmt *s = db_stmt(db, SQL_SECRET_DROP);
    stmt_int(s, 1, id);
    return stmt_run(s);
}

enum weir_err keys_revoke(struct db *db, int64_t id, int64_t now_ms)
{
    enum weir_err err = run_id_time(db, SQL_KEY_REVOKE, id, now_ms);
    return err == WEIR_OK && db_changes(db) == 0 ? WEIR_NOT_FOUND : err;
}

enum weir_err keys_rotate(struct db *db, int64_t id, const struct client_hash *hash, int64_t now_ms,
                          int64_t old_until_ms)
{
    enum weir_err err = db_savepoint(db);
    if (err != WEIR_OK) return err;
    err = exists(db, id);
    if (err == WEIR_OK)
        err = old_until_ms > now_ms ? run_id_time(db, SQL_SECRET_END, id, old_until_ms) : secret_drop(db, id);
    if (err == WEIR_OK) err = run_id_time(db, SQL_SECRET_SWEEP, id, now_ms);
    if (err == WEIR_OK) err = secret_add(db, id, hash);
    return together(db, err);
}

/* *only: the key has this secret, for good, and no other. */
static enum weir_err has_only(struct db *db, int64_t id, const struct client_hash *hash, bool *only)
{
    struct stmt *s = db_stmt(db, SQL_SECRET_OF_KEY);
    int all = 0, same = 0;
    bool row;
    enum weir_err err;
    stmt_int(s, 1, id);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        all++;
        same += span_eq(stmt_get_blob(s, 0), hash_span(hash)) && stmt_is_null(s, 1);
    }
    stmt_reset(s);
    *only = all == 1 && same == 1;
    return err;
}

enum weir_err keys_set_secret(struct db *db, int64_t id, const struct client_hash *hash, bool *changed)
{
    bool only = false;
    if (changed) *changed = false;
    enum weir_err err = db_savepoint(db);
    if (err != WEIR_OK) return err;
    err = exists(db, id);
    if (err == WEIR_OK) err = has_only(db, id, hash, &only);
    if (err == WEIR_OK && !only) err = secret_drop(db, id);
    if (err == WEIR_OK && !only) err = secret_add(db, id, hash);
    err = together(db, err);
    if (changed) *changed = err == WEIR_OK && !only;
    return err;
}
