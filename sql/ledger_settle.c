/* Settling: the one way a ticket ends. Holds become charges, the audit row and its rollup are written, the ticket
 * goes, all in one step and once. */
#include "sql/ledger_room.h"
#include "sql_ids.h"

/* ---- attempts that are still open ---- */

static const struct ledger_use *use_of(const struct ledger_bill *bill, int64_t number)
{
    for (int i = 0; i < bill->use_count; i++)
        if (bill->uses[i].number == number) return &bill->uses[i];
    return NULL;
}

/* What the named and the ended leave of the row's totals. */
static struct ledger_use left_over(const struct ledger_bill *bill, const struct attempt *all, int count)
{
    struct ledger_use rest = {.sent = !bill->give_back, .tokens = bill->row->prompt_tokens + bill->row->completion_tokens,
                              .cost = bill->row->cost > 0 ? bill->row->cost : 0};
    for (int i = 0; i < count; i++) {
        const struct ledger_use *use = use_of(bill, all[i].number);
        if (!all[i].ended && !use) continue;
        rest.tokens -= all[i].ended ? all[i].tokens : use->tokens;
        rest.cost -= all[i].ended ? all[i].cost : use->cost;
    }
    if (rest.tokens < 0) rest.tokens = 0;
    if (rest.cost < 0) rest.cost = 0;
    return rest;
}

static enum weir_err close_attempts(struct ledger *l, struct db *db, const struct ledger_bill *bill, struct arena *a)
{
    struct attempt *all;
    int count;
    enum weir_err err = attempts_read(db, bill->ticket, a, &all, &count);
    if (err != WEIR_OK) return err;
    struct ledger_use rest = left_over(bill, all, count);
    for (int i = count - 1; i >= 0 && err == WEIR_OK; i--) {
        const struct ledger_use *use = use_of(bill, all[i].number);
        if (all[i].ended) continue;
        err = attempt_close(l, db, bill->ticket, a, &all[i], use ? use : &rest);
        if (!use) rest.tokens = rest.cost = 0;
    }
    return err;
}

/* ---- the audit row ---- */

static enum weir_err warned_text(struct ledger *l, struct db *db, const struct pairs *pairs, struct arena *a,
                                 const char **out)
{
    const struct gauge *warned = NULL;
    struct gauge *g;
    for (int i = 0; i < l->count && !warned; i++)
        if (l->touch[i].warned) warned = l->touch[i].gauge;
    for (int i = 0; i < pairs->count && !warned; i++) {
        if (!(pairs->at[i].flags & PAIR_WARNED)) continue;
        enum weir_err err = ledger_gauge(l, db, pairs->at[i].counter, &g);
        if (err != WEIR_OK) return err;
        warned = g;
    }
    if (!warned) return WEIR_OK;
    *out = arena_printf(a, "%s %s %s", warned->member, metric_names[warned->rule.metric], shape_names[warned->rule.shape]);
    return *out ? WEIR_OK : WEIR_NOMEM;
}

static enum weir_err write_record(struct ledger *l, struct db *db, const struct audit_row *row)
{
    enum weir_err err = ledger_write_touches(l, db);
    if (err == WEIR_OK) err = audit_insert(db, row);
    if (err == WEIR_OK) err = rollup_add(l, db, row);
    if (err == WEIR_OK) err = ledger_done(l, db);
    return err;
}

