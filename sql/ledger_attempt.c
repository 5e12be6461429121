/* Attempts upstream: limits on a provider are held for each; from the second on the caller's holds are raised first. */
#include "sql/ledger_room.h"
#include "sql_ids.h"

static int64_t sum(int64_t a, int64_t b) { return a > INT64_MAX - b ? INT64_MAX : a + b; }

static int64_t priced(const struct price *p, int64_t prompt, int64_t output)
{
    int64_t cost = price_bound(p, prompt, output);
    return cost > 0 ? cost : 0;
}

static struct attempt attempt_for(const struct ledger *l, const struct ledger_try *t)
{
    return (struct attempt){.number = t->number, .sequence = l->last_ticket + 1, .time = l->now, .provider = t->provider,
                            .tokens = sum(t->prompt_bound, t->output_bound),
                            .soft_tokens = sum(t->prompt_estimate, t->output_estimate),
                            .cost = priced(&t->price, t->prompt_bound, t->output_bound),
                            .soft_cost = priced(&t->price_estimate, t->prompt_estimate, t->output_estimate)};
}

/* All limits of the provider that are in l->touch. */
static enum weir_err check_provider(struct ledger *l, struct db *db, const struct ledger_try *t, const struct need *need,
                                    struct ledger_refusal *refusal)
{
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < l->count && err == WEIR_OK; i++) {
        const struct rule *r = &l->touch[i].gauge->rule;
        if (r->metric == METRIC_COST && r->mode != MODE_OBSERVE && !t->price.known) {
            touch_refusal(l, &l->touch[i], LEDGER_UNPRICED, refusal);
            return WEIR_OK;
        }
        err = touch_check(l, db, &l->touch[i], need_of(need, r), refusal);
    }
    return err;
}

/* What all attempts together hold: what ended ones used, what open ones may. */
static struct need total_of(const struct attempt *all, int count)
{
    struct need n = {0};
    for (int i = 0; i < count; i++) {
        n.tokens = sum(n.tokens, all[i].tokens);
        n.cost = sum(n.cost, all[i].cost);
        n.soft_tokens = sum(n.soft_tokens, all[i].soft_tokens);
        n.soft_cost = sum(n.soft_cost, all[i].soft_cost);
    }
    return n;
}

/* The caller's pairs, raised, behind what is in l->touch already. Nothing is changed if one refuses. */
static enum weir_err raise_pairs(struct ledger *l, struct db *db, struct ticket *t, const struct ledger_try *try,
                                 const struct need *need, struct ledger_refusal *refusal)
{
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < t->pairs.count && err == WEIR_OK; i++) {
        struct pair *p = &t->pairs.at[i];
        struct gauge *g;
        struct touch *touch;
        if (p->metric != METRIC_TOKENS && p->metric != METRIC_COST) continue;
        err = ledger_gauge(l, db, p->counter, &g);
        if (err != WEIR_OK || !g) continue;
        if ((err = ledger_touch(l, db, g, &touch)) != WEIR_OK) break;
        bool hard = p->flags & PAIR_HARD;
        int64_t want = p->metric == METRIC_TOKENS ? hard ? need->tokens : need->soft_tokens
                                                  : hard ? need->cost : need->soft_cost;
        if (p->metric == METRIC_COST && g->rule.mode != MODE_OBSERVE && !try->price.known)
            touch_refusal(l, touch, LEDGER_UNPRICED, refusal);
        else if (want > p->amount)
            err = touch_check(l, db, touch, want - p->amount, refusal);
        touch->now.held -= p->amount;
        p->amount = counter_hold(&touch->now, want);
    }
    return err;
}

static enum weir_err put_ticket(struct db *db, const struct ticket *t, const struct need *need, const struct ledger_try *try,
                                int64_t attempts, struct arena *a)
{
    struct span pairs;
    int64_t prompt = sum(t->prompt_bound, try->prompt_bound), soft = sum(t->prompt_estimate, try->prompt_estimate);
    enum weir_err err = pairs_pack_list(t->pairs.at, t->pairs.count, a, &pairs);
    if (err != WEIR_OK) return err;
    if (prompt > need->tokens) prompt = need->tokens;
    if (soft > need->soft_tokens) soft = need->soft_tokens;
    struct stmt *s = db_stmt(db, SQL_TICKET_PUT);
    const int64_t values[] = {t->id, prompt, need->tokens - prompt, need->cost, soft, need->soft_tokens - soft,
                              need->soft_cost, attempts};
    for (int i = 0; i < 8; i++) stmt_int(s, 1 + i, values[i]);
    stmt_blob(s, 9, pairs);
    return stmt_run(s);
}

