/* One operation's touches: each counter it concerns, brought up to the present, what the operation would take from it,
 * whether there is room, and if not, when. Nothing is written before ledger_write_touches. */
#include <stdio.h>
#include <stdlib.h>
#include "sql/ledger_room.h"
#include "sql_ids.h"

#define SETTLING_MS 1000 /* retry-after where room depends on requests in flight: nobody knows when they end */
#define SOON_MS 60000

static enum weir_err window_left(struct db *db, struct gauge *g, struct touch *t, int64_t edge, int64_t *left)
{
    bool row;
    enum weir_err err = gauge_write_slot(db, g);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_SLOT_LEFT);
    stmt_int(s, 1, g->c.id);
    stmt_int(s, 2, edge);
    err = stmt_step(s, &row);
    if (err == WEIR_OK) {
        *left = stmt_get_int(s, 0);
        t->now.mark = stmt_is_null(s, 1) ? WINDOW_EMPTY : stmt_get_int(s, 1);
        t->edge = edge;
    }
    stmt_reset(s);
    return err;
}

static enum weir_err make_room(struct ledger *l)
{
    if (l->count < l->room) return WEIR_OK;
    int room = l->room ? l->room * 2 : 32;
    struct touch *more = realloc(l->touch, sizeof *more * (size_t)room);
    if (!more) return WEIR_NOMEM;
    l->touch = more;
    l->room = room;
    return WEIR_OK;
}

enum weir_err ledger_touch(struct ledger *l, struct db *db, struct gauge *g, struct touch **out)
{
    for (int i = 0; i < l->count; i++)
        if (l->touch[i].gauge == g) { *out = &l->touch[i]; return WEIR_OK; }
    enum weir_err err = make_room(l);
    if (err == WEIR_OK && g->generation != l->generation) err = ledger_refresh(l, db, g);
    if (err != WEIR_OK) return err;
    struct touch *t = &l->touch[l->count];
    int64_t left = 0;
    *t = (struct touch){.gauge = g, .now = g->c, .edge = INT64_MIN};
    if (!g->c.id) {
        t->now = counter_new(&g->rule, l->now, l->last_ticket + 1);
    } else if (g->rule.shape == SHAPE_WINDOW && l->now > g->c.at) {
        int64_t edge = window_edge(g->rule.seconds, l->now);
        if (g->c.mark < edge) err = window_left(db, g, t, edge, &left);
        if (err != WEIR_OK) return err;
    }
    counter_roll(&g->rule, &t->now, l->now, l->last_ticket + 1, left);
    l->count++;
    *out = t;
    return WEIR_OK;
}

enum weir_err ledger_touch_kind(struct ledger *l, struct db *db, enum kind kind, const char *name)
{
    struct member *m;
    struct touch *t;
    if (!name || (!*name && kind != KIND_GLOBAL)) return WEIR_OK;
    enum weir_err err = ledger_member(l, db, kind, name, &m);
    for (int i = 0; err == WEIR_OK && i < m->count; i++) err = ledger_touch(l, db, m->at[i], &t);
    return err;
}

enum weir_err ledger_touch_who(struct ledger *l, struct db *db, const struct ledger_who *who)
{
    const char *const names[] = {[KIND_GLOBAL] = "", [KIND_TEAM] = who->team, [KIND_ROLEGROUP] = who->rolegroup,
                                 [KIND_ROLE] = who->role, [KIND_USER] = who->user, [KIND_KEY] = who->key,
                                 [KIND_IP] = who->ip, [KIND_MODEL] = who->model};
    enum weir_err err = WEIR_OK;
    for (int k = KIND_GLOBAL; k <= KIND_MODEL && err == WEIR_OK; k++) err = ledger_touch_kind(l, db, (enum kind)k, names[k]);
    return err;
}

/* ---- what is taken ---- */

int64_t need_of(const struct need *n, const struct rule *r)
{
    switch (r->metric) {
    case METRIC_TOKENS: return r->mode == MODE_HARD ? n->tokens : n->soft_tokens;
    case METRIC_COST:   return r->mode == MODE_HARD ? n->cost : n->soft_cost;
    default:            return 1;
    }
}

void touch_take(struct ledger *l, struct touch *t, int64_t n)
{
    const struct rule *r = &t->gauge->rule;
    if (r->metric != METRIC_REQUESTS) {
        t->amount = counter_hold(&t->now, n);
        return;
    }
    t->amount = counter_charge(&t->now, n);
    if (r->shape == SHAPE_WINDOW) {
        t->slot = window_slot(r->seconds, l->now);
        t->add += t->amount;
    }
}

