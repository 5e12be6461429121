/* Sums of the hourly rollup for charts. */
#include "sql/chart.h"

#include "sql/fold.h"
#include "sql_ids.h"

const char *const chart_by_names[CHART_BY_COUNT] = {"model", "provider", "team", "user"};
const int64_t latency_bounds[LATENCY_BUCKETS - 1] = {50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000};

static struct chart_sum read_sum(struct stmt *s, int col)
{
    return (struct chart_sum){.requests = stmt_get_int(s, col), .tokens = stmt_get_int(s, col + 1),
                              .cost = stmt_get_int(s, col + 2), .errors = stmt_get_int(s, col + 3),
                              .unpriced = stmt_get_int(s, col + 4)};
}

static struct chart_cached read_cached(struct stmt *s, int col)
{
    return (struct chart_cached){.asked = stmt_get_int(s, col), .served = stmt_get_int(s, col + 1)};
}

enum weir_err chart_cells(struct db *db, enum chart_by by, int64_t since_ms, int64_t piece_ms, int64_t *begins,
                          void (*cell)(int64_t start, const char *name, const struct chart_sum *, void *), void *arg)
{
    bool row;
    enum weir_err err;
    if (by == CHART_TEAM || by == CHART_USER) return fold_cells(db, by, since_ms, piece_ms, begins, cell, arg);
    struct stmt *s = db_stmt(db, by == CHART_MODEL ? SQL_CHART_BY_MODEL : SQL_CHART_BY_PROVIDER);
    *begins = since_ms;
    stmt_int(s, 1, since_ms);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        struct chart_sum sum = read_sum(s, 2);
        cell(stmt_get_int(s, 0), stmt_get_text(s, 1).at, &sum, arg);
    }
    stmt_reset(s);
    return err;
}

enum weir_err chart_total(struct db *db, int64_t since_ms, struct chart_sum *out)
{
    struct stmt *s = db_stmt(db, SQL_CHART_TOTAL);
    bool row;
    stmt_int(s, 1, since_ms);
    enum weir_err err = stmt_step(s, &row);
    *out = err == WEIR_OK && row ? read_sum(s, 0) : (struct chart_sum){0};
    if (err == WEIR_OK && row) out->cache = read_cached(s, 5);
    stmt_reset(s);
    return err;
}

enum weir_err chart_caches(struct db *db, int64_t today_ms, int64_t month_ms,
                           void (*row)(const struct chart_cache *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_CHART_CACHE);
    bool more;
    enum weir_err err;
    stmt_int(s, 1, today_ms);
    stmt_int(s, 2, month_ms);
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        const struct chart_cache c = {.alias = stmt_get_text(s, 0).at, .ttl = stmt_get_int(s, 1),
                                      .scope = stmt_get_text(s, 2).at, .stale_for = stmt_get_int(s, 3),
                                      .today = read_cached(s, 4), .month = read_cached(s, 6)};
        row(&c, arg);
    }
    stmt_reset(s);
    return err;
}

enum weir_err chart_latencies(struct db *db, int64_t since_ms, int most,
                              void (*row)(const struct chart_latency *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_CHART_LATENCY);
    bool more;
    enum weir_err err;
    stmt_int(s, 1, since_ms);
    stmt_int(s, 2, most);
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        struct chart_latency l = {.alias = stmt_get_text(s, 0).at, .provider = stmt_get_text(s, 1).at,
                                  .requests = stmt_get_int(s, 2), .errors = stmt_get_int(s, 3)};
        for (int i = 0; i < LATENCY_BUCKETS; i++) l.bucket[i] = stmt_get_int(s, 4 + i);
        row(&l, arg);
    }
    stmt_reset(s);
    return err;
}

int64_t latency_percentile(const struct chart_latency *l, int percent)
{
    int64_t all = 0, sum = 0;
    for (int i = 0; i < LATENCY_BUCKETS; i++) all += l->bucket[i];
    for (int i = 0; all && i < LATENCY_BUCKETS - 1; i++) {
        sum += l->bucket[i];
        if (sum * 100 >= all * percent) return latency_bounds[i];
    }
    return -1;
}
