/* Rows of health: read, judged, written. */
#include "sql/health.h"

#include <stdlib.h>

#include "fcgi/base/text.h"
#include "sql_ids.h"

const char *const health_seen_names[] = {"unknown", "connected", "slow", "disconnected"};
const char *const breaker_names[] = {"closed", "open", "half_open"};

/* ---- reading ---- */

static bool copy(struct arena *a, struct stmt *s, int col, const char **to)
{
    struct span text = stmt_get_text(s, col);
    *to = arena_str(a, text);
    return *to || !text.at;
}

/* What an enum of ours was written as. */
static unsigned small(struct stmt *s, int col)
{
    int64_t n = stmt_get_int(s, col);
    return n >= 0 && n < 4 ? (unsigned)n : 0;
}

static enum weir_err read_row(struct stmt *s, struct arena *a, struct health_row *h)
{
    *h = (struct health_row){
        .kind = small(s, 0),
        .breaker = {.state = small(s, 3), .failures = stmt_get_int(s, 4),
                    .until = stmt_get_int(s, 9), .opens = stmt_get_int(s, 10)},
        .unreached = stmt_get_int(s, 11) != 0, .forced = small(s, 12),
        .cool_until = stmt_get_int(s, 13), .error_at = stmt_get_int(s, 17), .requests = stmt_get_int(s, 18),
        .failed = stmt_get_int(s, 19), .latency_ms = stmt_get_int(s, 20), .seen = small(s, 21),
        .probed = stmt_get_int(s, 22), .updated = stmt_get_int(s, 23)};
    for (int i = 0; i < BREAKER_FAILURES - 1; i++) h->breaker.recent[i] = stmt_get_int(s, 5 + i);
    bool whole = copy(a, s, 1, &h->provider) && copy(a, s, 2, &h->name) && copy(a, s, 14, &h->cool_model) &&
                 copy(a, s, 15, &h->disabled) && copy(a, s, 16, &h->error);
    return whole ? WEIR_OK : WEIR_NOMEM;
}

static enum weir_err count_rows(struct db *db, int *most)
{
    struct stmt *s = db_stmt(db, SQL_HEALTH_TALLY);
    bool row;
    enum weir_err err = stmt_step(s, &row);
    *most = err == WEIR_OK && row ? (int)stmt_get_int(s, 0) : 0;
    stmt_reset(s);
    return err;
}

static enum weir_err load_rows(struct db *db, struct health_map *m)
{
    int most;
    bool row;
    enum weir_err err = count_rows(db, &most);
    if (err == WEIR_OK && !(m->rows = arena_alloc(&m->memory, sizeof *m->rows * ((size_t)most + 1)))) err = WEIR_NOMEM;
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_HEALTH_ALL);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && m->count < most)
        if ((err = read_row(s, &m->memory, &m->rows[m->count++])) != WEIR_OK) break;
    stmt_reset(s);
    return err;
}

enum weir_err health_load(struct db *db, struct health_map **out)
{
    struct health_map *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return WEIR_NOMEM;
    arena_init(&m->memory);
    m->refs = 1;
    enum weir_err err = db_begin_read(db);
    if (err == WEIR_OK) err = load_rows(db, m);
    db_rollback(db);
    if (err == WEIR_OK) *out = m;
    else health_release(m);
    return err;
}

void health_hold(struct health_map *m) { __atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED); }

