/* Looks through the audit log backwards, a range of ids at a time. Ids are given when a row is written, times when its
 * request was admitted: audit_id_before. */
#include "sql/audit_search.h"

#include "fcgi/base/clock.h"
#include "sql_ids.h"

#ifndef PIECE                  /* the test takes small ones */
#define PIECE 20000            /* ids looked at in one statement */
#endif
#define HOUR_MS 3600000

struct search {
    struct db *db;
    const struct audit_filter *f;
    int64_t below, floor;      /* ids from floor on and below `below` are still to be looked at */
    int left;
    bool (*row)(const struct audit_row *, void *);
    void *arg;
    int64_t last_time;         /* of the last row told */
    bool stopped;
};

static int64_t known(struct stmt *s, int col)
{
    return stmt_is_null(s, col) ? -1 : stmt_get_int(s, col);
}

/* The columns of audit_back, audit_trouble and audit_of_request, which are the same. */
static struct audit_row read_row(struct stmt *s)
{
    return (struct audit_row){
        .id = stmt_get_int(s, 0), .time = stmt_get_int(s, 1), .request_id = stmt_get_text(s, 2).at,
        .user = stmt_get_text(s, 3).at, .team = stmt_get_text(s, 4).at, .role = stmt_get_text(s, 5).at,
        .rolegroup = stmt_get_text(s, 6).at, .key = stmt_get_text(s, 7).at, .ip = stmt_get_text(s, 8).at,
        .endpoint = stmt_get_text(s, 9).at, .alias = stmt_get_text(s, 10).at, .provider = stmt_get_text(s, 11).at,
        .model = stmt_get_text(s, 12).at, .stream = stmt_get_int(s, 13) != 0, .status = stmt_get_int(s, 14),
        .outcome = stmt_get_text(s, 15).at, .attempts = stmt_get_int(s, 16), .cache = stmt_get_text(s, 17).at,
        .prompt_tokens = stmt_get_int(s, 18), .cached_tokens = stmt_get_int(s, 19),
        .cache_write_tokens = stmt_get_int(s, 20), .completion_tokens = stmt_get_int(s, 21), .cost = known(s, 22),
        .usage_source = stmt_get_text(s, 23).at, .first_byte_ms = known(s, 24), .latency_ms = stmt_get_int(s, 25),
        .error = stmt_get_text(s, 26).at, .ticket = stmt_get_int(s, 27), .over_bound = stmt_get_int(s, 28) != 0,
        .warned = stmt_get_text(s, 29).at, .context = stmt_get_text(s, 30).at};
}

static enum weir_err read_id(struct stmt *s, int64_t standard, int64_t *id)
{
    bool row;
    enum weir_err err = stmt_step(s, &row);
    *id = err == WEIR_OK && row && !stmt_is_null(s, 0) ? stmt_get_int(s, 0) : standard;
    stmt_reset(s);
    return err;
}

static enum weir_err bounds(struct search *q, int64_t below)
{
    int64_t newest;
    enum weir_err err = read_id(db_stmt(q->db, SQL_AUDIT_NEWEST), 0, &newest);
    q->below = below && below <= newest ? below : newest + 1;
    if (err == WEIR_OK && q->f->until) {
        err = audit_id_before(q->db, q->f->until + AUDIT_LONGEST_MS, &newest);
        if (newest + 1 < q->below) q->below = newest + 1;
    }
    q->floor = 1;
    if (err == WEIR_OK && q->f->since) {
        err = audit_id_before(q->db, q->f->since - AUDIT_LONGEST_MS, &q->floor);
        q->floor++;
    }
    return err;
}

static void bind(struct stmt *s, const struct audit_filter *f, int64_t from, int64_t below, int most)
{
    const char *const texts[] = {f->user, f->team, f->key, f->alias, f->provider, f->outcome};
    stmt_int(s, 1, from);
    stmt_int(s, 2, below);
    stmt_int(s, 3, f->since);
    stmt_int(s, 4, f->until ? f->until : INT64_MAX);
    for (int i = 0; i < 6; i++) stmt_text(s, 5 + i, span_of(texts[i]));
    stmt_int(s, 11, most);
}

/* All that the statement gives. *told: how many. */
static enum weir_err tell(struct search *q, struct stmt *s, int *told)
{
    bool row;
    enum weir_err err;
    *told = 0;
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        struct audit_row r = read_row(s);
        ++*told;
        q->last_time = r.time;
        q->below = r.id;
        if (q->row(&r, q->arg)) continue;
        q->stopped = true;
        break;
    }
    stmt_reset(s);
    q->left -= *told;
    return err;
}

