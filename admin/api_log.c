/* What happened, as JSON: the audit log, sums of the rollup, the record of changes. */
#include "admin/api.h"

#include "admin/audit_text.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "sql/audit_search.h"
#include "sql/spend.h"

#define SEARCH_MS 60
#define HOUR_MS 3600000

struct rows { struct buf *out; int count, most; int64_t last; const char *by; };

/* A time, or a length of time ago. */
static enum weir_err time_of(struct web_way *w, const char *name, int64_t *ms)
{
    const char *text = form_text(&w->query, name);
    int64_t length;
    if (!*text || time_parse(span_of(text), ms)) return WEIR_OK;
    if (!duration_parse(span_of(text), &length))
        return problem_set(&w->problem, WEIR_INVALID, name, "%s must be a length of time like 7d, or a time like "
                           "2026-11-21T03:00:00Z.", name);
    *ms = clock_wall_ms() - length;
    return WEIR_OK;
}

static bool write_row(const struct audit_row *r, void *arg)
{
    struct rows *to = arg;
    if (to->count++) buf_char(to->out, ',');
    audit_json_object(to->out, r);
    return true;
}

enum weir_err api_audit(struct web_way *w, struct buf *out)
{
    struct rows rows = {.out = out};
    struct audit_filter f = {0};
    int64_t next, back_to;
    enum weir_err err = api_query(w);
    const struct form *q = &w->query;
    if (err == WEIR_OK) err = time_of(w, "since", &f.since);
    if (err == WEIR_OK) err = time_of(w, "until", &f.until);
    if (err != WEIR_OK) return err;
    f.user = form_get(q, "user"), f.team = form_get(q, "team"), f.key = form_get(q, "key"), f.alias = form_get(q, "alias");
    f.provider = form_get(q, "provider"), f.outcome = form_get(q, "outcome"), f.request_id = form_get(q, "request_id");
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    err = audit_search(w->db, &f, form_int(q, "below", 0, INT64_MAX, 0), api_most(w), SEARCH_MS, write_row, &rows,
                       &next, &back_to);
    if (next) buf_printf(out, "],\"next\":%lld", (long long)next);
    else buf_str(out, "],\"next\":null");
    api_time(out, ",\"looked_back_to\":", back_to);
    buf_char(out, '}');
    return err;
}

static void write_spend(const char *name, const struct spend *s, void *arg)
{
    struct rows *to = arg;
    buf_printf(to->out, "%s{\"%s\":", to->count++ ? "," : "", to->by);
    json_string(to->out, span_of(name));
    buf_printf(to->out, ",\"requests\":%lld,\"prompt_tokens\":%lld,\"cached_tokens\":%lld", (long long)s->requests,
               (long long)s->prompt_tokens, (long long)s->cached_tokens);
    buf_printf(to->out, ",\"completion_tokens\":%lld,\"unpriced\":%lld", (long long)s->completion_tokens,
               (long long)s->unpriced);
    api_money(to->out, ",\"cost\":", s->unpriced && s->unpriced == s->requests ? -1 : s->cost);
    buf_char(to->out, '}');
}

enum weir_err api_usage(struct web_way *w, struct buf *out)
{
    static const struct { const char *name; enum spend_by by; } all[] = {{"user", SPEND_USER}, {"team", SPEND_TEAM},
        {"role", SPEND_ROLE},
        {"model", SPEND_MODEL}, {"provider", SPEND_PROVIDER}, {"key", SPEND_KEY}};
    int64_t since = clock_wall_ms() - 7 * 24 * (int64_t)HOUR_MS;
    enum weir_err err = api_query(w);
    if (err == WEIR_OK) err = time_of(w, "since", &since);
    if (err != WEIR_OK) return err;
    const char *by = form_get(&w->query, "by");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (by ? strcmp(by, all[i].name) != 0 : i > 0) continue;
        struct rows rows = {.out = out, .by = all[i].name};
        buf_str(out, "{\"object\":\"list\",\"data\":[");
        err = spend_by(w->db, all[i].by, since / HOUR_MS * HOUR_MS, write_spend, &rows);
        buf_str(out, "],\"next\":null}");
        return err;
    }
    return problem_set(&w->problem, WEIR_INVALID, "by", "by must be one of user|team|role|model|provider|key.");
}

static void write_raw(struct buf *out, const char *lead, const char *json)
{
    buf_str(out, lead);
    buf_str(out, json ? json : "null");
}

static void write_change(const struct admin_change *c, void *arg)
{
    struct rows *to = arg;
    if (++to->count > to->most) return;
    to->last = c->id;
    api_time(to->out, to->count > 1 ? ",{\"time\":" : "{\"time\":", c->time);
    api_member(to->out, ",\"who\":", c->by.name);
    api_member(to->out, ",\"via\":", c->by.via);
    api_member(to->out, ",\"request_id\":", c->by.request_id);
    api_member(to->out, ",\"action\":", c->action);
    api_member(to->out, ",\"subject\":", c->subject);
    write_raw(to->out, ",\"before\":", c->before);
    write_raw(to->out, ",\"after\":", c->after);
    buf_char(to->out, '}');
}

enum weir_err api_changes(struct web_way *w, struct buf *out)
{
    enum weir_err err = api_query(w);
    if (err != WEIR_OK) return err;
    struct rows rows = {.out = out, .most = api_most(w)};
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    err = admin_changes_page(w->db, form_int(&w->query, "below", 1, INT64_MAX, 0), rows.most + 1, write_change, &rows);
    if (rows.count > rows.most) buf_printf(out, "],\"next\":%lld}", (long long)rows.last);
    else buf_str(out, "],\"next\":null}");
    return err;
}
