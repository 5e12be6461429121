/* Folds: made from the rollup, packed, read again; around and between them the rollup itself is read. */
#include "sql/fold.h"

#include <string.h>

#include "fcgi/base/clock.h"
#include "sql/packed.h"
#include "sql_ids.h"

#define HOUR_MS ((int64_t)3600000)
#define DAY_MS (24 * HOUR_MS)
#define WAIT_MS 600000         /* behind a period's end, until most of what began in it has ended too */
#define SETTLED_MS (2 * DAY_MS) /* behind its end nothing changes any more: no request lasts a day */
#define REACH_MS (33 * DAY_MS)  /* no chart begins earlier */
#define FOLDS_MOST 64          /* of one length in a reading: more than REACH_MS has days, or SETTLED_MS hours */
#define ROWS_MOST 50000        /* of the rollup in one reading: a tenth of a second */
#define SUMS_MAX ((size_t)64 << 20)
#define SUMS 5                 /* of a name, in the order of pack_name */

static const enum chart_by kinds[] = {CHART_TEAM, CHART_USER};

/* ---- making ---- */

static enum weir_err find_due(struct db *db, struct fold *f, int64_t since, int64_t until, bool *due)
{
    struct stmt *s = db_stmt(db, SQL_FOLD_DUE);
    stmt_int(s, 1, f->length);
    stmt_int(s, 2, since);
    stmt_int(s, 3, until);
    stmt_text(s, 4, span_of(chart_by_names[f->by]));
    enum weir_err err = stmt_step(s, due);
    if (err == WEIR_OK && *due) {
        f->start = stmt_get_int(s, 0);
        f->requests = stmt_get_int(s, 1);
    }
    stmt_reset(s);
    return err;
}

/* The name's length and bytes, then its sums. */
static void pack_name(struct stmt *s, struct buf *out)
{
    struct span name = stmt_get_text(s, 0);
    unsigned char *start = (unsigned char *)buf_room(out, name.len + (SUMS + 1) * PACKED_INT), *to = start;
    if (!start) return;
    to = packed_put(to, name.len);
    memcpy(to, name.at, name.len);
    to += name.len;
    for (int i = 0; i < SUMS; i++) to = packed_put(to, (uint64_t)stmt_get_int(s, 1 + i));
    buf_added(out, (size_t)(to - start));
}

static enum weir_err add_up(struct db *db, struct fold *f)
{
    struct stmt *s = db_stmt(db, f->by == CHART_TEAM ? SQL_FOLD_SUM_TEAMS : SQL_FOLD_SUM_USERS);
    bool row;
    enum weir_err err;
    stmt_int(s, 1, f->start);
    stmt_int(s, 2, f->start + f->length);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) pack_name(s, &f->sums);
    stmt_reset(s);
    return err == WEIR_OK ? f->sums.err : err;
}

enum weir_err fold_make(struct db *db, int64_t now_ms, struct fold *out, bool *due)
{
    static const struct { int64_t length, reach; } spans[] = {{HOUR_MS, SETTLED_MS}, {DAY_MS, REACH_MS}};
    enum weir_err err = WEIR_OK;
    *due = false;
    buf_init(&out->sums, SUMS_MAX);
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds && err == WEIR_OK && !*due; k++) {
            int64_t until = (now_ms - WAIT_MS) / spans[i].length * spans[i].length;
            out->by = kinds[k];
            out->length = spans[i].length;
            err = find_due(db, out, until - spans[i].reach, until, due);
        }
    return err == WEIR_OK && *due ? add_up(db, out) : err;
}

enum weir_err fold_put(struct db *db, const struct fold *f, int64_t now_ms)
{
    struct stmt *s = db_stmt(db, SQL_FOLD_PUT);
    stmt_text(s, 1, span_of(chart_by_names[f->by]));
    stmt_int(s, 2, f->length);
    stmt_int(s, 3, f->start);
    stmt_int(s, 4, f->requests);
    stmt_blob(s, 5, buf_all(&f->sums));
    enum weir_err err = stmt_run(s);
    if (err != WEIR_OK) return err;
    s = db_stmt(db, SQL_FOLD_FORGET);
    stmt_int(s, 1, HOUR_MS);
    stmt_int(s, 2, now_ms - SETTLED_MS - DAY_MS);
    stmt_int(s, 3, now_ms - REACH_MS - DAY_MS);
    return stmt_run(s);
}

/* ---- reading ---- */

struct reading {
    struct db *db;
    enum chart_by by;
    int64_t settled;  /* periods that begin before are as they will ever be */
    int64_t rows_left;
    int64_t begins;   /* of what has been given; 0: nothing was left out so far */
    void (*cell)(int64_t start, const char *name, const struct chart_sum *, void *);
    void *arg;
};

