/* Admission: one look at every limit of a caller, one decision, and only then the writing of what is held. */
#include <stdio.h>
#include "sql/ledger_room.h"
#include "sql/ledger_process.h"
#include "sql_ids.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t sum(int64_t a, int64_t b) { return a > INT64_MAX - b ? INT64_MAX : a + b; }

static bool is_sound(const struct ledger_ask *ask)
{
    return ask->prompt_bound >= 0 && ask->output_bound >= 0 && ask->choices >= 1 && ask->output_floor >= 0 &&
           ask->prompt_estimate >= 0 && ask->output_estimate >= 0 && ask->request_id && ask->endpoint;
}

/* Limits that an asking of one request alone does not concern are left out. */
static void keep_requests(struct ledger *l)
{
    int kept = 0;
    for (int i = 0; i < l->count; i++) {
        enum metric m = l->touch[i].gauge->rule.metric;
        if (m == METRIC_REQUESTS || m == METRIC_CONCURRENCY) l->touch[kept++] = l->touch[i];
    }
    l->count = kept;
}

static bool is_unpriced(struct ledger *l, const struct ledger_ask *ask, struct ledger_grant *grant,
                        struct ledger_refusal *refusal)
{
    for (int i = 0; i < l->count; i++) {
        const struct rule *r = &l->touch[i].gauge->rule;
        if (r->metric != METRIC_COST || r->mode == MODE_OBSERVE) continue;
        grant->priced_only = true;
        if (ask->price.known) return false;
        touch_refusal(l, &l->touch[i], LEDGER_UNPRICED, refusal);
        return true;
    }
    return false;
}

/* What hard limits leave for output beside the prompt's bound; below 0: not even that fits. */
static int64_t output_left(struct ledger *l, const struct ledger_ask *ask, bool *hard)
{
    int64_t left = INT64_MAX;
    for (int i = 0; i < l->count; i++) {
        const struct rule *r = &l->touch[i].gauge->rule;
        int64_t room = counter_room(r, &l->touch[i].now);
        if (r->mode != MODE_HARD || (r->metric != METRIC_TOKENS && r->metric != METRIC_COST)) continue;
        *hard = true;
        if (r->metric == METRIC_COST) left = least(left, price_room(&ask->price, ask->prompt_bound, room));
        else left = least(left, room < ask->prompt_bound ? -1 : room - ask->prompt_bound);
    }
    return left;
}

static void grant_output(struct ledger *l, const struct ledger_ask *ask, struct ledger_grant *grant)
{
    int64_t n = ask->choices, floor = sum(ask->output_floor, n - 1) / n * n, left = output_left(l, ask, &grant->hard_tokens);
    floor = least(floor, ask->output_bound);
    grant->output = ask->output_bound;
    if (left >= ask->output_bound) return;
    grant->output = left > 0 ? left - left % n : 0;
    if (grant->output < floor) grant->output = floor;
    grant->clamped = grant->output < ask->output_bound;
}

static struct need need_for(const struct ledger_ask *ask, int64_t output)
{
    int64_t soft_output = least(ask->output_estimate, ask->output_bound); /* not what is granted: waiting would raise it */
    struct need n = {.tokens = sum(ask->prompt_bound, output), .soft_tokens = sum(ask->prompt_estimate, soft_output),
                     .cost = price_bound(&ask->price, ask->prompt_bound, output),
                     .soft_cost = price_bound(&ask->price_estimate, ask->prompt_estimate, soft_output)};
    if (ask->only_request) n = (struct need){0};
    if (n.cost < 0) n.cost = 0;
    if (n.soft_cost < 0) n.soft_cost = 0;
    return n;
}

static enum weir_err check_all(struct ledger *l, struct db *db, const struct need *need, struct ledger_refusal *refusal)
{
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < l->count && err == WEIR_OK; i++)
        err = touch_check(l, db, &l->touch[i], need_of(need, &l->touch[i].gauge->rule), refusal);
    return err;
}

static void note_tight(const struct touch *t, struct ledger_grant *grant)
{
    const struct rule *r = &t->gauge->rule;
    struct ledger_tight *to = r->metric == METRIC_REQUESTS ? &grant->requests : &grant->tokens;
    if ((r->metric != METRIC_REQUESTS && r->metric != METRIC_TOKENS) || r->mode == MODE_OBSERVE) return;
    int64_t room = counter_room(r, &t->now), remaining = room > 0 ? room : 0;
    if (to->known && to->remaining <= remaining) return;
    *to = (struct ledger_tight){true, r->amount, remaining, counter_reset_ms(r, &t->now)};
}

