/* What charts and the overview show: sums of the hourly rollup, never of the audit log. */
#ifndef WEIR_SQL_CHART_H
#define WEIR_SQL_CHART_H

#include "sql/db.h"

struct chart_cached { int64_t asked, served; }; /* requests; served: answered from the cache */
/* cost: nano-dollars; cache: of chart_total alone */
struct chart_sum { int64_t requests, tokens, cost, errors, unpriced; struct chart_cached cache; };

enum chart_by { CHART_MODEL, CHART_PROVIDER, CHART_TEAM, CHART_USER, CHART_BY_COUNT };
extern const char *const chart_by_names[CHART_BY_COUNT];

/* Of the hours from since_ms on, by name (NULL: requests without one): the same start and name may come several times, to
 * be added up. piece_ms: an hour or a day, of which since_ms is a multiple; start lies in the piece. *begins: since_ms, or
 * later where there was too much to add up at once. Strings live during the call of cell. */
enum weir_err chart_cells(struct db *db, enum chart_by by, int64_t since_ms, int64_t piece_ms, int64_t *begins,
                          void (*cell)(int64_t start, const char *name, const struct chart_sum *, void *), void *arg);

/* All of the hours from since_ms on. */
enum weir_err chart_total(struct db *db, int64_t since_ms, struct chart_sum *out);

/* The aliases that keep answers, in order of their names: ttl and stale_for in seconds, scope NULL for the usual one; what
 * the cache did since today_ms and since month_ms, both whole hours. Strings live during the call of row. */
struct chart_cache { const char *alias, *scope; int64_t ttl, stale_for; struct chart_cached today, month; };
enum weir_err chart_caches(struct db *db, int64_t today_ms, int64_t month_ms,
                           void (*row)(const struct chart_cache *, void *), void *arg);

#define LATENCY_BUCKETS 10
/* How long answers took, by model and provider: how many in each bucket; bucket i holds those up to latency_bounds[i] ms,
 * the last all above. */
extern const int64_t latency_bounds[LATENCY_BUCKETS - 1];
struct chart_latency { const char *alias, *provider; int64_t requests, errors, bucket[LATENCY_BUCKETS]; };
enum weir_err chart_latencies(struct db *db, int64_t since_ms, int most,
                              void (*row)(const struct chart_latency *, void *), void *arg);
/* The bound below which so many percent of the answers stayed, ms; -1: above the last bound, or there were none. */
int64_t latency_percentile(const struct chart_latency *l, int percent);

#endif
