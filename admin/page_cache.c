/* Answers that are kept: how many, of what use they are to which alias, and the forgetting of them. */
#include "admin/page.h"

#include "fcgi/base/clock.h"
#include "sql/cache.h"
#include "sql/chart.h"
#include "sql/settings.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

struct rows { struct buf *out; int count; };

static enum weir_err stats_of(struct web_way *w, struct cache_stats *out)
{
    struct cache *cache;
    enum weir_err err = cache_new(w->web->data_dir, &cache);
    if (err == WEIR_OK) err = cache_stats(cache, out);
    cache_free(cache);
    return err;
}

/* ---- the page ---- */

static void write_rate(struct buf *out, const struct chart_cached *c)
{
    HTML(out, "<td class=\"num\">");
    if (!c->asked) HTML(out, "\xe2\x80\x93");
    else HTML(out, "{}.{} % <small>of {}</small>", H_INT(c->served * 100 / c->asked),
              H_INT(c->served * 1000 / c->asked % 10), H_COUNT(c->asked));
    HTML(out, "</td>");
}

static void write_alias(const struct chart_cache *c, void *arg)
{
    struct rows *to = arg;
    if (!to->count++)
        HTML(to->out, "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">Model</th><th scope=\"col\" "
                      "class=\"num\">Kept for</th><th scope=\"col\" class=\"num\">Then stale for</th><th "
                      "scope=\"col\">Shared within</th><th scope=\"col\" class=\"num\">Served today</th><th "
                      "scope=\"col\" class=\"num\">Served this month</th></tr></thead><tbody>\n");
    HTML(to->out, "<tr><th scope=\"row\">{}</th><td class=\"num\">", H_NAME(c->alias));
    page_duration(to->out, c->ttl * 1000);
    HTML(to->out, "</td><td class=\"num\">");
    page_duration(to->out, c->stale_for ? c->stale_for * 1000 : -1);
    HTML(to->out, "</td><td>{}</td>", H_TEXT(c->scope ? c->scope : "the caller's own"));
    write_rate(to->out, &c->today);
    write_rate(to->out, &c->month);
    HTML(to->out, "</tr>\n");
}

static void write_stats(struct buf *out, const struct cache_stats *s, int64_t most_bytes)
{
    HTML(out, "<dl class=\"known\"><div><dt>Answers</dt><dd>{}</dd></div><div><dt>Bytes</dt><dd>{} of at most {}</dd></div>"
              "<div><dt>The file's bytes</dt><dd>{}</dd></div><div><dt>Served from these answers</dt><dd>{}</dd></div>"
              "<div><dt>Oldest</dt><dd>{}</dd></div></dl>\n", H_COUNT(s->entries), H_COUNT(s->bytes), H_COUNT(most_bytes),
         H_COUNT(s->file_bytes), H_COUNT(s->hits), H_TIME(s->oldest));
}

static enum weir_err write_aliases(struct web_way *w, struct buf *out)
{
    struct rows rows = {out, 0};
    int64_t now = clock_wall_ms(), month = calendar_period(CALENDAR_MONTH, 0, now).start;
    HTML(out, "<section><h2>Models that keep answers</h2>\n");
    enum weir_err err = chart_caches(w->db, now / DAY_MS * DAY_MS, month, write_alias, &rows);
    if (rows.count)
        HTML(out, "</tbody></table></div>\n<p class=\"faint\">Days and months are UTC's. Of the requests that the cache was "
                  "asked for, how many it answered: from an answer it had, from one that was on its way, or, where every "
                  "provider failed, from one that was stale.</p>\n");
    else page_empty(out, "No model keeps its answers.", "Give one a cache time under Models and prices.");
    HTML(out, "</section>\n");
    return err;
}

enum weir_err page_cache(struct web_way *w, struct buf *out)
{
    struct cache_stats stats;
    struct settings s;
    enum weir_err err = settings_load(w->db, &w->memory, &s);
    if (err != WEIR_OK) return err;
    page_start(w, out, "Cache", "cache");
    if (stats_of(w, &stats) == WEIR_OK) write_stats(out, &stats, s.cache_max_bytes);
    else HTML(out, "<p class=\"fault\" role=\"alert\">The cache's file cannot be read. Requests are answered without "
                   "it.</p>\n");
    err = write_aliases(w, out);
    if (w->who.role >= ADMIN_OPERATOR) {
        HTML(out, "<section><h2>Forget them</h2>\n<p>When a provider has given answers that should not be given "
                  "again.</p>\n");
        page_form_start(w, out, "cache-clear");
        page_form_end(out, "Clear the cache");
        HTML(out, "</section>\n");
    }
    page_end(out);
    return err;
}

enum weir_err page_cache_clear_do(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct cache_stats stats;
    char *lost = NULL;
    if (stats_of(w, &stats) == WEIR_OK)
        lost = arena_printf(&w->memory, "%lld answers, %lld bytes", (long long)stats.entries, (long long)stats.bytes);
    if (page_confirm(w, out, "cache", "Clear the cache?",
                     "They are forgotten, for every model and every caller, and cannot be brought back: the same questions "
                     "go to the providers again, and cost again.", lost ? lost : "all kept answers", "cache-clear",
                     "Clear the cache"))
        return WEIR_OK;
    enum weir_err err = manage_cache_clear(&m, &stats);
    return err == WEIR_OK ? page_go(w, "cache", "cache-cleared", NULL) : err;
}
