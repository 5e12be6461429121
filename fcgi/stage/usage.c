/* A caller's own limits and its spend this month, read on a reader's connection and written as JSON. */
#include "fcgi/stage/usage.h"

#include <time.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "sql/spend.h"

struct report {
    const struct request *r;
    const struct caller *c;
    struct buf *out;
    const char *lead;
    int64_t now_ms;
};

static void text_member(struct buf *out, const char *lead, const char *text)
{
    buf_str(out, lead);
    json_string(out, span_of(text));
}

static void amount(struct buf *out, const char *lead, enum metric metric, int64_t n)
{
    char money[MONEY_TEXT];
    buf_str(out, lead);
    if (metric != METRIC_COST) {
        buf_int(out, n);
        return;
    }
    money_text(n < 0 ? 0 : n, money);
    json_string(out, span_of(money));
}

static void time_member(struct buf *out, const char *lead, int64_t ms)
{
    char when[TIME_TEXT];
    if (ms >= 0) time_text(ms, when);
    text_member(out, lead, ms >= 0 ? when : NULL);
}

static void limit_object(const struct ledger_line *l, void *arg)
{
    struct report *p = arg;
    enum metric m = l->rule.metric;
    buf_str(p->out, p->lead);
    text_member(p->out, "{\"scope\":", l->scope);
    text_member(p->out, ",\"via\":", l->via);
    text_member(p->out, ",\"metric\":", metric_names[m]);
    text_member(p->out, ",\"shape\":", l->rule.shape == SHAPE_NONE ? NULL : shape_names[l->rule.shape]);
    text_member(p->out, ",\"mode\":", mode_names[l->rule.mode]);
    if (l->rule.shape == SHAPE_CALENDAR) text_member(p->out, ",\"period\":", calendar_names[l->rule.unit]);
    if (l->rule.shape == SHAPE_WINDOW) buf_printf(p->out, ",\"seconds\":%lld", (long long)l->rule.seconds);
    amount(p->out, ",\"limit\":", m, l->rule.amount);
    amount(p->out, ",\"used\":", m, l->used);
    amount(p->out, ",\"held\":", m, l->held);
    amount(p->out, ",\"remaining\":", m, l->remaining);
    time_member(p->out, ",\"resets_at\":", l->resets_at);
    buf_char(p->out, '}');
    p->lead = ",";
}

static int64_t month_start(int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    struct tm t;
    gmtime_r(&now, &t);
    t.tm_mday = 1;
    t.tm_hour = t.tm_min = t.tm_sec = 0;
    return (int64_t)timegm(&t) * 1000;
}

static enum weir_err write_month(struct db *db, struct report *p)
{
    struct spend sum;
    char money[MONEY_TEXT];
    int64_t since = month_start(p->now_ms);
    enum weir_err err = p->c->user ? spend_of_user(db, p->c->user, since, &sum)
                                   : spend_of_key(db, p->c->key.name, since, &sum);
    if (err != WEIR_OK) return err;
    money_text(sum.cost, money);
    time_member(p->out, "],\"month\":{\"since\":", since);
    buf_printf(p->out, ",\"requests\":%lld,\"prompt_tokens\":%lld,\"cached_tokens\":%lld", (long long)sum.requests,
               (long long)sum.prompt_tokens, (long long)sum.cached_tokens);
    buf_printf(p->out, ",\"completion_tokens\":%lld,\"cost\":\"%s\"}}", (long long)sum.completion_tokens, money);
    return p->out->err;
}

static enum weir_err write_report(struct db *db, void *arg)
{
    struct report *p = arg;
    const struct ledger_who who = {.user = p->c->user, .team = p->c->team, .role = p->c->role, .rolegroup = p->c->rolegroup,
                                   .key = p->c->key.name, .ip = p->c->ip};
    buf_str(p->out, "{\"object\":\"usage\",\"limits\":[");
    enum weir_err err = ledger_usage(db, &who, p->now_ms, limit_object, p);
    return err == WEIR_OK ? write_month(db, p) : err;
}

enum weir_err usage_report(struct store *store, const struct request *r, const struct caller *c, struct buf *out)
{
    struct report p = {.r = r, .c = c, .out = out, .lead = "", .now_ms = clock_wall_ms()};
    return store_read(store, write_report, &p);
}
