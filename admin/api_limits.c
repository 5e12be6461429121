/* Limits as JSON: listed with what they have counted, set, removed, reset; and what-if. */
#include "admin/api.h"

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "sql/ledger.h"

/* ---- listing ---- */

struct lines { struct buf *out; int64_t tokens; int count; };

static void amount(struct buf *out, const char *lead, const struct rule *r, int64_t n)
{
    if (r->metric == METRIC_COST) {
        api_money(out, lead, n > 0 ? n : 0);
        return;
    }
    buf_str(out, lead);
    buf_int(out, n);
}

static void write_shape(struct buf *out, const struct rule *r)
{
    char rate[MONEY_TEXT];
    api_member(out, ",\"shape\":", r->shape == SHAPE_NONE ? NULL : shape_names[r->shape]);
    api_member(out, ",\"period\":", r->shape == SHAPE_CALENDAR ? calendar_names[r->unit] : NULL);
    if (r->shape == SHAPE_WINDOW) buf_printf(out, ",\"seconds\":%lld", (long long)r->seconds);
    else buf_str(out, ",\"seconds\":null");
    if (r->shape == SHAPE_BUCKET && r->metric == METRIC_COST) {
        api_money(out, ",\"refill_per_sec\":", r->refill);
    } else if (r->shape == SHAPE_BUCKET) {
        rate_text(r->refill, rate);
        buf_printf(out, ",\"refill_per_sec\":%s", rate);
    } else {
        buf_str(out, ",\"refill_per_sec\":null");
    }
}

static void write_line(const struct ledger_line *l, void *arg)
{
    struct lines *to = arg;
    struct buf *out = to->out;
    const struct rule *r = &l->rule;
    api_member(out, to->count++ ? ",{\"scope\":" : "{\"scope\":", l->scope);
    api_member(out, ",\"via\":", l->via);
    api_member(out, ",\"metric\":", metric_names[r->metric]);
    write_shape(out, r);
    api_member(out, ",\"mode\":", mode_names[r->mode]);
    amount(out, ",\"limit\":", r, r->amount);
    amount(out, ",\"used\":", r, l->used);
    amount(out, ",\"held\":", r, l->held);
    amount(out, ",\"remaining\":", r, l->remaining);
    api_time(out, ",\"resets_at\":", l->resets_at);
    api_time(out, ",\"warned_at\":", l->warned);
    buf_printf(out, ",\"utc_offset\":%lld,\"warn_percent\":%lld", (long long)r->utc_offset_min, (long long)r->warn_percent);
    int64_t need = r->metric == METRIC_TOKENS ? to->tokens : 1;
    if (to->tokens)
        buf_printf(out, ",\"refuses\":%s",
                   r->mode != MODE_OBSERVE && l->remaining < need ? "true" : "false");
    buf_char(out, '}');
}

enum weir_err api_limits(struct web_way *w, struct buf *out)
{
    struct lines to = {.out = out};
    char next[LEDGER_SCOPE_MAX] = "";
    enum weir_err err = api_query(w);
    if (err != WEIR_OK) return err;
    const char *scope = form_get(&w->query, "scope");
    bool members = form_get(&w->query, "members") != NULL;
    if (scope && scope_fault(scope)) return problem_set(&w->problem, WEIR_INVALID, "scope", "scope %s.", scope_fault(scope));
    if (members && !scope) return problem_set(&w->problem, WEIR_INVALID, "members", "members needs a scope.");
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    err = scope ? ledger_list(w->db, scope, members, clock_wall_ms(), write_line, &to)
                : ledger_list_part(w->db, form_text(&w->query, "from"), NULL, api_most(w), clock_wall_ms(), next,
                                   write_line, &to);
    api_member(out, "],\"next\":", *next ? next : NULL);
    buf_char(out, '}');
    return err;
}

