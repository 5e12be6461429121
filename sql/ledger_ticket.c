/* Tickets and attempts as rows, and the replacing of what they hold by what was used. */
#include "sql/ledger_room.h"
#include "sql_ids.h"

static enum weir_err keep(struct arena *a, struct stmt *s, int col, const char **out)
{
    struct span text = stmt_get_text(s, col);
    *out = arena_str(a, text);
    return text.at && !*out ? WEIR_NOMEM : WEIR_OK;
}

static enum weir_err read_ticket(struct stmt *s, struct arena *a, struct ticket *t)
{
    const char **const texts[] = {&t->row.request_id, &t->row.user, &t->row.team, &t->row.role, &t->row.rolegroup,
                                  &t->row.key, &t->row.ip, &t->row.endpoint, &t->row.alias, &t->row.provider, &t->row.model};
    int64_t *const numbers[] = {&t->prompt_bound, &t->output_bound, &t->cost_bound, &t->prompt_estimate,
                                &t->output_estimate, &t->cost_estimate, &t->attempts};
    enum weir_err err = WEIR_OK;
    t->row.time = stmt_get_int(s, 0);
    t->process = stmt_get_int(s, 1);
    for (int i = 0; i < 11 && err == WEIR_OK; i++) err = keep(a, s, 2 + i, texts[i]);
    t->row.stream = stmt_get_int(s, 13) != 0;
    for (int i = 0; i < 7; i++) *numbers[i] = stmt_get_int(s, 14 + i);
    return err == WEIR_OK ? pairs_unpack(stmt_get_blob(s, 21), a, &t->pairs) : err;
}

enum weir_err ticket_read(struct db *db, int64_t id, struct arena *a, struct ticket *out, bool *found)
{
    struct stmt *s = db_stmt(db, SQL_TICKET_GET);
    *out = (struct ticket){.id = id};
    stmt_int(s, 1, id);
    enum weir_err err = stmt_step(s, found);
    if (err == WEIR_OK && *found) err = read_ticket(s, a, out);
    stmt_reset(s);
    return err;
}

enum weir_err ticket_take(struct db *db, int64_t id, struct arena *a, struct ticket *out, bool *found)
{
    struct stmt *s = db_stmt(db, SQL_TICKET_HELD);
    *out = (struct ticket){.id = id};
    stmt_int(s, 1, id);
    enum weir_err err = stmt_step(s, found);
    if (err == WEIR_OK && *found) {
        out->row.time = stmt_get_int(s, 0);
        out->attempts = stmt_get_int(s, 1);
        err = pairs_unpack(stmt_get_blob(s, 2), a, &out->pairs);
    }
    stmt_reset(s);
    if (err != WEIR_OK || !*found) return err;
    s = db_stmt(db, SQL_TICKET_DROP);
    stmt_int(s, 1, id);
    return stmt_run(s);
}

enum weir_err attempts_read(struct db *db, int64_t ticket, struct arena *a, struct attempt **out, int *count)
{
    bool row;
    int room = 0;
    struct stmt *s = db_stmt(db, SQL_ATTEMPT_OF_TICKET);
    stmt_int(s, 1, ticket);
    enum weir_err err;
    *out = NULL;
    *count = 0;
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        if (*count == room) {
            struct attempt *more = arena_alloc(a, sizeof *more * (size_t)(room = room ? room * 2 : 4));
            if (!more) { err = WEIR_NOMEM; break; }
            if (*count) memcpy(more, *out, sizeof *more * (size_t)*count);
            *out = more;
        }
        struct attempt *at = &(*out)[*count];
        *at = (struct attempt){.number = stmt_get_int(s, 0), .sequence = stmt_get_int(s, 1), .time = stmt_get_int(s, 2),
                               .ended = stmt_get_int(s, 4) != 0, .tokens = stmt_get_int(s, 5), .cost = stmt_get_int(s, 6),
                               .soft_tokens = stmt_get_int(s, 7), .soft_cost = stmt_get_int(s, 8)};
        if ((err = keep(a, s, 3, &at->provider)) != WEIR_OK) break;
        if ((err = pairs_unpack(stmt_get_blob(s, 9), a, &at->pairs)) != WEIR_OK) break;
        ++*count;
    }
    stmt_reset(s);
    return err;
}