void health_release(struct health_map *m)
{
    if (!m || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    arena_end(&m->memory);
    free(m);
}

struct wanted { enum health_kind kind; const char *provider, *name; };

static int by_identity(const void *wanted, const void *row)
{
    const struct wanted *w = wanted;
    const struct health_row *h = row;
    int order = (w->kind > h->kind) - (w->kind < h->kind);
    if (!order) order = strcmp(w->provider, h->provider);
    return order ? order : strcmp(w->name, h->name);
}

const struct health_row *health_find(const struct health_map *m, enum health_kind kind, const char *provider,
                                     const char *name)
{
    const struct wanted wanted = {kind, provider, name};
    if (!m || !m->count) return NULL;
    return bsearch(&wanted, m->rows, (size_t)m->count, sizeof *m->rows, by_identity);
}

/* ---- judging ---- */

static int64_t later(int64_t a, int64_t b) { return a < 0 || b < 0 ? -1 : a > b ? a : b; }

static bool is_cooling(const struct health_row *h, const char *model, int64_t now)
{
    bool now_is_in = now < h->cool_until && h->cool_until - now <= COOL_MOST_MS;
    return now_is_in && (!h->cool_model || strcmp(h->cool_model, model) == 0);
}

/* Adds what one row says. */
static void weigh(const struct health_row *h, const char *model, bool breakers, int64_t now, enum health_may *may,
                  int64_t *until)
{
    if (!h) return;
    enum breaker_may b = breakers ? breaker_may(&h->breaker, now) : BREAKER_GO;
    if (h->disabled) *until = -1;
    if (b >= BREAKER_RESORT) *until = later(*until, h->breaker.until);
    if (is_cooling(h, model, now)) *until = later(*until, h->cool_until);
    enum health_may says = h->disabled || b == BREAKER_WAIT || is_cooling(h, model, now) ? HEALTH_BLOCKED
                           : b == BREAKER_RESORT ? HEALTH_RESORT : b == BREAKER_CLAIM ? HEALTH_CLAIM : HEALTH_GO;
    if (says > *may) *may = says;
}

enum health_may health_may(const struct health_map *m, const char *provider, const char *model, const char *key, int64_t now,
                           int64_t *until)
{
    const struct health_row *p = health_find(m, HEALTH_PROVIDER, provider, "");
    enum health_may may = HEALTH_GO;
    bool breakers = !p || p->forced != FORCED_CLOSED;
    *until = 0;
    if (p && p->forced == FORCED_OPEN) {
        *until = -1;
        return HEALTH_BLOCKED;
    }
    weigh(health_find(m, HEALTH_TARGET, provider, model), model, breakers, now, &may, until);
    if (key) weigh(health_find(m, HEALTH_KEY, provider, key), model, breakers, now, &may, until);
    return may;
}

/* ---- changing ---- */

static void bind_identity(struct stmt *s, enum health_kind kind, const char *provider, const char *name)
{
    stmt_int(s, 1, kind);
    stmt_text(s, 2, span_of(provider));
    stmt_text(s, 3, span_of(name));
}

enum weir_err health_read(struct db *db, struct arena *a, enum health_kind kind, const char *provider, const char *name,
                          struct health_row *out)
{
    struct stmt *s = db_stmt(db, SQL_HEALTH_GET);
    bool row;
    bind_identity(s, kind, provider, name);
    enum weir_err err = stmt_step(s, &row);
    *out = (struct health_row){.kind = kind, .provider = provider, .name = name, .latency_ms = -1};
    if (err == WEIR_OK && row) err = read_row(s, a, out);
    stmt_reset(s);
    return err;
}

enum weir_err health_put(struct db *db, const struct health_row *h, int64_t now)
{
    const struct breaker *b = &h->breaker;
    struct stmt *s = db_stmt(db, SQL_HEALTH_PUT);
    struct span error = span_of(h->error);
    bind_identity(s, h->kind, h->provider, h->name);
    stmt_int(s, 4, b->state);
    stmt_int(s, 5, b->failures);
    for (int i = 0; i < BREAKER_FAILURES - 1; i++) stmt_int(s, 6 + i, b->recent[i]);
    stmt_int(s, 10, b->until);
    stmt_int(s, 11, b->opens);
    stmt_int(s, 12, h->unreached);
    stmt_int(s, 13, h->forced);
    stmt_int(s, 14, h->cool_until);
    stmt_text(s, 15, span_of(h->cool_model));
    stmt_text(s, 16, span_of(h->disabled));
    if (error.len > HEALTH_ERROR_MAX) error.len = text_cut(error, HEALTH_ERROR_MAX);
    stmt_text(s, 17, error);
    stmt_int(s, 18, h->error_at);
    stmt_int(s, 19, h->latency_ms);
    stmt_int(s, 20, h->seen);
    stmt_int(s, 21, h->probed);
    stmt_int(s, 22, now);
    return stmt_run(s);
}

enum weir_err health_count(struct db *db, const struct health_row *counts, int64_t now)
{
    struct stmt *s = db_stmt(db, SQL_HEALTH_COUNT);
    bind_identity(s, counts->kind, counts->provider, counts->name);
    stmt_int(s, 4, counts->requests);
    stmt_int(s, 5, counts->failed);
    stmt_int(s, 6, counts->latency_ms);
    stmt_int(s, 7, now);
    return stmt_run(s);
}

enum weir_err health_forget(struct db *db, const char *provider)
{
    struct stmt *s = db_stmt(db, SQL_HEALTH_FORGET);
    stmt_text(s, 1, span_of(provider));
    return stmt_run(s);
}

enum weir_err lease_take(struct db *db, const char *name, const char *holder, int64_t now, int64_t ms, bool *mine)
{
    struct stmt *s = db_stmt(db, SQL_LEASE_TAKE);
    stmt_text(s, 1, span_of(name));
    stmt_text(s, 2, span_of(holder));
    stmt_int(s, 3, now + ms);
    stmt_int(s, 4, now);
    enum weir_err err = stmt_run(s);
    *mine = err == WEIR_OK && db_changes(db) > 0;
    return err;
}