static enum weir_err read_rows(struct reading *r, int64_t from, int64_t to)
{
    struct stmt *s = db_stmt(r->db, r->by == CHART_TEAM ? SQL_CHART_BY_TEAM : SQL_CHART_BY_USER);
    bool row;
    enum weir_err err;
    stmt_int(s, 1, from);
    stmt_int(s, 2, to);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        const struct chart_sum sum = {.requests = stmt_get_int(s, 2), .tokens = stmt_get_int(s, 3),
                                      .cost = stmt_get_int(s, 4), .errors = stmt_get_int(s, 5),
                                      .unpriced = stmt_get_int(s, 6)};
        if (!r->rows_left--) {
            r->begins = stmt_get_int(s, 0) + HOUR_MS;
            break;
        }
        r->cell(stmt_get_int(s, 0), stmt_get_text(s, 1).at, &sum, r->arg);
    }
    stmt_reset(s);
    return err;
}

/* The name is put back in front of a NUL in a buffer of its own: callers want strings. */
static enum weir_err unpack(struct reading *r, int64_t start, struct span sums)
{
    struct buf name;
    enum weir_err err = WEIR_OK;
    buf_init(&name, SUMS_MAX);
    while (err == WEIR_OK && sums.len) {
        int64_t len, n[SUMS];
        if (!packed_take(&sums, &len) || len < 0 || (uint64_t)len > sums.len) { err = WEIR_CORRUPT; break; }
        buf_clear(&name);
        buf_add(&name, sums.at, (size_t)len);
        sums = (struct span){sums.at + len, sums.len - (size_t)len};
        for (int i = 0; i < SUMS; i++)
            if (!packed_take(&sums, &n[i])) err = WEIR_CORRUPT;
        const struct chart_sum sum = {.requests = n[0], .tokens = n[1], .cost = n[2], .errors = n[3], .unpriced = n[4]};
        if (err == WEIR_OK) err = name.err;
        if (err == WEIR_OK) r->cell(start, len ? buf_cstr(&name) : NULL, &sum, r->arg);
    }
    buf_free(&name);
    return err;
}

/* *there false: it has gone meanwhile. */
static enum weir_err read_fold(struct reading *r, int64_t length, int64_t start, bool *there)
{
    struct stmt *s = db_stmt(r->db, SQL_FOLD_SUMS);
    stmt_text(s, 1, span_of(chart_by_names[r->by]));
    stmt_int(s, 2, length);
    stmt_int(s, 3, start);
    enum weir_err err = stmt_step(s, there);
    if (err == WEIR_OK && *there) err = unpack(r, start, stmt_get_blob(s, 0));
    stmt_reset(s);
    return err;
}

/* The folds of that length from `from` on and before `to` that are not out of date, the newest first. */
static enum weir_err list_folds(struct reading *r, int64_t length, int64_t from, int64_t to, int64_t starts[FOLDS_MOST],
                                int *count)
{
    struct stmt *s = db_stmt(r->db, SQL_FOLD_LIST);
    bool row;
    enum weir_err err;
    *count = 0;
    stmt_text(s, 1, span_of(chart_by_names[r->by]));
    stmt_int(s, 2, length);
    stmt_int(s, 3, from);
    stmt_int(s, 4, to);
    stmt_int(s, 5, r->settled);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && *count < FOLDS_MOST) starts[(*count)++] = stmt_get_int(s, 0);
    stmt_reset(s);
    return err;
}

static enum weir_err cover(struct reading *r, int64_t from, int64_t to, int64_t length);

static enum weir_err cover_gap(struct reading *r, int64_t from, int64_t to, int64_t length)
{
    if (from >= to || r->begins) return WEIR_OK;
    return length > HOUR_MS ? cover(r, from, to, HOUR_MS) : read_rows(r, from, to);
}

/* From the newest to the oldest, so that what is broken off has a whole end. */
static enum weir_err cover(struct reading *r, int64_t from, int64_t to, int64_t length)
{
    int64_t starts[FOLDS_MOST];
    int count;
    enum weir_err err = list_folds(r, length, from, to, starts, &count);
    for (int i = 0; i < count && err == WEIR_OK; i++) {
        bool there = false;
        err = cover_gap(r, starts[i] + length, to, length);
        if (err == WEIR_OK && !r->begins) err = read_fold(r, length, starts[i], &there);
        if (err == WEIR_OK) to = there ? starts[i] : starts[i] + length;
    }
    return err == WEIR_OK ? cover_gap(r, from, to, length) : err;
}

enum weir_err fold_cells(struct db *db, enum chart_by by, int64_t since_ms, int64_t length, int64_t *begins,
                         void (*cell)(int64_t start, const char *name, const struct chart_sum *, void *), void *arg)
{
    struct reading r = {.db = db, .by = by, .settled = clock_wall_ms() - SETTLED_MS, .rows_left = ROWS_MOST, .cell = cell,
                        .arg = arg};
    enum weir_err err = cover(&r, since_ms, INT64_MAX, length);
    *begins = r.begins ? r.begins : since_ms;
    return err;
}