/* The first attempt of a ticket whose provider has no limits left no row: it holds what was admitted. */
static struct attempt unwritten(const struct ticket *t)
{
    return (struct attempt){.number = 1, .sequence = t->id, .time = t->row.time,
                            .provider = t->row.provider ? t->row.provider : "", .tokens = sum(t->prompt_bound,
                                    t->output_bound),
                            .cost = t->cost_bound > 0 ? t->cost_bound : 0,
                            .soft_tokens = sum(t->prompt_estimate, t->output_estimate),
                            .soft_cost = t->cost_estimate > 0 ? t->cost_estimate : 0};
}

struct going { struct attempt *all; int count; bool add_first; };

static enum weir_err read_going(struct db *db, const struct ticket *t, const struct attempt *new, struct arena *a,
                                struct going *out)
{
    struct attempt *stored;
    enum weir_err err = attempts_read(db, t->id, a, &stored, &out->count);
    if (err != WEIR_OK) return err;
    out->add_first = new->number > 1 && !(out->count && stored[0].number == 1);
    out->all = arena_alloc(a, sizeof *out->all * (size_t)(out->count + 2));
    if (!out->all) return WEIR_NOMEM;
    for (int i = 0; i < out->count; i++) {
        if (stored[i].number == new->number) return WEIR_EXISTS;
        out->all[i] = stored[i];
    }
    if (out->add_first) out->all[out->count++] = unwritten(t);
    out->all[out->count++] = *new;
    return WEIR_OK;
}

static enum weir_err write_attempt(struct ledger *l, struct db *db, const struct ticket *t, const struct ledger_try *try,
                                   const struct going *going, const struct need *need, int provider_touches, struct arena *a)
{
    struct span pairs = SPAN_NONE;
    int touches = l->count;
    struct need own = total_of(&going->all[going->count - 1], 1);
    for (int i = 0; i < provider_touches; i++) touch_take(l, &l->touch[i], need_of(&own, &l->touch[i].gauge->rule));
    enum weir_err err = ledger_write_touches(l, db);
    l->count = provider_touches;
    if (err == WEIR_OK) err = pairs_pack(l, a, &pairs);
    l->count = touches;
    l->last_ticket++;
    if (err == WEIR_OK && going->add_first) err = attempt_insert(db, t->id, &going->all[going->count - 2], SPAN(""));
    if (err == WEIR_OK) err = attempt_insert(db, t->id, &going->all[going->count - 1], pairs);
    if (err == WEIR_OK && try->number > 1) return put_ticket(db, t, need, try, going->count, a);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_TICKET_ATTEMPTS);
    stmt_int(s, 1, t->id);
    stmt_int(s, 2, going->count);
    return stmt_run(s);
}

static enum weir_err try_open(struct ledger *l, struct db *db, const struct ledger_try *t, struct arena *a,
                              enum ledger_may *may, struct ledger_refusal *refusal)
{
    struct attempt new = attempt_for(l, t);
    struct need need = total_of(&new, 1);
    struct ticket ticket;
    struct going going;
    bool found;
    int provider_touches = l->count;
    enum weir_err err = check_provider(l, db, t, &need, refusal);
    if (refusal->kind != LEDGER_NOT_REFUSED) *may = LEDGER_SKIP_TARGET;
    if (err != WEIR_OK || *may != LEDGER_GO) return err;
    err = ticket_read(db, t->ticket, a, &ticket, &found);
    if (err == WEIR_OK && !found) err = WEIR_NOT_FOUND;
    if (err == WEIR_OK) err = read_going(db, &ticket, &new, a, &going);
    if (err != WEIR_OK) return err;
    if (t->number > 1) {
        need = total_of(going.all, going.count);
        err = raise_pairs(l, db, &ticket, t, &need, refusal);
        if (refusal->kind != LEDGER_NOT_REFUSED) *may = LEDGER_STOP;
        if (err != WEIR_OK || *may != LEDGER_GO) return err;
    }
    return write_attempt(l, db, &ticket, t, &going, &need, provider_touches, a);
}