static enum weir_err insert_ticket(struct ledger *l, struct db *db, const struct ledger_ask *ask,
                                   const struct ledger_grant *grant, struct span pairs)
{
    int64_t soft_output = least(ask->output_estimate, ask->output_bound);
    bool none = ask->only_request;
    const char *const texts[] = {ask->request_id, ask->who.user, ask->who.team, ask->who.role, ask->who.rolegroup,
                                 ask->who.key, ask->who.ip, ask->endpoint, ask->who.model, ask->provider, ask->model};
    const int64_t amounts[] = {none ? 0 : ask->prompt_bound, none ? 0 : grant->output,
                               none ? 0 : price_bound(&ask->price, ask->prompt_bound, grant->output),
                               none ? 0 : ask->prompt_estimate, none ? 0 : soft_output,
                               none ? 0 : price_bound(&ask->price_estimate, ask->prompt_estimate, soft_output)};
    struct stmt *s = db_stmt(db, SQL_TICKET_ADD);
    stmt_int(s, 1, grant->ticket);
    stmt_int(s, 2, l->process);
    stmt_int(s, 3, l->now);
    for (int i = 0; i < 11; i++) stmt_text(s, 4 + i, span_of(texts[i]));
    stmt_int(s, 15, ask->stream);
    for (int i = 0; i < 6; i++) stmt_int(s, 16 + i, amounts[i]);
    stmt_blob(s, 22, pairs);
    return stmt_run(s);
}

static enum weir_err take_all(struct ledger *l, struct db *db, const struct need *need, struct ledger_grant *grant,
                              struct arena *a, struct span *pairs)
{
    for (int i = 0; i < l->count; i++) {
        struct touch *t = &l->touch[i];
        touch_take(l, t, need_of(need, &t->gauge->rule));
        if (t->gauge->rule.metric == METRIC_REQUESTS) touch_warn(l, t, &grant->warnings);
        note_tight(t, grant);
    }
    grant->ticket = ++l->last_ticket;
    enum weir_err err = ledger_write_touches(l, db);
    return err == WEIR_OK ? pairs_pack(l, a, pairs) : err;
}

enum weir_err ledger_take(struct ledger *l, struct db *db, const struct ledger_ask *ask, struct ledger_grant *grant,
                          struct ledger_refusal *refusal, struct arena *a, struct span *pairs)
{
    *grant = (struct ledger_grant){0};
    *refusal = (struct ledger_refusal){0};
    if (!is_sound(ask)) return WEIR_INVALID;
    enum weir_err err = ledger_look(l, db, ask->now_ms);
    if (err == WEIR_OK) err = ledger_touch_who(l, db, &ask->who);
    if (err != WEIR_OK) return err;
    grant->time = l->now;
    if (ask->only_request) keep_requests(l);
    if (!ask->only_request && !is_unpriced(l, ask, grant, refusal)) grant_output(l, ask, grant);
    struct need need = need_for(ask, grant->output);
    if (refusal->kind == LEDGER_NOT_REFUSED) err = check_all(l, db, &need, refusal);
    if (err != WEIR_OK) return err;
    if (refusal->kind == LEDGER_NOT_REFUSED) return take_all(l, db, &need, grant, a, pairs);
    for (int i = 0; i < l->count; i++) note_tight(&l->touch[i], grant);
    grant->output = 0;
    grant->clamped = false;
    ledger_unchanged(l);
    return WEIR_OK;
}

enum weir_err ledger_admit(struct ledger *l, struct db *db, const struct ledger_ask *ask, struct ledger_grant *grant,
                           struct ledger_refusal *refusal)
{
    struct arena a;
    _Alignas(max_align_t) char room[LEDGER_ROOM];
    struct span pairs = SPAN_NONE;
    arena_init_in(&a, room, sizeof room);
    enum weir_err err = ledger_take(l, db, ask, grant, refusal, &a, &pairs);
    if (err == WEIR_OK && grant->ticket) {
        err = ledger_process(l, db);
        if (err == WEIR_OK) err = insert_ticket(l, db, ask, grant, pairs);
        if (err == WEIR_OK) err = ledger_done(l, db);
    }
    if (err != WEIR_OK) *grant = (struct ledger_grant){0};
    arena_end(&a);
    return err;
}