void touch_warn(struct ledger *l, struct touch *t, struct ledger_warnings *w)
{
    const struct gauge *g = t->gauge;
    if (w->count == LEDGER_WARNINGS || !counter_warns(&g->rule, &t->now, l->now)) return;
    struct ledger_warning *to = &w->at[w->count++];
    *to = (struct ledger_warning){.metric = g->rule.metric, .shape = g->rule.shape, .used = t->now.used,
                                  .limit = g->rule.amount, .percent = g->rule.warn_percent};
    snprintf(to->scope, sizeof to->scope, "%s", g->member);
    t->warned = true;
}

/* ---- refusing ---- */

void touch_refusal(const struct ledger *l, const struct touch *t, enum ledger_refusal_kind kind, struct ledger_refusal *out)
{
    const struct rule *r = &t->gauge->rule;
    (void)l;
    *out = (struct ledger_refusal){.kind = kind, .metric = r->metric, .shape = r->shape, .mode = r->mode, .unit = r->unit,
                                   .seconds = r->seconds, .limit = r->amount, .used = t->now.used, .held = t->now.held,
                                   .retry_after_ms = -1};
    snprintf(out->scope, sizeof out->scope, "%s", t->gauge->member);
    snprintf(out->via, sizeof out->via, "%s", t->gauge->scope);
}

/* Slots leave oldest first. */
static enum weir_err window_wait(const struct ledger *l, struct db *db, const struct touch *t, int64_t excess, int64_t *ms)
{
    const struct rule *r = &t->gauge->rule;
    bool row;
    *ms = WAIT_NEVER;
    if (excess > t->now.used) return WEIR_OK;
    enum weir_err err = gauge_write_slot(db, t->gauge);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_SLOT_ALL);
    stmt_int(s, 1, t->now.id);
    stmt_int(s, 2, window_edge(r->seconds, l->now));
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && excess > 0) {
        excess -= stmt_get_int(s, 1);
        if (excess <= 0) *ms = window_leaves(r->seconds, stmt_get_int(s, 0)) - l->now;
    }
    stmt_reset(s);
    return err;
}

static enum weir_err wait_for(const struct ledger *l, struct db *db, const struct touch *t, int64_t excess, int64_t *ms)
{
    if (t->gauge->rule.shape == SHAPE_WINDOW) return window_wait(l, db, t, excess, ms);
    *ms = counter_wait(&t->gauge->rule, &t->now, excess);
    return WEIR_OK;
}

/* When there will be room: by time alone; sooner perhaps, as what is held settles; or by both together. `excess` above
 * 0 is what is too much now. */
static enum weir_err when(const struct ledger *l, struct db *db, const struct touch *t, int64_t more, int64_t excess,
                          struct ledger_refusal *out)
{
    int64_t sure, both = 0, without_held = excess - t->now.held;
    bool could = more <= t->gauge->rule.amount && t->now.held > 0;
    enum weir_err err = wait_for(l, db, t, excess, &sure);
    if (err == WEIR_OK && could && without_held > 0) err = wait_for(l, db, t, without_held, &both);
    if (err != WEIR_OK) return err;
    if (both < SETTLING_MS) both = SETTLING_MS;
    out->by_settling = could && both != WAIT_NEVER && both < sure;
    int64_t ms = out->by_settling ? both : sure;
    if (ms == WAIT_NEVER) return WEIR_OK;
    ms = ms > WAIT_NEVER - l->lag ? WAIT_NEVER : ms + l->lag;
    out->retry_after_ms = ms > 0 ? ms : 1;
    out->soon = ms <= SOON_MS;
    return WEIR_OK;
}

static bool is_longer(const struct ledger_refusal *a, const struct ledger_refusal *than)
{
    if (than->kind == LEDGER_NOT_REFUSED) return true;
    if (than->kind == LEDGER_UNPRICED || than->retry_after_ms < 0) return false;
    return a->retry_after_ms < 0 || a->retry_after_ms > than->retry_after_ms;
}

