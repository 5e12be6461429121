/* The cache of answers as JSON. */
#include "admin/api.h"

#include "fcgi/base/clock.h"
#include "sql/cache.h"
#include "sql/calendar.h"
#include "sql/chart.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

struct rows { struct buf *out; int count; };

static void write_model(const struct chart_cache *c, void *arg)
{
    struct rows *to = arg;
    api_member(to->out, to->count++ ? ",{\"alias\":" : "{\"alias\":", c->alias);
    buf_printf(to->out, ",\"cache_ttl\":%lld,\"stale_for\":%lld", (long long)c->ttl, (long long)c->stale_for);
    api_member(to->out, ",\"cache_scope\":", c->scope);
    buf_printf(to->out, ",\"today\":{\"asked\":%lld,\"served\":%lld},\"month\":{\"asked\":%lld,\"served\":%lld}}",
               (long long)c->today.asked, (long long)c->today.served, (long long)c->month.asked, (long long)c->month.served);
}

enum weir_err api_cache(struct web_way *w, struct buf *out)
{
    int64_t now = clock_wall_ms();
    struct rows rows = {out, 0};
    struct cache_stats s;
    struct cache *cache;
    enum weir_err err = cache_new(w->web->data_dir, &cache);
    if (err == WEIR_OK) err = cache_stats(cache, &s);
    cache_free(cache);
    if (err != WEIR_OK) return problem_set(&w->problem, WEIR_STORAGE, NULL, "The cache's file cannot be read.");
    buf_printf(out, "{\"entries\":%lld,\"bytes\":%lld,\"file_bytes\":%lld,\"hits\":%lld", (long long)s.entries,
               (long long)s.bytes, (long long)s.file_bytes, (long long)s.hits);
    api_time(out, ",\"oldest\":", s.oldest);
    buf_str(out, ",\"models\":[");
    err = chart_caches(w->db, now / DAY_MS * DAY_MS, calendar_period(CALENDAR_MONTH, 0, now).start, write_model, &rows);
    buf_str(out, "]}");
    return err;
}

enum weir_err api_cache_clear(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct cache_stats lost;
    enum weir_err err = manage_cache_clear(&m, &lost);
    if (err == WEIR_OK) buf_printf(out, "{\"removed\":%lld}", (long long)lost.entries);
    return err;
}
