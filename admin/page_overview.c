/* The overview: what is spent, what is tight, who answers and how fast, what was refused lately. All sums are of the
 * hourly rollup. */
#include "admin/page.h"

#include "admin/page_chart.h"
#include "admin/route_state.h"
#include "fcgi/base/clock.h"
#include "sql/audit_search.h"

#define HOUR_MS ((int64_t)3600000)
#define DAY_MS (24 * HOUR_MS)
#define TIGHT 6
#define LATEST 6
#define SEARCH_MS 20

static const struct range { const char *name, *title; int64_t piece_ms; int count; } ranges[] = {
    {"day", "24 hours", HOUR_MS, 24}, {"week", "7 days", DAY_MS, 7}, {"month", "30 days", DAY_MS, 30},
};
#define RANGES (sizeof ranges / sizeof *ranges)

/* ---- numbers ---- */

static void card(struct buf *out, const char *title, const struct chart_sum *s)
{
    HTML(out, "<div class=\"card\"><h2>{}</h2><p class=\"big\">{}</p><p>{} requests, {} tokens</p>", H_TEXT(title),
         H_MONEY(s->cost),
         H_COUNT(s->requests), H_COUNT(s->tokens));
    if (s->requests) HTML(out, "<p class=\"faint\">{}.{} % failed or refused</p>",
                          H_INT(s->errors * 100 / s->requests), H_INT(s->errors * 1000 / s->requests % 10));
    if (s->cache.asked) HTML(out, "<p class=\"faint\">{}.{} % of {} answered from the <a href=\"cache\">cache</a></p>",
                              H_INT(s->cache.served * 100 / s->cache.asked),
                              H_INT(s->cache.served * 1000 / s->cache.asked % 10),
                              H_COUNT(s->cache.asked));
    if (s->unpriced) HTML(out, "<p class=\"bad\">{} <a href=\"models\">without a price</a></p>", H_COUNT(s->unpriced));
    HTML(out, "</div>\n");
}

/* Days and months are UTC's. *costs false: nothing that was asked this month has a price. */
static enum weir_err write_cards(struct web_way *w, struct buf *out, int64_t now, bool *costs)
{
    struct chart_sum today, month;
    enum weir_err err = chart_total(w->db, now / DAY_MS * DAY_MS, &today);
    if (err == WEIR_OK) err = chart_total(w->db, calendar_period(CALENDAR_MONTH, 0, now).start, &month);
    if (err != WEIR_OK) return err;
    *costs = month.cost > 0 || !month.requests;
    HTML(out, "<div class=\"cards\">\n");
    card(out, "Today (UTC)", &today);
    card(out, "This month (UTC)", &month);
    HTML(out, "</div>\n");
    return WEIR_OK;
}

/* ---- the chart ---- */

static void write_choice(struct web_way *w, struct buf *out, const char *name, const char *value, const char *text,
                         bool chosen)
{
    static const char *const names[] = {"range", "by", "what"};
    HTML(out, "<a href=\"overview?{}={}", H_TEXT(name), H_TEXT(value));
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], name) != 0 && *form_text(&w->query, names[i])) HTML(out, "&amp;{}={}", H_TEXT(names[i]),
            H_ARG(form_text(&w->query, names[i])));
    HTML(out, "\"");
    if (chosen) HTML(out, " aria-current=\"true\"");
    HTML(out, ">{}</a> ", H_TEXT(text));
}

static int choice(const struct form *q, const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(form_text(q, name), names[i]) == 0) return i;
    return 0;
}

/* Where nothing has a price, tokens say more than an empty chart of cost. */
static enum weir_err write_chart(struct web_way *w, struct buf *out, int64_t now, bool costs)
{
    static const char *const range_names[RANGES] = {"day", "week", "month"};
    int range = choice(&w->query, "range", range_names, RANGES),
        by = choice(&w->query, "by", chart_by_names, CHART_BY_COUNT),
        what = costs || form_get(&w->query, "what") ? choice(&w->query, "what", chart_what_names, CHART_WHAT_COUNT)
                                                    : CHART_TOKENS;
    const struct range *r = &ranges[range];
    struct chart_ask ask = {.by = (enum chart_by)by, .what = (enum chart_what)what, .piece_ms = r->piece_ms,
                            .count = r->count,
                            .since = now / r->piece_ms * r->piece_ms - (r->count - 1) * r->piece_ms};
    HTML(out, "<section><h2>Use</h2>\n<p class=\"choices\">");
    for (size_t i = 0; i < RANGES; i++) write_choice(w, out, "range", ranges[i].name, ranges[i].title, (int)i == range);
    HTML(out, "</p><p class=\"choices\">");
    for (int i = 0; i < CHART_WHAT_COUNT; i++) write_choice(w, out, "what", chart_what_names[i], chart_what_names[i],
                                                            i == what);
    HTML(out, "</p><p class=\"choices\">");
    for (int i = 0; i < CHART_BY_COUNT; i++) write_choice(w, out, "by", chart_by_names[i], chart_by_names[i], i == by);
    HTML(out, "</p>\n");
    enum weir_err err = page_chart(w, out, &ask);
    HTML(out, "</section>\n");
    return err;
}

/* ---- limits, latencies, refusals ---- */

struct rows { struct buf *out; int count; };

