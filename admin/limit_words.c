/* Limits in words. */
#include "admin/limit_words.h"

#include <stdio.h>

#include "admin/document.h"

/* In the largest unit of which it is two or more whole ones. */
static void window_words(const char *metric, int64_t seconds, char out[LIMIT_WORDS])
{
    static const struct { int64_t seconds; const char *name; } units[] = {
        {1, "s"}, {60, "min"}, {3600, "h"}, {86400, "days"}};
    int i = 3;

    while (i && (seconds % units[i].seconds || seconds < 2 * units[i].seconds)) i--;
    snprintf(out, LIMIT_WORDS, "%s in any %lld %s", metric, (long long)(seconds / units[i].seconds), units[i].name);
}

const char *limit_words(const struct rule *r, char out[LIMIT_WORDS])
{
    const char *metric = r->metric == METRIC_CONCURRENCY ? "requests in flight" : metric_names[r->metric];
    long long off = r->utc_offset_min < 0 ? -r->utc_offset_min : r->utc_offset_min;
    char rate[MONEY_TEXT];

    if (r->shape == SHAPE_BUCKET) {
        if (r->metric == METRIC_COST) money_text(r->refill, rate);
        else rate_text(r->refill, rate);
        snprintf(out, LIMIT_WORDS, "%s, refilled by %s%s a second", metric, r->metric == METRIC_COST ? "$" : "", rate);
    } else if (r->shape == SHAPE_WINDOW) {
        window_words(metric, r->seconds, out);
    } else if (r->shape == SHAPE_CALENDAR && r->utc_offset_min) {
        snprintf(out, LIMIT_WORDS, "%s each %s (UTC%c%02lld:%02lld)", metric, calendar_names[r->unit],
                 r->utc_offset_min < 0 ? '-' : '+', off / 60, off % 60);
    } else {
        snprintf(out, LIMIT_WORDS, "%s%s%s", metric, r->shape == SHAPE_CALENDAR ? " each " : "",
                 r->shape == SHAPE_CALENDAR ? calendar_names[r->unit] : r->shape == SHAPE_TOTAL ? " for ever" : "");
    }
    return out;
}