enum weir_err attempt_insert(struct db *db, int64_t ticket, const struct attempt *at, struct span pairs)
{
    struct stmt *s = db_stmt(db, SQL_ATTEMPT_ADD);
    stmt_int(s, 1, ticket);
    stmt_int(s, 2, at->number);
    stmt_int(s, 3, at->sequence);
    stmt_int(s, 4, at->time);
    stmt_text(s, 5, span_of(at->provider));
    stmt_int(s, 6, at->ended);
    stmt_int(s, 7, at->tokens);
    stmt_int(s, 8, at->cost);
    stmt_int(s, 9, at->soft_tokens);
    stmt_int(s, 10, at->soft_cost);
    stmt_blob(s, 11, pairs);
    return stmt_run(s);
}

/* ---- settling pairs ---- */

bool touch_counts(const struct touch *t, int64_t number, int64_t time)
{
    const struct rule *r = &t->gauge->rule;
    if (number < t->now.first) return false;
    return r->shape != SHAPE_WINDOW || window_slot(r->seconds, time) >= window_edge(r->seconds, t->now.at);
}

static enum weir_err to_slot(struct db *db, struct touch *t, int64_t time, int64_t n)
{
    const struct rule *r = &t->gauge->rule;
    return r->shape == SHAPE_WINDOW ? touch_to_slot(db, t, window_slot(r->seconds, time), n) : WEIR_OK;
}

static enum weir_err give_back(struct db *db, struct touch *t, int64_t number, int64_t time, int64_t n)
{
    if (!touch_counts(t, number, time)) return WEIR_OK;
    if (t->gauge->rule.shape == SHAPE_BUCKET) {
        counter_give_back(&t->gauge->rule, &t->now, n, time);
        return WEIR_OK;
    }
    t->now.used -= n;
    return to_slot(db, t, time, -n);
}

static enum weir_err charge(struct db *db, struct touch *t, int64_t number, int64_t time, int64_t n)
{
    return n > 0 && touch_counts(t, number, time) ? to_slot(db, t, time, counter_charge(&t->now, n)) : WEIR_OK;
}

static enum weir_err settle_pair(struct ledger *l, struct db *db, const struct pair *p, int64_t number, int64_t time,
                                 const struct actual *used, bool *over)
{
    int64_t n = p->metric == METRIC_TOKENS ? used->tokens : p->metric == METRIC_COST ? used->cost : 0;
    struct gauge *g;
    struct touch *t;
    if (p->metric == METRIC_REQUESTS && !used->give_back) return WEIR_OK; /* charged at admission */
    if ((p->flags & PAIR_HARD) && p->metric != METRIC_CONCURRENCY && n > p->amount) *over = true;
    enum weir_err err = ledger_gauge(l, db, p->counter, &g);
    if (err != WEIR_OK || !g) return err;
    err = ledger_touch(l, db, g, &t);
    if (err != WEIR_OK) return err;
    if (p->metric == METRIC_REQUESTS) return give_back(db, t, number, time, p->amount);
    t->now.held -= p->amount;
    return charge(db, t, number, time, n);
}

enum weir_err pairs_settle(struct ledger *l, struct db *db, const struct pairs *pairs, int64_t number, int64_t time,
                           const struct actual *used, struct arena *a, struct charged *out)
{
    int64_t *ids = arena_alloc(a, sizeof *ids * (size_t)(pairs->count + 1));
    int count = 0;
    enum weir_err err = ids ? WEIR_OK : WEIR_NOMEM;
    *out = (struct charged){SPAN_NONE, false};
    for (int i = 0; i < pairs->count && err == WEIR_OK; i++) {
        const struct pair *p = &pairs->at[i];
        err = settle_pair(l, db, p, number, time, used, &out->over);
        if (p->metric != METRIC_CONCURRENCY && !(p->metric == METRIC_REQUESTS && used->give_back)) ids[count++] = p->counter;
    }
    return err == WEIR_OK && count ? ids_pack(ids, count, a, &out->counters) : err;
}

enum weir_err attempt_close(struct ledger *l, struct db *db, int64_t ticket, struct arena *a, const struct attempt *at,
                            const struct ledger_use *use)
{
    struct actual used = {use->tokens, use->cost, !use->sent};
    struct charged charged;
    enum weir_err err = pairs_settle(l, db, &at->pairs, at->sequence, at->time, &used, a, &charged);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_ATTEMPT_END);
    stmt_int(s, 1, ticket);
    stmt_int(s, 2, at->number);
    stmt_int(s, 3, use->tokens);
    stmt_int(s, 4, use->cost);
    stmt_blob(s, 5, charged.counters);
    return stmt_run(s);
}