static enum weir_err settle_ticket(struct ledger *l, struct db *db, const struct ledger_bill *bill, struct ticket *t,
                                   struct arena *a, struct ledger_settled *out)
{
    struct audit_row row = *bill->row;
    struct actual used = {row.prompt_tokens + row.completion_tokens, row.cost > 0 ? row.cost : 0, bill->give_back};
    struct charged charged;
    enum weir_err err = t->attempts ? close_attempts(l, db, bill, a) : WEIR_OK;
    if (err == WEIR_OK) err = pairs_settle(l, db, &t->pairs, t->id, t->row.time, &used, a, &charged);
    if (err != WEIR_OK) return err;
    for (int i = 0; i < l->count; i++) touch_warn(l, &l->touch[i], &out->warnings);
    err = warned_text(l, db, &t->pairs, a, &row.warned);
    if (err != WEIR_OK) return err;
    row.time = t->row.time;
    row.ticket = t->id;
    row.counters = charged.counters;
    row.over_bound = out->over_bound = charged.over;
    if (charged.over && !row.error) row.error = "over_bound";
    out->first = true;
    return write_record(l, db, &row);
}

enum weir_err ledger_settle(struct ledger *l, struct db *db, const struct ledger_bill *bill, struct ledger_settled *out)
{
    struct arena a;
    _Alignas(max_align_t) char room[LEDGER_ROOM];
    struct ticket t;
    bool found = false;
    *out = (struct ledger_settled){0};
    if (bill->row->prompt_tokens < 0 || bill->row->completion_tokens < 0) return WEIR_INVALID;
    arena_init_in(&a, room, sizeof room);
    enum weir_err err = ledger_look(l, db, bill->now_ms);
    if (err == WEIR_OK) err = ticket_take(db, bill->ticket, &a, &t, &found);
    if (err == WEIR_OK && !found) ledger_unchanged(l);
    if (err == WEIR_OK && found) err = settle_ticket(l, db, bill, &t, &a, out);
    if (err != WEIR_OK) *out = (struct ledger_settled){0};
    arena_end(&a);
    return err;
}

enum weir_err ledger_at_once(struct ledger *l, struct db *db, const struct ledger_ask *ask, const struct audit_row *row,
                             struct ledger_grant *grant, struct ledger_refusal *refusal)
{
    struct arena a;
    _Alignas(max_align_t) char room[LEDGER_ROOM];
    struct span pairs = SPAN_NONE;
    struct ledger_settled settled = {0};
    arena_init_in(&a, room, sizeof room);
    enum weir_err err = ledger_take(l, db, ask, grant, refusal, &a, &pairs);
    if (err == WEIR_OK && grant->ticket) {
        struct ticket t = {.id = grant->ticket, .row = {.time = grant->time}};
        const struct ledger_bill bill = {.ticket = t.id, .now_ms = t.row.time, .row = row};
        err = pairs_unpack(pairs, &a, &t.pairs);
        if (err == WEIR_OK) err = ledger_done(l, db);
        if (err == WEIR_OK) err = ledger_look(l, db, bill.now_ms);
        if (err == WEIR_OK) err = settle_ticket(l, db, &bill, &t, &a, &settled);
    }
    if (err != WEIR_OK) *grant = (struct ledger_grant){0};
    arena_end(&a);
    return err;
}

enum weir_err ledger_release(struct ledger *l, struct db *db, int64_t ticket, int64_t now_ms)
{
    static const struct actual nothing = {.give_back = true};
    struct arena a;
    _Alignas(max_align_t) char room[LEDGER_ROOM];
    struct ticket t;
    struct charged charged;
    bool found = false;
    arena_init_in(&a, room, sizeof room);
    enum weir_err err = ledger_look(l, db, now_ms);
    if (err == WEIR_OK) err = ticket_take(db, ticket, &a, &t, &found);
    if (err == WEIR_OK && !found) ledger_unchanged(l);
    if (err == WEIR_OK && found) err = pairs_settle(l, db, &t.pairs, t.id, t.row.time, &nothing, &a, &charged);
    if (err == WEIR_OK && found) err = ledger_write_touches(l, db);
    if (err == WEIR_OK && found) err = ledger_done(l, db);
    arena_end(&a);
    return err;
}

enum weir_err ledger_record(struct ledger *l, struct db *db, const struct audit_row *row)
{
    enum weir_err err = ledger_look(l, db, row->time);
    return err == WEIR_OK ? write_record(l, db, row) : err;
}
