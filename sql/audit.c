/* The audit log: one row a request, and the reading of it. Statements of reading stand only in admin.sql. */
#include "sql/audit.h"
#include "sql_ids.h"

static void bind_known(struct stmt *s, int i, int64_t n) /* -1: not known */
{
    if (n < 0) stmt_null(s, i); else stmt_int(s, i, n);
}

enum weir_err audit_insert(struct db *db, const struct audit_row *r)
{
    struct stmt *s = db_stmt(db, SQL_AUDIT_INSERT);
    const char *const texts[] = {r->request_id, r->user, r->team, r->role, r->rolegroup, r->key, r->ip, r->endpoint,
                                 r->alias, r->provider, r->model};
    stmt_int(s, 1, r->time);
    for (int i = 0; i < 11; i++) stmt_text(s, 2 + i, span_of(texts[i]));
    stmt_int(s, 13, r->stream);
    stmt_int(s, 14, r->status);
    stmt_text(s, 15, span_of(r->outcome));
    stmt_int(s, 16, r->attempts);
    stmt_text(s, 17, span_of(r->cache));
    stmt_int(s, 18, r->prompt_tokens);
    stmt_int(s, 19, r->cached_tokens);
    stmt_int(s, 20, r->cache_write_tokens);
    stmt_int(s, 21, r->completion_tokens);
    bind_known(s, 22, r->cost);
    stmt_text(s, 23, span_of(r->usage_source));
    bind_known(s, 24, r->first_byte_ms);
    stmt_int(s, 25, r->latency_ms);
    stmt_text(s, 26, span_of(r->error));
    if (r->ticket) stmt_int(s, 27, r->ticket); else stmt_null(s, 27);
    if (r->over_bound) stmt_int(s, 28, 1); else stmt_null(s, 28);
    stmt_text(s, 29, span_of(r->warned));
    stmt_blob(s, 30, r->counters);
    stmt_text(s, 31, span_of(r->context));
    return stmt_run(s);
}

static int64_t known(struct stmt *s, int col)
{
    return stmt_is_null(s, col) ? -1 : stmt_get_int(s, col);
}

static enum weir_err read_row(struct stmt *s, struct arena *a, struct audit_row *r)
{
    *r = (struct audit_row){
        .id = stmt_get_int(s, 0), .time = stmt_get_int(s, 1), .stream = stmt_get_int(s, 13) != 0,
        .status = stmt_get_int(s, 14), .attempts = stmt_get_int(s, 16), .prompt_tokens = stmt_get_int(s, 18),
        .cached_tokens = stmt_get_int(s, 19), .cache_write_tokens = stmt_get_int(s, 20),
        .completion_tokens = stmt_get_int(s, 21), .cost = known(s, 22), .first_byte_ms = known(s, 24),
        .latency_ms = stmt_get_int(s, 25)};
    const struct { int col; const char **to; } texts[] = {
        {2, &r->request_id}, {3, &r->user}, {4, &r->team}, {5, &r->role}, {6, &r->rolegroup}, {7, &r->key},
        {8, &r->ip}, {9, &r->endpoint}, {10, &r->alias}, {11, &r->provider}, {12, &r->model}, {15, &r->outcome},
        {17, &r->cache}, {23, &r->usage_source}, {26, &r->error}, {27, &r->context}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct span text = stmt_get_text(s, texts[i].col);
        if (text.at && !(*texts[i].to = arena_str(a, text))) return WEIR_NOMEM;
    }
    return WEIR_OK;
}

/* The first row from that id on; *id 0: there is none. */
static enum weir_err row_from(struct db *db, int64_t from, int64_t *id, int64_t *time)
{
    struct stmt *s = db_stmt(db, SQL_AUDIT_TIME_OF);
    bool row;
    stmt_int(s, 1, from);
    enum weir_err err = stmt_step(s, &row);
    *id = err == WEIR_OK && row ? stmt_get_int(s, 1) : 0;
    *time = *id ? stmt_get_int(s, 0) : 0;
    stmt_reset(s);
    return err;
}

/* By halves: the last row up to `before` was admitted before that time, the first from `from` on was not. */
enum weir_err audit_id_before(struct db *db, int64_t time, int64_t *before)
{
    bool row;
    int64_t from = 1, id, of;
    struct stmt *s = db_stmt(db, SQL_AUDIT_NEWEST);
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && row) from = stmt_get_int(s, 0) + 1;
    stmt_reset(s);
    *before = 0;
    while (err == WEIR_OK && *before + 1 < from) {
        int64_t middle = *before + (from - *before) / 2;
        err = row_from(db, middle, &id, &of);
        if (err == WEIR_OK && id && id < from && of < time) *before = id;
        else from = middle;
    }
    return err;
}

enum weir_err audit_page(struct db *db, int64_t after_id, int64_t since_ms, const char *user, int most,
                         struct arena *a, struct audit_row *out, int *count)
{
    bool row;
    int64_t before;
    *count = 0;
    enum weir_err err = audit_id_before(db, since_ms - AUDIT_LONGEST_MS, &before);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_AUDIT_PAGE);
    stmt_int(s, 1, before > after_id ? before : after_id);
    stmt_int(s, 2, since_ms);
    stmt_text(s, 3, span_of(user));
    stmt_int(s, 4, most);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && *count < most)
        if ((err = read_row(s, a, &out[(*count)++])) != WEIR_OK) break;
    stmt_reset(s);
    return err;
}
