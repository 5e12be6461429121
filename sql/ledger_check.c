/* The books: every counter computed again from what was written down, audit rows, attempts, carry, open tickets, by
 * other means than those that count. */
#include <stdlib.h>
#include "sql/ledger_room.h"
#include "sql_ids.h"

struct kept {
    struct counter c;
    struct rule rule; /* metric, shape, seconds, amount */
    char *member;
    int64_t used, held, in_slots; /* expected; of a window, the sum of its slots' rows */
};

struct kept_slot { int64_t counter, slot, amount, expected; };

struct check {
    struct kept *at; int count, room;
    struct kept_slot *slots; int slot_count, slot_room;
    struct ledger_checked *out;
    void (*difference)(const struct ledger_difference *, void *);
    void *arg;
};

static int64_t sum(int64_t a, int64_t b)
{
    int64_t n;
    return __builtin_add_overflow(a, b, &n) ? INT64_MAX : n;
}

static void differs(struct check *k, const struct kept *c, const char *what, int64_t stored, int64_t expected)
{
    struct ledger_difference d = {c->member, metric_names[c->rule.metric], shape_names[c->rule.shape], what, stored,
                                  expected};
    if (stored == expected) return;
    k->out->differences++;
    if (k->difference) k->difference(&d, k->arg);
}

/* ---- what is stored ---- */

static bool grow(void **at, int count, int *room, size_t size)
{
    if (count < *room) return true;
    int more = *room ? *room * 2 : 64;
    void *bigger = realloc(*at, size * (size_t)more);
    if (!bigger) return false;
    *at = bigger;
    *room = more;
    return true;
}

static enum weir_err read_kept(struct stmt *s, struct kept *k)
{
    int64_t *const values[] = {&k->c.id, &k->c.first, &k->c.used, &k->c.held, &k->c.at, &k->c.rem, &k->c.mark,
                               &k->c.warned, &k->c.carry};
    *k = (struct kept){0};
    for (int i = 0; i < 9; i++) *values[i] = stmt_get_int(s, i);
    if (!rule_words(&k->rule, stmt_get_text(s, 9).at, stmt_get_text(s, 10).at, "day", "hard")) return WEIR_CORRUPT;
    k->rule.seconds = stmt_get_int(s, 11);
    k->rule.amount = stmt_get_int(s, 12);
    k->used = k->c.carry;
    k->member = strdup(stmt_get_text(s, 13).at);
    return k->member ? WEIR_OK : WEIR_NOMEM;
}

static enum weir_err load_counters(struct check *k, struct db *db)
{
    bool row;
    enum weir_err err;
    struct stmt *s = db_stmt(db, SQL_CHECK_COUNTERS);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        if (!grow((void **)&k->at, k->count, &k->room, sizeof *k->at)) { err = WEIR_NOMEM; break; }
        if ((err = read_kept(s, &k->at[k->count])) != WEIR_OK) break;
        k->count++;
    }
    stmt_reset(s);
    return err;
}

static struct kept *find(struct check *k, int64_t id)
{
    int low = 0, high = k->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (k->at[middle].c.id < id) low = middle + 1;
        else high = middle;
    }
    return low < k->count && k->at[low].c.id == id ? &k->at[low] : NULL;
}

static enum weir_err load_slots(struct check *k, struct db *db)
{
    bool row;
    enum weir_err err;
    struct stmt *s = db_stmt(db, SQL_CHECK_SLOTS);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        if (!grow((void **)&k->slots, k->slot_count, &k->slot_room, sizeof *k->slots)) { err = WEIR_NOMEM; break; }
        struct kept_slot *slot = &k->slots[k->slot_count++];
        *slot = (struct kept_slot){stmt_get_int(s, 0), stmt_get_int(s, 1), stmt_get_int(s, 2), stmt_get_int(s, 3)};
        struct kept *c = find(k, slot->counter);
        if (c) c->in_slots = sum(c->in_slots, slot->amount);
    }
    stmt_reset(s);
    return err;
}

static struct kept_slot *find_slot(struct check *k, int64_t counter, int64_t slot)
{
    int low = 0, high = k->slot_count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        const struct kept_slot *at = &k->slots[middle];
        if (at->counter < counter || (at->counter == counter && at->slot < slot)) low = middle + 1;
        else high = middle;
    }
    return low < k->slot_count && k->slots[low].counter == counter && k->slots[low].slot == slot ? &k->slots[low] : NULL;
}

/* ---- what is expected ---- */