static void write_tight(const struct ledger_line *l, void *arg)
{
    struct rows *to = arg;
    to->count++;
    HTML(to->out, "<li><span>{} <small>", H_NAME(l->scope));
    page_limit_words(to->out, &l->rule);
    HTML(to->out, "</small></span>");
    page_bar(to->out, &l->rule, l->used, l->held);
    HTML(to->out, "</li>\n");
}

static void write_latency(const struct chart_latency *l, void *arg)
{
    struct rows *to = arg;
    int64_t p50 = latency_percentile(l, 50), p95 = latency_percentile(l, 95);
    if (!to->count++)
        HTML(to->out, "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">Model</th><th scope=\"col\">"
                      "Provider</th><th scope=\"col\" class=\"num\">Requests</th>"
                      "<th scope=\"col\" class=\"num\">Failed</th><th scope=\"col\" class=\"num\">Half within</th><th "
                      "scope=\"col\" class=\"num\">95 % within</th></tr></thead><tbody>\n");
    HTML(to->out, "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}.{} %</td><td "
                  "class=\"num\">", H_NAME(l->alias), H_NAME(l->provider),
         H_COUNT(l->requests), H_INT(l->requests ? l->errors * 100 / l->requests : 0),
             H_INT(l->requests ? l->errors * 1000 / l->requests % 10 : 0));
    if (p50 < 0) HTML(to->out, "over 30 s"); else page_duration(to->out, p50);
    HTML(to->out, "</td><td class=\"num\">");
    if (p95 < 0) HTML(to->out, "over 30 s"); else page_duration(to->out, p95);
    HTML(to->out, "</td></tr>\n");
}

static bool write_refusal(const struct audit_row *r, void *arg)
{
    struct rows *to = arg;
    to->count++;
    HTML(to->out, "<li><a href=\"request?id={}\">{}</a> {} <span>{}</span> <small>{}</small></li>\n", H_INT(r->id),
         H_TIME(r->time),
         H_NAME(r->user ? r->user : r->key), H_NAME(r->alias), H_TEXT(r->error ? r->error : ""));
    return true;
}

/* Each provider with how it stands, the worst told by colour and by word. */
static enum weir_err write_upstreams(struct web_way *w, struct buf *out, int64_t now)
{
    struct health_map *health = NULL;
    struct snapshot *s = NULL;
    enum weir_err err = snapshot_load(w->db, NULL, &s);
    if (err == WEIR_OK) err = health_load(w->db, &health);
    HTML(out, "<section><h2>Providers</h2>\n<ul class=\"plain upstreams\">");
    for (int i = 0; err == WEIR_OK && i < s->provider_count; i++) {
        struct provider_state state;
        provider_state(health, s->providers[i].name, now, &state);
        bool bad = strcmp(state.breaker, "closed") != 0 || strcmp(state.health, "disconnected") == 0;
        HTML(out, "<li class=\"{}\">{} <small>{}, breaker {}{}</small></li>\n", H_TEXT(bad ? "bad" : ""),
             H_NAME(s->providers[i].name), H_TEXT(state.health), H_TEXT(state.breaker),
             H_TEXT(state.forced ? ", forced" : ""));
    }
    HTML(out, "</ul></section>\n");
    health_release(health);
    if (s) snapshot_release(s);
    return err;
}

static enum weir_err write_lists(struct web_way *w, struct buf *out, int64_t now)
{
    const struct audit_filter refused = {.outcome = "refused"};
    struct rows tight = {out, 0}, latency = {out, 0}, refusals = {out, 0};
    int64_t next, back_to;
    HTML(out, "<section><h2>Nearest to their limits</h2>\n<ul class=\"tight\">");
    enum weir_err err = ledger_list_tight(w->db, TIGHT, now, write_tight, &tight);
    HTML(out, "</ul>\n");
    if (!tight.count) page_empty(out, "No limit has counted anything yet.", "Set one under Budgets.");
    HTML(out, "</section>\n<section><h2>Who answers, 24 hours</h2>\n");
    if (err == WEIR_OK) err = chart_latencies(w->db, now / HOUR_MS * HOUR_MS - DAY_MS, 12, write_latency, &latency);
    if (latency.count) HTML(out, "</tbody></table></div>\n");
    else page_empty(out, "No request in 24 hours.", "Make one in the playground.");
    HTML(out, "</section>\n<section><h2>Latest refusals</h2>\n<ul class=\"plain\">");
    if (err == WEIR_OK) err = audit_search(w->db, &refused, 0, LATEST, SEARCH_MS, write_refusal, &refusals, &next, &back_to);
    HTML(out, "</ul>\n");
    if (refusals.count) HTML(out, "<p><a href=\"audit?outcome=refused\">All refusals</a></p>\n");
    else page_empty(out, "Nothing was refused.", "Refused requests and why stand here.");
    HTML(out, "</section>\n");
    return err;
}

enum weir_err page_overview(struct web_way *w, struct buf *out)
{
    int64_t now = clock_wall_ms();
    page_start(w, out, "Overview", "overview");
    HTML(out, "<p class=\"live\"><button class=\"plain\" type=\"button\" data-live=\"10\" aria-pressed=\"false\" hidden>"
              "Keep it up to date</button></p>\n");
    bool costs = true;
    enum weir_err err = write_cards(w, out, now, &costs);
    if (err == WEIR_OK) err = write_chart(w, out, now, costs);
    if (err == WEIR_OK) err = write_lists(w, out, now);
    if (err == WEIR_OK) err = write_upstreams(w, out, now);
    page_end(out);
    return err;
}