enum weir_err ledger_attempt(struct ledger *l, struct db *db, const struct ledger_try *t, enum ledger_may *may,
                             struct ledger_refusal *refusal)
{
    struct arena a;
    *may = LEDGER_GO;
    *refusal = (struct ledger_refusal){0};
    if (t->number < 1 || !t->provider || t->prompt_bound < 0 || t->output_bound < 0 || t->prompt_estimate < 0 ||
        t->output_estimate < 0) return WEIR_INVALID;
    enum weir_err err = ledger_look(l, db, t->now_ms);
    if (err == WEIR_OK) err = ledger_touch_kind(l, db, KIND_PROVIDER, t->provider);
    if (err != WEIR_OK) return err;
    if (t->number == 1 && l->count == 0) {
        ledger_unchanged(l);
        return WEIR_OK;
    }
    arena_init(&a);
    err = try_open(l, db, t, &a, may, refusal);
    if (err == WEIR_OK && *may != LEDGER_GO) ledger_unchanged(l);
    else if (err == WEIR_OK) err = ledger_done(l, db);
    arena_end(&a);
    return err;
}

enum weir_err ledger_provider_is_hard(struct ledger *l, struct db *db, int64_t now_ms, const char *provider, bool *hard)
{
    *hard = false;
    enum weir_err err = ledger_look(l, db, now_ms);
    if (err == WEIR_OK) err = ledger_touch_kind(l, db, KIND_PROVIDER, provider);
    if (err != WEIR_OK) return err;
    for (int i = 0; i < l->count; i++) {
        const struct rule *r = &l->touch[i].gauge->rule;
        *hard |= r->mode == MODE_HARD && (r->metric == METRIC_TOKENS || r->metric == METRIC_COST);
    }
    ledger_unchanged(l);
    return WEIR_OK;
}

/* The first attempt, if it left no row, gets one, ended. */
static enum weir_err end_unwritten(struct db *db, const struct ticket *t, const struct ledger_use *use)
{
    struct attempt at = unwritten(t);
    if (use->number != 1) return WEIR_NOT_FOUND;
    at.ended = true;
    at.provider = use->provider ? use->provider : at.provider;
    at.tokens = at.soft_tokens = use->tokens;
    at.cost = at.soft_cost = use->cost;
    enum weir_err err = attempt_insert(db, t->id, &at, SPAN(""));
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_TICKET_ATTEMPTS);
    stmt_int(s, 1, t->id);
    stmt_int(s, 2, t->attempts + 1);
    return stmt_run(s);
}

static enum weir_err end_attempt(struct ledger *l, struct db *db, int64_t ticket, const struct ledger_use *use,
                                 struct arena *a)
{
    struct ticket t;
    struct attempt *all;
    bool found;
    int count;
    enum weir_err err = ticket_read(db, ticket, a, &t, &found);
    if (err != WEIR_OK || !found) return err;
    err = attempts_read(db, ticket, a, &all, &count);
    for (int i = 0; err == WEIR_OK && i < count; i++) {
        if (all[i].number != use->number) continue;
        if (all[i].ended) return WEIR_OK;
        err = attempt_close(l, db, ticket, a, &all[i], use);
        return err == WEIR_OK ? ledger_write_touches(l, db) : err;
    }
    return err == WEIR_OK ? end_unwritten(db, &t, use) : err;
}

enum weir_err ledger_attempt_end(struct ledger *l, struct db *db, int64_t ticket, int64_t now_ms,
                                 const struct ledger_use *use)
{
    struct arena a;
    if (use->number < 1 || use->tokens < 0 || use->cost < 0) return WEIR_INVALID;
    enum weir_err err = ledger_look(l, db, now_ms);
    if (err != WEIR_OK) return err;
    arena_init(&a);
    err = end_attempt(l, db, ticket, use, &a);
    if (err == WEIR_OK) err = ledger_done(l, db);
    arena_end(&a);
    return err;
}