enum weir_err api_what_if(struct web_way *w, struct buf *out)
{
    static const char *const names[] = {"user", "team", "role", "rolegroup", "key", "model", "ip"};
    struct ledger_who who = {0};
    const char **const to[] = {&who.user, &who.team, &who.role, &who.rolegroup, &who.key, &who.model, &who.ip};
    enum weir_err err = api_query(w);
    if (err != WEIR_OK) return err;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = form_get(&w->query, names[i]);
        if (value && strlen(value) > BOUND_ALIAS) return problem_set(&w->problem, WEIR_INVALID, names[i],
            "%s is too long.", names[i]);
        if (value && *value) *to[i] = value;
    }
    struct lines lines = {.out = out, .tokens = form_int(&w->query, "tokens", 1, INT64_MAX, 1)};
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    err = ledger_usage(w->db, &who, clock_wall_ms(), write_line, &lines);
    buf_str(out, "],\"next\":null}");
    return err;
}

/* ---- changing ---- */

enum weir_err api_limit_put(struct web_way *w, struct buf *out)
{
    return api_put_entry(w, out, SECTION_LIMITS);
}

struct selection { const char *scope, *metric, *shape, *period, *member; int64_t seconds; };

/* Which limits are meant: as `weir limit remove` has it. */
static enum weir_err selection_of(struct web_way *w, const struct selection *s, struct limit_key *k)
{
    *k = (struct limit_key){s->scope, s->metric, s->shape, s->period, s->seconds};
    if (!s->scope || scope_fault(s->scope))
        return problem_set(&w->problem, WEIR_INVALID, "scope", "scope %s.", s->scope ? scope_fault(s->scope) : "is missing");
    if (!s->metric || !choice_is(LIMIT_METRICS, span_of(s->metric)))
        return problem_set(&w->problem, WEIR_INVALID, "metric", "metric must be one of " LIMIT_METRICS ".");
    if (s->shape && !choice_is(LIMIT_SHAPES "|none", span_of(s->shape)))
        return problem_set(&w->problem, WEIR_INVALID, "shape", "shape must be one of " LIMIT_SHAPES ".");
    if (s->period && !choice_is(LIMIT_PERIODS, span_of(s->period)))
        return problem_set(&w->problem, WEIR_INVALID, "period", "period must be one of " LIMIT_PERIODS ".");
    return WEIR_OK;
}

enum weir_err api_limit_delete(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct limit_key k;
    int removed = 0;
    enum weir_err err = api_query(w);
    if (err != WEIR_OK) return err;
    const struct form *q = &w->query;
    const struct selection s = {form_get(q, "scope"), form_get(q, "metric"), form_get(q, "shape"),
                                form_get(q, "period"), NULL,
                                form_int(q, "seconds", 1, INT64_MAX, 0)};
    if ((err = selection_of(w, &s, &k)) != WEIR_OK) return err;
    if ((err = manage_limit_remove(&m, &k, &removed)) == WEIR_NOT_FOUND) return api_not_found(w, "limit");
    return err == WEIR_OK ? buf_printf(out, "{\"removed\":%d}", removed) : err;
}

enum weir_err api_limit_reset(struct web_way *w, struct buf *out)
{
    static const struct field table[] = {
        {"scope", FIELD_TEXT, offsetof(struct selection, scope), true, 1, BOUND_ALIAS + 16, NULL},
        {"metric", FIELD_TEXT, offsetof(struct selection, metric), true, 1, 32, NULL},
        {"shape", FIELD_TEXT, offsetof(struct selection, shape), false, 1, 32, NULL},
        {"period", FIELD_TEXT, offsetof(struct selection, period), false, 1, 32, NULL},
        {"member", FIELD_TEXT, offsetof(struct selection, member), false, 1, BOUND_ALIAS + 16, NULL},
        {"seconds", FIELD_INT, offsetof(struct selection, seconds), false, 1, INT64_MAX, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    struct manager m = web_manager(w);
    struct selection s = {0};
    struct limit_key k;
    int reset = 0;
    enum weir_err err = api_body(w, table, &s);
    if (err == WEIR_OK) err = selection_of(w, &s, &k);
    if (err != WEIR_OK) return err;
    err = manage_limit_reset(&m, &k, s.member, &reset);
    return err == WEIR_OK ? buf_printf(out, "{\"reset\":%d}", reset) : err;
}