/* Where the rollup knows of no request of this user or key in the hours just below, those hours are skipped. */
static enum weir_err skip(struct search *q)
{
    int64_t time, hour, id;
    struct stmt *s;
    if (!q->f->user && !q->f->key) return WEIR_OK;
    s = db_stmt(q->db, SQL_AUDIT_TIME_OF);
    stmt_int(s, 1, q->below);
    enum weir_err err = read_id(s, 0, &time);
    if (err != WEIR_OK || !time) return err;
    s = db_stmt(q->db, q->f->user ? SQL_ROLLUP_HOUR_OF_USER : SQL_ROLLUP_HOUR_OF_KEY);
    stmt_text(s, 1, span_of(q->f->user ? q->f->user : q->f->key));
    stmt_int(s, 2, time);
    if ((err = read_id(s, -1, &hour)) != WEIR_OK) return err;
    if (hour < 0) { /* never before */
        q->below = q->floor;
        return WEIR_OK;
    }
    err = audit_id_before(q->db, hour + HOUR_MS + AUDIT_LONGEST_MS, &id);
    if (err == WEIR_OK && id + 1 < q->below) q->below = id + 1;
    return err;
}

static enum weir_err piece(struct search *q)
{
    const struct audit_filter *f = q->f;
    bool trouble = f->outcome && strcmp(f->outcome, "ok") != 0;
    int64_t from = trouble ? q->floor : q->below - PIECE > q->floor ? q->below - PIECE : q->floor;
    int told, most = q->left;
    struct stmt *s = db_stmt(q->db, trouble ? SQL_AUDIT_TROUBLE : SQL_AUDIT_BACK);
    bind(s, f, from, q->below, most);
    enum weir_err err = tell(q, s, &told);
    if (err != WEIR_OK || q->stopped || told == most) return err;
    q->below = from;
    return !told && from > q->floor ? skip(q) : WEIR_OK;
}

static enum weir_err of_request(struct search *q)
{
    struct stmt *s = db_stmt(q->db, SQL_AUDIT_OF_REQUEST);
    int told, most = q->left;
    stmt_text(s, 1, span_of(q->f->request_id));
    stmt_int(s, 2, q->below);
    stmt_int(s, 3, most);
    enum weir_err err = tell(q, s, &told);
    if (!q->stopped && told < most) q->below = q->floor;
    return err;
}

enum weir_err audit_search(struct db *db, const struct audit_filter *f, int64_t below, int most, int64_t budget_ms,
                           bool (*row)(const struct audit_row *, void *), void *arg, int64_t *next, int64_t *seen_back_to)
{
    struct search q = {.db = db, .f = f, .left = most, .row = row, .arg = arg};
    int64_t until = clock_mono_ms() + budget_ms;
    *next = *seen_back_to = 0;
    enum weir_err err = bounds(&q, below);
    if (err == WEIR_OK && f->request_id) err = of_request(&q);
    while (err == WEIR_OK && !f->request_id && !q.stopped && q.left > 0 && q.below > q.floor) {
        err = piece(&q);
        if (clock_mono_ms() >= until) break;
    }
    if (err != WEIR_OK || q.below <= q.floor) return err;
    *next = q.below;
    struct stmt *s = db_stmt(db, SQL_AUDIT_TIME_OF);
    stmt_int(s, 1, q.below);
    return read_id(s, 0, seen_back_to);
}

/* ---- one request ---- */

enum weir_err audit_one(struct db *db, int64_t id, struct arena *a, struct audit_row *out)
{
    struct stmt *s = db_stmt(db, SQL_AUDIT_ONE);
    bool row;
    stmt_int(s, 1, id);
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && !row) err = WEIR_NOT_FOUND;
    if (err == WEIR_OK) {
        *out = read_row(s);
        const char **const texts[] = {&out->request_id, &out->user, &out->team, &out->role, &out->rolegroup, &out->key,
                                      &out->ip, &out->endpoint, &out->alias, &out->provider, &out->model, &out->outcome,
                                      &out->cache, &out->usage_source, &out->error, &out->warned, &out->context};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            if (*texts[i] && !(*texts[i] = arena_str(a, span_of(*texts[i])))) err = WEIR_NOMEM;
    }
    stmt_reset(s);
    return err;
}

enum weir_err audit_attempts(struct db *db, int64_t ticket, void (*row)(const struct audit_attempt *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_ATTEMPT_OF_TICKET);
    bool more;
    enum weir_err err;
    stmt_int(s, 1, ticket);
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        const struct audit_attempt t = {.number = stmt_get_int(s, 0), .time = stmt_get_int(s, 2),
                                        .provider = stmt_get_text(s, 3).at, .ended = stmt_get_int(s, 4) != 0,
                                        .tokens = stmt_get_int(s, 5), .cost = stmt_get_int(s, 6)};
        row(&t, arg);
    }
    stmt_reset(s);
    return err;
}