enum weir_err touch_check(struct ledger *l, struct db *db, const struct touch *t, int64_t more,
                          struct ledger_refusal *refusal)
{
    const struct rule *r = &t->gauge->rule;
    struct ledger_refusal this;
    int64_t room = counter_room(r, &t->now);
    if (r->mode == MODE_OBSERVE || more <= room) return WEIR_OK;
    touch_refusal(l, t, LEDGER_OVER_LIMIT, &this);
    this.asked = more;
    int64_t excess = room < 0 && more > INT64_MAX + room ? INT64_MAX : more - room;
    enum weir_err err = when(l, db, t, more, excess, &this);
    if (err != WEIR_OK) return err;
    bool settling = this.by_settling || refusal->by_settling; /* room is needed on all of them */
    if (is_longer(&this, refusal)) *refusal = this;
    refusal->by_settling = settling;
    return WEIR_OK;
}

/* ---- writing ---- */

static enum weir_err insert_counter(struct ledger *l, struct db *db, struct touch *t)
{
    struct gauge *g = t->gauge;
    struct stmt *s = db_stmt(db, SQL_COUNTER_ADD);
    stmt_int(s, 1, g->rule.id);
    stmt_text(s, 2, span_of(g->member));
    const int64_t values[] = {t->now.first, t->now.used, t->now.held, t->now.at, t->now.rem, t->now.mark, t->now.warned,
                              t->now.carry};
    for (int i = 0; i < 8; i++) stmt_int(s, 3 + i, values[i]);
    enum weir_err err = stmt_run(s);
    if (err == WEIR_OK) {
        g->c.id = t->now.id = db_last_id(db);
        ledger_know(l, g);
    }
    return err;
}

static enum weir_err update_counter(struct db *db, const struct counter *c)
{
    struct stmt *s = db_stmt(db, SQL_COUNTER_PUT);
    const int64_t values[] = {c->id, c->first, c->used, c->held, c->at, c->rem, c->mark, c->warned, c->carry};
    for (int i = 0; i < 9; i++) stmt_int(s, 1 + i, values[i]);
    return stmt_run(s);
}

static enum weir_err add_to_slot(struct db *db, int64_t counter, int64_t slot, int64_t n)
{
    struct stmt *s = db_stmt(db, SQL_SLOT_ADD);
    stmt_int(s, 1, counter);
    stmt_int(s, 2, slot);
    stmt_int(s, 3, n);
    return stmt_run(s);
}

enum weir_err gauge_write_slot(struct db *db, struct gauge *g)
{
    int64_t n = g->add;
    g->add = 0;
    return n ? add_to_slot(db, g->c.id, g->slot, n) : WEIR_OK;
}

enum weir_err gauge_write(struct db *db, struct gauge *g)
{
    enum weir_err err = gauge_write_slot(db, g);
    return err == WEIR_OK ? update_counter(db, &g->c) : err;
}

enum weir_err touch_to_slot(struct db *db, struct touch *t, int64_t slot, int64_t n)
{
    enum weir_err err = WEIR_OK;
    if (t->add && t->slot != slot) {
        err = add_to_slot(db, t->now.id, t->slot, t->add);
        if (t->slot < t->now.mark) t->now.mark = t->slot;
        t->add = 0;
    }
    t->slot = slot;
    t->add += n;
    return err;
}

/* Slots that have left go at once; what is added waits, one slot at a time. */
static enum weir_err write_slots(struct db *db, const struct touch *t)
{
    struct gauge *g = t->gauge;
    enum weir_err err = WEIR_OK;
    if (t->edge != INT64_MIN) {
        struct stmt *s = db_stmt(db, SQL_SLOT_DROP);
        stmt_int(s, 1, t->now.id);
        stmt_int(s, 2, t->edge);
        err = stmt_run(s);
    }
    if (!t->add) return err;
    if (err == WEIR_OK && g->slot != t->slot) err = gauge_write_slot(db, g);
    g->slot = t->slot;
    g->add += t->add;
    return err;
}

static void fall_behind(struct ledger *l, struct gauge *g)
{
    if (g->behind) return;
    g->behind = true;
    g->next_behind = l->behind;
    l->behind = g;
}

enum weir_err ledger_write_touches(struct ledger *l, struct db *db)
{
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < l->count && err == WEIR_OK; i++) {
        struct touch *t = &l->touch[i];
        if (t->add && t->slot < t->now.mark) t->now.mark = t->slot;
        if (!t->now.id) err = insert_counter(l, db, t);
        if (err == WEIR_OK && t->gauge->rule.shape == SHAPE_WINDOW) err = write_slots(db, t);
        fall_behind(l, t->gauge);
        t->gauge->c = t->now;
        t->gauge->generation = l->generation;
    }
    return err;
}