static void expect(struct check *k, int64_t counter, int64_t number, int64_t time, int64_t tokens, int64_t cost,
                   int64_t requests)
{
    struct kept *c = find(k, counter);
    if (!c || number < c->c.first || c->rule.shape == SHAPE_BUCKET) return;
    int64_t n = c->rule.metric == METRIC_TOKENS ? tokens : c->rule.metric == METRIC_COST ? cost : requests;
    if (n == 0) return;
    if (c->rule.shape != SHAPE_WINDOW) { c->used = sum(c->used, n); return; }
    int64_t number_of = window_slot(c->rule.seconds, time);
    if (number_of < window_edge(c->rule.seconds, c->c.at)) return;
    struct kept_slot *slot = find_slot(k, counter, number_of);
    if (slot) slot->expected = sum(slot->expected, n);
    else differs(k, c, "slot", 0, n);
}

static void expect_list(struct check *k, struct stmt *s, int counters, int tokens, int cost)
{
    struct span left = stmt_get_blob(s, counters);
    int64_t id;
    while (ids_next(&left, &id))
        expect(k, id, stmt_get_int(s, 0), stmt_get_int(s, 1), stmt_get_int(s, tokens), stmt_get_int(s, cost), 1);
}

static enum weir_err expect_pairs(struct check *k, struct stmt *s, int col)
{
    struct arena a;
    struct pairs pairs;
    arena_init(&a);
    enum weir_err err = pairs_unpack(stmt_get_blob(s, col), &a, &pairs);
    for (int i = 0; i < pairs.count && err == WEIR_OK; i++) {
        const struct pair *p = &pairs.at[i];
        struct kept *c = find(k, p->counter);
        if (p->metric == METRIC_REQUESTS) expect(k, p->counter, stmt_get_int(s, 0), stmt_get_int(s, 1), 0, 0, p->amount);
        else if (c) c->held = sum(c->held, p->amount);
    }
    arena_end(&a);
    return err;
}

static enum weir_err each(struct check *k, struct db *db, int statement)
{
    bool row;
    enum weir_err err;
    struct stmt *s = db_stmt(db, statement);
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        if (statement == SQL_CHECK_RULES) k->out->limits = stmt_get_int(s, 0);
        if (statement == SQL_CHECK_AUDIT) expect_list(k, s, 4, 2, 3);
        if (statement == SQL_CHECK_ATTEMPTS) {
            expect_list(k, s, 4, 2, 3);
            err = expect_pairs(k, s, 5);
        }
        if (statement == SQL_CHECK_TICKETS) {
            k->out->open_tickets++;
            err = expect_pairs(k, s, 2);
        }
        if (err != WEIR_OK) break;
    }
    stmt_reset(s);
    return err;
}

static void compare(struct check *k)
{
    for (int i = 0; i < k->slot_count; i++) {
        struct kept *c = find(k, k->slots[i].counter);
        if (c && k->slots[i].slot >= window_edge(c->rule.seconds, c->c.at))
            differs(k, c, "slot", k->slots[i].amount, k->slots[i].expected);
    }
    for (int i = 0; i < k->count; i++) {
        struct kept *c = &k->at[i];
        differs(k, c, "held", c->c.held, c->held);
        if (c->rule.shape == SHAPE_WINDOW) differs(k, c, "used", c->c.used, c->in_slots);
        else if (c->rule.shape != SHAPE_BUCKET) differs(k, c, "used", c->c.used, c->used);
        else if (c->c.used < 0) differs(k, c, "level", c->rule.amount - c->c.used, c->rule.amount);
        else if (c->c.rem < 0) differs(k, c, "level", c->c.rem, 0);
    }
}

enum weir_err ledger_check(struct db *db, struct ledger_checked *out,
                           void (*difference)(const struct ledger_difference *, void *), void *arg)
{
    static const int sources[] = {SQL_CHECK_RULES, SQL_CHECK_AUDIT, SQL_CHECK_ATTEMPTS, SQL_CHECK_TICKETS};
    struct check k = {.out = out, .difference = difference, .arg = arg};
    *out = (struct ledger_checked){0};
    enum weir_err err = db_begin_read(db);
    if (err != WEIR_OK) return err;
    err = load_counters(&k, db);
    if (err == WEIR_OK) err = load_slots(&k, db);
    for (int i = 0; i < 4 && err == WEIR_OK; i++) err = each(&k, db, sources[i]);
    db_rollback(db);
    if (err == WEIR_OK) compare(&k);
    for (int i = 0; i < k.count; i++) free(k.at[i].member);
    free(k.at);
    free(k.slots);
    return err;
}
