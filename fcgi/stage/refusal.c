/* A limit's refusal as a sentence: which limit, of whom, how much is used, and when it passes. */
#include "fcgi/stage/refusal.h"

#include <stdio.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

#define SCOPE_SHOWN  100 /* bytes of a name */
#define RETRY_MOST_S 60 /* some SDKs sleep through whatever they are told (WIRE.md 1) */

static void amount_text(enum metric metric, int64_t n, char out[64])
{
    char money[MONEY_TEXT];
    if (metric == METRIC_COST) {
        money_text(n, money);
        snprintf(out, 64, "$%s", money);
    } else {
        snprintf(out, 64, "%lld", (long long)n);
    }
}

static void shape_text(const struct ledger_refusal *r, char out[80])
{
    if (r->shape == SHAPE_WINDOW) snprintf(out, 80, " in %lld s", (long long)r->seconds);
    else if (r->shape == SHAPE_CALENDAR) snprintf(out, 80, " a %s", calendar_names[r->unit]);
    else snprintf(out, 80, "%s", r->metric == METRIC_CONCURRENCY ? " in flight" : "");
}

static void passing_text(const struct ledger_refusal *r, char out[80])
{
    char when[TIME_TEXT];
    if (r->asked > r->limit && r->retry_after_ms < 0) {
        snprintf(out, 80, "Waiting does not help; asking for less may.");
    } else if (r->retry_after_ms < 0) {
        snprintf(out, 80, "It does not pass by itself.");
    } else if (r->by_settling) {
        snprintf(out, 80, "It passes as requests in flight end.");
    } else {
        time_text(clock_wall_ms() + r->retry_after_ms, when);
        snprintf(out, 80, "It passes at %s.", when);
    }
}

enum weir_err refusal_problem(const struct ledger_refusal *r, struct problem *p)
{
    char limit[64], used[64], held[64], asked[64], shape[80], passing[80];
    if (r->kind == LEDGER_UNPRICED)
        return problem_set(p, WEIR_UNPRICED, "model", "The model has no price, and a limit on cost (%.*s) applies.",
                           (int)text_cut(span_of(r->via), SCOPE_SHOWN), r->via);
    int shown = (int)text_cut(span_of(r->scope), SCOPE_SHOWN);
    amount_text(r->metric, r->limit, limit);
    amount_text(r->metric, r->used, used);
    amount_text(r->metric, r->held, held);
    amount_text(r->metric, r->asked, asked);
    shape_text(r, shape);
    passing_text(r, passing);
    const char *how = r->asked > r->limit ? "too low for this request" : "reached";
    problem_set(p, r->soon ? WEIR_RATE_LIMITED : WEIR_QUOTA, NULL,
                "The limit of %s %s%s on %.*s is %s: %s used, %s held, %s asked for. %s", limit, metric_names[r->metric],
                shape, shown, r->scope, how, used, held, asked, passing);
    if (r->soon && r->retry_after_ms > 0) {
        int64_t s = (r->retry_after_ms + 999) / 1000;
        p->retry_after_s = s > RETRY_MOST_S ? RETRY_MOST_S : (int)s;
    }
    return p->err;
}
