/* The ledger against its model: generated limits and interleavings of everything that can happen, each step decided and
 * counted twice. WEIR_SEED=N runs one case, WEIR_CASES=N so many; a failure prints its seed. */
#include "sql/db.c"
#include "sql/ledger_memory.c"

#include "tests/unit/sql_room.h"
#include "tests/unit/ledger_model.h"
#include "sql/limits.h"
#include "sql/ledger.h"

#define CASES 2500
#define STEPS 60
#define PROCESSES 3
#define TICKETS 200
#define TRIES 3

static uint64_t seed_now, state;
static int step_now;

#define CHECK(cond, ...) \
    do { \
        if (!(cond)) { \
            fprintf(stderr, "WEIR_SEED=%llu step %d: %s: ", (unsigned long long)seed_now, step_now, #cond); \
            fprintf(stderr, __VA_ARGS__); \
            fputc('\n', stderr); \
            fail(); \
        } \
    } while (0)

static uint64_t roll(uint64_t n) /* 0 .. n-1 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state * 2685821657736338717u >> 16) % n;
}

static bool chance(int percent) { return roll(100) < (uint64_t)percent; }
#define PICK(array) ((array)[roll(sizeof(array) / sizeof *(array))])

/* ---- one case ---- */

struct m_ticket {
    int64_t id, time, granted;
    int process, tries;
    bool open;
    struct ledger_ask ask;
    int entries[M_RULES]; int entry_count;
    struct { bool open, ended; int64_t tokens, cost, soft_tokens, soft_cost; int entries[8]; int entry_count; } attempt[TRIES];
};

struct world {
    struct room room;
    struct db *db;
    struct ledger *ledger[PROCESSES];
    struct model m;
    struct m_ticket tickets[TICKETS];
    int ticket_count;
    int64_t now, rows, deleted;
    __int128 charged_tokens, charged_cost; /* by audit rows that still stand */
    struct change change;
};

static const char *const users[] = {"u0", "u1", "u2", NULL};
static const char *const teams[] = {"t0", "t1", NULL};
static const char *const keys[] = {"k0", "k1"};
static const char *const ips[] = {"192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "2001:DB8::2", "2001:db8:0:1::1", NULL};
static const char *const models[] = {"m0", "m1"};
static const char *const providers[] = {"p0", "p1"};
static const char *const scopes[] = {"global", "user/*", "user/*", "user/u0", "user/u1", "team/*", "team/t0", "key/*", "key/k1",
                                     "ip/*", "ip/192.0.2.7", "ip/2001:db8::1", "model/m0", "model/*", "provider/p0", "provider/*"};

/* Operations come several in a transaction, of different processes even; what looks at rows commits first. */
static void join(struct world *w) { if (!db_in_transaction(w->db)) assert_int_equal(db_begin(w->db), WEIR_OK); }
static void close_group(struct world *w) { if (db_in_transaction(w->db)) assert_int_equal(db_commit(w->db), WEIR_OK); }
static void leave(struct world *w) { if (chance(40)) close_group(w); }

static void begin_change(struct world *w)
{
    close_group(w);
    assert_int_equal(change_begin(&w->change, w->db, w->room.dir), WEIR_OK);
}

static void end_change(struct world *w) { assert_int_equal(change_commit(&w->change), WEIR_OK); }

static void store_rule(struct world *w, const struct m_rule *r)
{
    struct limit_rule l = {.scope = r->scope, .metric = r->metric, .shape = r->shape, .period = r->period, .seconds = r->seconds,
                           .mode = r->mode, .amount = r->amount, .refill_nano = r->refill, .utc_offset_min = r->offset,
                           .warn_percent = 80};
    begin_change(w);
    assert_int_equal(limit_put(w->db, &l), WEIR_OK);
    end_change(w);
}

static void set_amount(struct m_rule *r)
{
    static const int64_t few[] = {1, 2, 3, 5, 8}, tokens[] = {20, 60, 100, 150, 400, 1000};
    if (m_is(r->metric, "requests") || m_is(r->metric, "concurrency")) r->amount = PICK(few);
    else r->amount = PICK(tokens) * (m_is(r->metric, "cost") ? 3 : 1);
}

static void set_mode(struct m_rule *r)
{
    static const char *const modes[] = {"hard", "hard", "hard", "soft", "observe"};
    strcpy(r->mode, PICK(modes));
}

static void add_rule(struct world *w)
{
    static const char *const metrics[] = {"requests", "tokens", "tokens", "cost", "concurrency"};
    static const char *const shapes[] = {"bucket", "window", "calendar", "total"};
    static const char *const periods[] = {"hour", "day", "week", "month"};
    static const int64_t lengths[] = {1, 7, 60, 3600, 259200}, offsets[] = {0, 0, 120, -300, 840};
    static const int64_t refills[] = {1, 50, 333333333, 1000000000, 7777777777};
    struct m_rule r = {.live = true};
    strcpy(r.scope, PICK(scopes));
    strcpy(r.metric, PICK(metrics));
    strcpy(r.shape, m_is(r.metric, "concurrency") ? "none" : PICK(shapes));
    if (m_is(r.shape, "calendar")) { strcpy(r.period, PICK(periods)); r.offset = PICK(offsets); }
    if (m_is(r.shape, "window")) r.seconds = PICK(lengths);
    if (m_is(r.shape, "bucket")) r.refill = m_is(r.metric, "cost") ? (int64_t)roll(50) : PICK(refills);
    set_amount(&r);
    set_mode(&r);
    for (int i = 0; i < w->m.rule_count; i++) {
        const struct m_rule *o = &w->m.rules[i];
        if (o->live && m_is(o->scope, r.scope) && m_is(o->metric, r.metric) && m_is(o->shape, r.shape) &&
            m_is(o->period, r.period) && o->seconds == r.seconds) return;
    }
    if (w->m.rule_count == M_RULES) return;
    store_rule(w, &r);
    w->m.rules[w->m.rule_count++] = r;
    m_shadow(&w->m, w->m.rule_count - 1);
}

static int some_rule(struct world *w)
{
    if (!w->m.rule_count) return -1;
    int i = (int)roll((uint64_t)w->m.rule_count);
    return w->m.rules[i].live ? i : -1;
}

static void change_rule(struct world *w)
{
    int i = some_rule(w);
    if (i < 0) return;
    struct m_rule *r = &w->m.rules[i];
    r->bent = true;
    if (chance(60)) set_amount(r); else set_mode(r);
    store_rule(w, r);
}

static struct limit_key key_of(const struct m_rule *r)
{
    return (struct limit_key){r->scope, r->metric, r->shape, r->period, r->seconds};
}

static void remove_rule(struct world *w)
{
    int i = some_rule(w), removed;
    if (i < 0) return;
    struct limit_key k = key_of(&w->m.rules[i]);
    begin_change(w);
    assert_int_equal(limit_remove(w->db, &k, &removed), WEIR_OK);
    end_change(w);
    assert_int_equal(removed, 1);
    m_drop(&w->m, i);
}

static void reset_rule(struct world *w)
{
    int i = some_rule(w), reset;
    if (i < 0) return;
    struct limit_key k = key_of(&w->m.rules[i]);
    begin_change(w);
    assert_int_equal(limit_reset(w->db, &k, NULL, w->now, &reset), WEIR_OK);
    end_change(w);
    m_reset(&w->m, i);
}

/* ---- admission, decided by trying every output there could be ---- */

static int64_t cost_of(const struct price *p, int64_t prompt, int64_t output)
{
    int64_t in = p->input > p->cache_write ? p->input : p->cache_write, parts = prompt * in + output * p->output;
    return p->known ? parts / 1000000 + (parts % 1000000 != 0) + p->fee : 0;
}

static int64_t need_of_rule(const struct m_rule *r, int64_t tokens, int64_t cost, int64_t soft_tokens, int64_t soft_cost)
{
    bool hard = m_is(r->mode, "hard");
    if (m_is(r->metric, "tokens")) return hard ? tokens : soft_tokens;
    if (m_is(r->metric, "cost")) return hard ? cost : soft_cost;
    return 1;
}

static int64_t need_for_ask(const struct m_rule *r, const struct ledger_ask *a, int64_t output)
{
    int64_t soft = a->output_estimate < a->output_bound ? a->output_estimate : a->output_bound;
    return need_of_rule(r, a->prompt_bound + output, cost_of(&a->price, a->prompt_bound, output), a->prompt_estimate + soft,
                        cost_of(&a->price_estimate, a->prompt_estimate, soft));
}

static bool concerns_ask(const struct world *w, int rule, const struct ledger_ask *a, char member[60])
{
    const struct m_rule *r = &w->m.rules[rule];
    struct m_who who = {a->who.user, a->who.team, a->who.key, a->who.ip, a->who.model};
    if (a->only_request && (m_is(r->metric, "tokens") || m_is(r->metric, "cost"))) return false;
    return m_concerns(&w->m, r, &who, member);
}

/* Whether all limits, or only the hard ones on tokens and cost, have room. */
static bool has_room(const struct world *w, const struct ledger_ask *a, int64_t output, bool only_hard, int64_t now)
{
    char member[60];
    for (int i = 0; i < w->m.rule_count; i++) {
        const struct m_rule *r = &w->m.rules[i];
        bool amounts = m_is(r->metric, "tokens") || m_is(r->metric, "cost");
        if (m_is(r->mode, "observe") || (only_hard && (!m_is(r->mode, "hard") || !amounts))) continue;
        if (!concerns_ask(w, i, a, member)) continue;
        if (need_for_ask(r, a, output) > m_room(&w->m, i, member, now)) return false;
    }
    return true;
}

static bool is_unpriced_ask(const struct world *w, const struct ledger_ask *a)
{
    char member[60];
    for (int i = 0; i < w->m.rule_count && !a->price.known; i++)
        if (m_is(w->m.rules[i].metric, "cost") && !m_is(w->m.rules[i].mode, "observe") && concerns_ask(w, i, a, member)) return true;
    return false;
}

static int64_t expected_output(const struct world *w, const struct ledger_ask *a, int64_t now) /* -1: refused */
{
    int64_t output = a->output_bound, floor = (a->output_floor + a->choices - 1) / a->choices * a->choices;
    if (is_unpriced_ask(w, a)) return -1;
    if (a->only_request) return has_room(w, a, 0, false, now) ? 0 : -1;
    if (floor > output) floor = output;
    if (!has_room(w, a, output, true, now))
        for (output = output / a->choices * a->choices; output >= floor; output -= a->choices)
            if (has_room(w, a, output, true, now)) break;
    if (output < floor || output < 0) return -1;
    return has_room(w, a, output, false, now) ? output : -1;
}

static struct ledger_ask make_ask(const struct world *w)
{
    static const struct price prices[] = {{.known = true, .input = 1000000, .cached_input = 500000, .cache_write = 1000000, .output = 3000000}, {.known = true, .input = 1500000, .cached_input = 100000, .cache_write = 1875000, .output = 2333333, .fee = 11},
                                          {.known = true, .input = 1, .cached_input = 1, .cache_write = 1, .output = 7}, {.known = true, .input = 3000000, .cached_input = 3000000, .cache_write = 3000000, .output = 0}, {.known = false}};
    int64_t n = chance(70) ? 1 : 1 + (int64_t)roll(4), bound = (int64_t)roll(60) / n * n;
    struct ledger_ask a = {.who = {PICK(users), PICK(teams), "r", NULL, PICK(keys), PICK(ips), PICK(models)}, .now_ms = w->now,
                           .prompt_bound = (int64_t)roll(40), .output_bound = bound, .choices = n, .output_floor = (int64_t)roll(20),
                           .price = prices[chance(5) ? 4 : roll(4)], .only_request = chance(10), .request_id = "r", .endpoint = "/e"};
    a.price_estimate = a.price;
    if (chance(50)) a.price_estimate.output /= 2, a.price_estimate.fee = 0;
    a.prompt_estimate = a.prompt_bound / 3;
    a.output_estimate = (int64_t)roll(30);
    if (chance(25)) a.prompt_estimate = a.output_estimate = 0; /* holds nothing on soft limits */
    return a;
}

/* A job as the writer runs it: in a savepoint where it may have to be undone. */
static enum weir_err admit_in(struct world *w, int process, const struct ledger_ask *a, struct ledger_grant *g,
                              struct ledger_refusal *r, bool keep)
{
    bool alone = !db_in_transaction(w->db), apart = !keep || chance(20);
    join(w);
    if (apart) assert_int_equal(db_savepoint(w->db), WEIR_OK);
    enum weir_err err = ledger_admit(w->ledger[process], w->db, a, g, r);
    if (apart) assert_int_equal(keep ? db_release(w->db) : db_undo(w->db), WEIR_OK);
    if (!keep && alone && chance(50)) db_rollback(w->db);
    else leave(w);
    return err;
}

/* Waiting as long as we were told is enough, and not a millisecond too long. */
static void check_retry(struct world *w, int process, struct ledger_ask a, const struct ledger_refusal *r)
{
    struct ledger_grant g;
    struct ledger_refusal again;
    if (r->kind != LEDGER_OVER_LIMIT) return;
    CHECK(r->soon == (r->retry_after_ms >= 0 && r->retry_after_ms <= 60000), "retry %lld", (long long)r->retry_after_ms);
    if (r->retry_after_ms < 0 || r->by_settling) return;
    int64_t start = a.now_ms;
    CHECK(r->retry_after_ms > 0, "retry");
    a.now_ms = start + r->retry_after_ms;
    assert_int_equal(admit_in(w, process, &a, &g, &again, false), WEIR_OK);
    CHECK(g.ticket, "after %lld ms by %s %s", (long long)r->retry_after_ms, r->scope, shape_names[r->shape]);
    a.now_ms = start + r->retry_after_ms - 1;
    assert_int_equal(admit_in(w, process, &a, &g, &again, false), WEIR_OK);
    CHECK(!g.ticket, "already after %lld ms by %s %s", (long long)r->retry_after_ms - 1, r->scope, shape_names[r->shape]);
}

/* No admission makes used + held pass a hard limit. */
static void check_never_above(const struct world *w, const struct m_ticket *t)
{
    for (int i = 0; i < t->entry_count; i++) {
        const struct m_entry *e = &w->m.entries[t->entries[i]];
        const struct m_rule *r = &w->m.rules[e->rule];
        if (!m_is(r->mode, "hard")) continue;
        int64_t room = m_room(&w->m, e->rule, e->member, t->time);
        CHECK(room >= 0, "%s %s %s passed by %lld", e->member, r->metric, r->shape, (long long)-room);
    }
}

static void admit(struct world *w)
{
    struct ledger_ask a = make_ask(w);
    struct ledger_grant g;
    struct ledger_refusal r;
    char member[60];
    int process = (int)roll(PROCESSES);
    int64_t now = a.now_ms > w->m.stamp ? a.now_ms : w->m.stamp, expected = expected_output(w, &a, now);
    bool keep = chance(85);
    if (w->ticket_count == TICKETS) return;
    CHECK(admit_in(w, process, &a, &g, &r, keep) == WEIR_OK, "%s", db_message(w->db));
    CHECK((g.ticket > 0) == (expected >= 0), "expected %lld; refused by %s %s %s: limit %lld used %lld held %lld asked %lld",
          (long long)expected, r.scope, metric_names[r.metric], shape_names[r.shape], (long long)r.limit, (long long)r.used,
          (long long)r.held, (long long)r.asked);
    CHECK(g.time == now, "stamp");
    if (!g.ticket) {
        CHECK((r.kind == LEDGER_UNPRICED) == is_unpriced_ask(w, &a), "unpriced");
        check_retry(w, process, a, &r);
        return;
    }
    CHECK(g.output == (a.only_request ? 0 : expected), "granted %lld, expected %lld", (long long)g.output, (long long)expected);
    if (!keep) return;
    struct m_ticket *t = &w->tickets[w->ticket_count++];
    *t = (struct m_ticket){.id = g.ticket, .time = now, .granted = g.output, .process = process, .open = true, .ask = a};
    for (int i = 0; i < w->m.rule_count; i++)
        if (concerns_ask(w, i, &a, member))
            t->entries[t->entry_count++] = m_enter(&w->m, i, member, now, need_for_ask(&w->m.rules[i], &a, g.output));
    w->m.stamp = now;
    check_never_above(w, t);
}

static struct m_ticket *some_ticket(struct world *w, bool open)
{
    for (int i = 0; i < 8 && w->ticket_count; i++) {
        struct m_ticket *t = &w->tickets[roll((uint64_t)w->ticket_count)];
        if (t->open == open) return t;
    }
    return NULL;
}

/* ---- attempts ---- */

static void stamp_now(struct world *w) { if (w->now > w->m.stamp) w->m.stamp = w->now; }

static int64_t total_of_attempts(const struct m_ticket *t, bool cost, bool soft)
{
    int64_t n = 0;
    for (int i = 0; i < t->tries; i++)
        n += cost ? soft ? t->attempt[i].soft_cost : t->attempt[i].cost : soft ? t->attempt[i].soft_tokens : t->attempt[i].tokens;
    return n;
}

/* Whether this attempt may go, and what it then holds. */
static enum ledger_may expected_may(struct world *w, struct m_ticket *t, const struct ledger_try *try, int64_t now)
{
    int k = t->tries;
    char member[60];
    int64_t cost = cost_of(&try->price, try->prompt_bound, try->output_bound),
            soft_cost = cost_of(&try->price_estimate, try->prompt_estimate, try->output_estimate),
            tokens = try->prompt_bound + try->output_bound, soft = try->prompt_estimate + try->output_estimate;
    for (int i = 0; i < w->m.rule_count; i++) {
        const struct m_rule *r = &w->m.rules[i];
        if (!r->live || m_is(r->mode, "observe") || !m_applies(&w->m, r, "provider", try->provider, member)) continue;
        if (m_is(r->metric, "cost") && !try->price.known) return LEDGER_SKIP_TARGET;
        if (need_of_rule(r, tokens, cost, soft, soft_cost) > m_room(&w->m, i, member, now)) return LEDGER_SKIP_TARGET;
    }
    if (k == 0) return LEDGER_GO;
    for (int i = 0; i < t->entry_count; i++) {
        const struct m_entry *e = &w->m.entries[t->entries[i]];
        if (e->rule < 0) continue;
        const struct m_rule *r = &w->m.rules[e->rule];
        bool is_cost = m_is(r->metric, "cost");
        if ((!is_cost && !m_is(r->metric, "tokens")) || m_is(r->mode, "observe")) continue;
        if (is_cost && !try->price.known) return LEDGER_STOP;
        int64_t own = is_cost ? e->hard ? cost : soft_cost : e->hard ? tokens : soft;
        int64_t more = total_of_attempts(t, is_cost, !e->hard) + own - e->hold;
        if (more > 0 && more > m_room(&w->m, e->rule, e->member, now)) return LEDGER_STOP;
    }
    return LEDGER_GO;
}

static void start_attempt(struct world *w, struct m_ticket *t, const struct ledger_try *try, int64_t now)
{
    int k = t->tries++;
    char member[60];
    t->attempt[k].open = true;
    t->attempt[k].tokens = try->prompt_bound + try->output_bound;
    t->attempt[k].soft_tokens = try->prompt_estimate + try->output_estimate;
    t->attempt[k].cost = cost_of(&try->price, try->prompt_bound, try->output_bound);
    t->attempt[k].soft_cost = cost_of(&try->price_estimate, try->prompt_estimate, try->output_estimate);
    for (int i = 0; i < w->m.rule_count && t->attempt[k].entry_count < 8; i++) {
        const struct m_rule *r = &w->m.rules[i];
        if (!r->live || !m_applies(&w->m, r, "provider", try->provider, member)) continue;
        int64_t need = need_of_rule(r, t->attempt[k].tokens, t->attempt[k].cost, t->attempt[k].soft_tokens, t->attempt[k].soft_cost);
        t->attempt[k].entries[t->attempt[k].entry_count++] = m_enter(&w->m, i, member, now, need);
    }
    if (k == 0) {
        /* the ticket holds what was admitted, which may be more than its first attempt asks for */
        if (t->attempt[k].entry_count) return;
        int64_t soft = t->ask.output_estimate < t->ask.output_bound ? t->ask.output_estimate : t->ask.output_bound;
        t->attempt[k].tokens = t->ask.prompt_bound + t->granted;
        t->attempt[k].soft_tokens = t->ask.prompt_estimate + soft;
        t->attempt[k].cost = cost_of(&t->ask.price, t->ask.prompt_bound, t->granted);
        t->attempt[k].soft_cost = cost_of(&t->ask.price_estimate, t->ask.prompt_estimate, soft);
        return;
    }
    for (int i = 0; i < t->entry_count; i++) {
        struct m_entry *e = &w->m.entries[t->entries[i]];
        if (e->rule < 0) continue;
        const char *metric = w->m.rules[e->rule].metric;
        if (!m_is(metric, "tokens") && !m_is(metric, "cost")) continue;
        int64_t hold = total_of_attempts(t, m_is(metric, "cost"), !e->hard);
        /* The raise found room now, and its charge will belong to an instant when there may have been none. */
        if (hold > e->hold) w->m.rules[e->rule].bent = true;
        e->hold = hold;
    }
}

static void close_entries(struct world *w, const int *entries, int count, int64_t tokens, int64_t cost, bool give_back)
{
    for (int i = 0; i < count; i++) {
        struct m_entry *e = &w->m.entries[entries[i]];
        const struct m_rule *r = e->rule >= 0 ? &w->m.rules[e->rule] : NULL;
        if (r && (m_is(r->metric, "tokens") ? tokens : m_is(r->metric, "cost") ? cost : 0) > e->hold) w->m.rules[e->rule].bent = true;
        m_close(&w->m, entries[i], w->m.stamp, tokens, cost, give_back);
    }
}

/* Mostly within what was held. */
static int64_t actual_for(int64_t most) { return chance(4) ? most + (int64_t)roll(30) : (int64_t)roll((uint64_t)most + 1); }

static void end_attempt(struct world *w, struct m_ticket *t, int k)
{
    struct ledger_use use = {.number = k + 1, .provider = "p", .sent = chance(70)};
    struct ledger *l = w->ledger[t->process];
    if (use.sent) {
        use.tokens = actual_for(t->attempt[k].tokens);
        use.cost = actual_for(t->attempt[k].cost);
    }
    for (int again = 0; again < 2; again++) {
        join(w);
        CHECK(ledger_attempt_end(l, w->db, t->id, w->now, &use) == WEIR_OK, "%s", db_message(w->db));
        leave(w);
        stamp_now(w);
    }
    close_entries(w, t->attempt[k].entries, t->attempt[k].entry_count, use.tokens, use.cost, !use.sent);
    t->attempt[k].ended = true;
    t->attempt[k].open = false;
    t->attempt[k].tokens = t->attempt[k].soft_tokens = use.tokens;
    t->attempt[k].cost = t->attempt[k].soft_cost = use.cost;
}

static void attempt(struct world *w)
{
    struct m_ticket *t = some_ticket(w, true);
    struct ledger_refusal r;
    enum ledger_may may;
    if (!t || t->tries == TRIES || t->ask.only_request) return;
    if (t->tries && t->attempt[t->tries - 1].open && chance(70)) end_attempt(w, t, t->tries - 1);
    struct ledger_try try = {.ticket = t->id, .now_ms = w->now, .number = t->tries + 1, .provider = PICK(providers),
                             .prompt_bound = t->ask.prompt_bound, .output_bound = t->granted, .price = t->ask.price, .price_estimate = t->ask.price_estimate,
                             .prompt_estimate = t->ask.prompt_estimate,
                             .output_estimate = t->ask.output_estimate < t->ask.output_bound ? t->ask.output_estimate : t->ask.output_bound};
    int64_t now = w->now > w->m.stamp ? w->now : w->m.stamp;
    enum ledger_may expected = expected_may(w, t, &try, now);
    bool undo = chance(10);
    join(w);
    if (undo) assert_int_equal(db_savepoint(w->db), WEIR_OK);
    CHECK(ledger_attempt(w->ledger[t->process], w->db, &try, &may, &r) == WEIR_OK, "%s", db_message(w->db));
    CHECK(may == expected, "attempt %d: %d, expected %d; %s %s", try.number, may, expected, r.scope, metric_names[r.metric]);
    if (undo) assert_int_equal(db_undo(w->db), WEIR_OK);
    leave(w);
    if (undo) return;
    if (may != LEDGER_GO) return;
    start_attempt(w, t, &try, now);
    if (try.number > 1 || t->attempt[0].entry_count) w->m.stamp = now;
}

/* ---- settling ---- */

static struct audit_row row_for_ticket(const struct m_ticket *t)
{
    return (struct audit_row){.request_id = "r", .endpoint = "/e", .user = t->ask.who.user, .outcome = "ok", .cache = "miss",
                              .usage_source = "provider", .first_byte_ms = -1, .status = 200};
}

/* The last open attempt gets what the ended leave, the other open ones nothing. */
static void close_model(struct world *w, struct m_ticket *t, int64_t tokens, int64_t cost, bool give_back)
{
    int64_t rest_tokens = tokens, rest_cost = cost;
    for (int k = 0; k < t->tries; k++) {
        if (!t->attempt[k].ended) continue;
        rest_tokens -= t->attempt[k].tokens;
        rest_cost -= t->attempt[k].cost;
    }
    if (rest_tokens < 0) rest_tokens = 0;
    if (rest_cost < 0) rest_cost = 0;
    for (int k = t->tries - 1; k >= 0; k--) {
        if (!t->attempt[k].open) continue;
        close_entries(w, t->attempt[k].entries, t->attempt[k].entry_count, rest_tokens, rest_cost, give_back);
        t->attempt[k].open = false;
        rest_tokens = rest_cost = 0;
    }
    close_entries(w, t->entries, t->entry_count, tokens, cost, give_back);
    t->open = false;
    w->rows++;
    w->charged_tokens += tokens;
    w->charged_cost += cost;
}

static void settle_one(struct world *w, struct m_ticket *t)
{
    struct audit_row row = row_for_ticket(t);
    struct ledger_settled s;
    bool give_back = chance(15) && !t->ask.only_request, undo = chance(10);
    if (!give_back && !t->ask.only_request) {
        int64_t tokens = actual_for(t->ask.prompt_bound + t->granted);
        row.prompt_tokens = tokens / 2;
        row.completion_tokens = tokens - tokens / 2;
        row.cost = t->ask.price.known ? actual_for(cost_of(&t->ask.price, t->ask.prompt_bound, t->granted)) : -1;
    }
    struct ledger_bill bill = {.ticket = t->id, .now_ms = w->now, .row = &row, .give_back = give_back};
    join(w);
    if (undo) assert_int_equal(db_savepoint(w->db), WEIR_OK);
    CHECK(ledger_settle(w->ledger[t->process], w->db, &bill, &s) == WEIR_OK, "%s", db_message(w->db));
    CHECK(s.first == t->open, "first");
    if (undo) assert_int_equal(db_undo(w->db), WEIR_OK);
    leave(w);
    if (undo || !t->open) return;
    stamp_now(w);
    close_model(w, t, row.prompt_tokens + row.completion_tokens, row.cost > 0 ? row.cost : 0, give_back);
}

static void settle(struct world *w, bool open)
{
    struct m_ticket *t = some_ticket(w, open);
    if (t) settle_one(w, t);
}

/* ---- crash ---- */

/* Whether a hard limit that still stands holds tokens or cost for it. */
static bool held_hard(const struct world *w, const struct m_ticket *t)
{
    for (int i = 0; i < t->entry_count; i++) {
        const struct m_entry *e = &w->m.entries[t->entries[i]];
        if (!e->hard || e->rule < 0) continue;
        if (m_is(w->m.rules[e->rule].metric, "tokens") || m_is(w->m.rules[e->rule].metric, "cost")) return true;
    }
    return false;
}

static void crash(struct world *w)
{
    int dead = (int)roll(PROCESSES), other = (dead + 1) % PROCESSES, swept, open = 0, done = 0;
    enum ledger_orphans policy = chance(60) ? LEDGER_CHARGE : LEDGER_RELEASE;
    for (int i = 0; i < w->ticket_count; i++) open += w->tickets[i].open && w->tickets[i].process == dead;
    close_group(w);
    if (chance(50)) { close(w->ledger[dead]->fd); w->ledger[dead]->fd = -1; } /* as kill -9 leaves it */
    ledger_close(w->ledger[dead]);
    assert_int_equal(ledger_open(w->room.dir, &w->ledger[dead]), WEIR_OK);
    do {
        join(w);
        CHECK(ledger_sweep(w->ledger[other], w->db, policy, w->now, 2, &swept) == WEIR_OK, "%s", db_message(w->db));
        leave(w);
        done += swept;
    } while (swept);
    close_group(w);
    CHECK(done == open, "swept %d of %d", done, open);
    if (open) stamp_now(w);
    for (int i = 0; i < w->ticket_count; i++) {
        struct m_ticket *t = &w->tickets[i];
        if (!t->open || t->process != dead) continue;
        /* What it was charged is read back: with removed limits it depends on which of them held hard. */
        char sql[200];
        snprintf(sql, sizeof sql, "SELECT prompt_tokens + completion_tokens FROM audit WHERE ticket = %lld AND outcome = 'orphaned'", (long long)t->id);
        int64_t tokens = room_number(&w->room, sql);
        snprintf(sql, sizeof sql, "SELECT max(coalesce(cost, 0), 0) FROM audit WHERE ticket = %lld", (long long)t->id);
        int64_t cost = room_number(&w->room, sql);
        bool hard = held_hard(w, t);
        int64_t soft = t->ask.output_estimate < t->ask.output_bound ? t->ask.output_estimate : t->ask.output_bound;
        if (!t->tries && policy == LEDGER_CHARGE && hard)
            CHECK(tokens == (t->ask.only_request ? 0 : t->ask.prompt_bound + t->granted), "orphan %lld", (long long)tokens);
        if (!t->tries && policy == LEDGER_CHARGE && !hard && !t->ask.only_request)
            CHECK(tokens == t->ask.prompt_bound + t->granted || tokens == t->ask.prompt_estimate + soft, "orphan %lld", (long long)tokens);
        if (policy == LEDGER_RELEASE && !t->tries) CHECK(tokens == 0 && cost == 0, "released");
        bool charged_hard = policy == LEDGER_CHARGE && t->tries > 0 && tokens == total_of_attempts(t, false, false);
        for (int k = t->tries - 1; k >= 0; k--) {
            if (!t->attempt[k].open) continue;
            bool charge = policy == LEDGER_CHARGE && (t->attempt[0].entry_count || t->tries > 1);
            close_entries(w, t->attempt[k].entries, t->attempt[k].entry_count,
                          !charge ? 0 : charged_hard ? t->attempt[k].tokens : t->attempt[k].soft_tokens,
                          !charge ? 0 : charged_hard ? t->attempt[k].cost : t->attempt[k].soft_cost, false);
            t->attempt[k].open = false;
        }
        close_model(w, t, tokens, cost, false);
    }
}

/* ---- the housekeeper ---- */

static void tidy(struct world *w)
{
    int64_t after = 0;
    int removed;
    do {
        join(w);
        CHECK(ledger_tidy(w->ledger[0], w->db, w->now, 3, &after, &removed) == WEIR_OK, "%s", db_message(w->db));
        close_group(w);
        if (room_number(&w->room, "SELECT time FROM ledger_state") == w->now) stamp_now(w); /* it wrote */
    } while (after);
}

static void forget(struct world *w)
{
    int deleted;
    join(w);
    CHECK(ledger_forget(w->ledger[1], w->db, w->now - (int64_t)roll(3) * 60000, 0, 1 + (int)roll(10), &deleted) == WEIR_OK, "%s", db_message(w->db));
    leave(w);
    w->deleted += deleted;
}

static void step_clock(struct world *w)
{
    static const int64_t steps[] = {0, 0, 1, 3, 4, 50, 999, 1000, 4000, 60000, 3600000, 86400000, 2678400000};
    int64_t by = PICK(steps);
    if (chance(50)) by = (int64_t)roll((uint64_t)by + 1);
    w->now += chance(12) ? -by : by;
    if (w->now < 0) w->now = 0;
}

/* ---- comparing ---- */

struct compare { struct world *w; int64_t now, used[M_RULES], held[M_RULES]; };

static void compare_line(const struct ledger_line *line, void *arg)
{
    struct compare *c = arg;
    const struct model *m = &c->w->m;
    const char *scope = line->via ? line->via : line->scope;
    if (strstr(line->scope, "/*")) return;
    for (int i = 0; i < m->rule_count; i++) {
        const struct m_rule *r = &m->rules[i];
        if (!r->live || !m_is(r->scope, scope) || !m_is(r->metric, metric_names[line->rule.metric]) ||
            !m_is(r->shape, shape_names[line->rule.shape]) || r->seconds != line->rule.seconds) continue;
        if (m_is(r->shape, "calendar") && !m_is(r->period, calendar_names[line->rule.unit])) continue;
        int64_t used = m_used(m, i, line->scope, c->now), held = m_held(m, i, line->scope);
        CHECK(line->used == used, "%s %s %s: used %lld, expected %lld", line->scope, r->metric, r->shape, (long long)line->used, (long long)used);
        CHECK(line->held == held, "%s %s %s: held %lld, expected %lld", line->scope, r->metric, r->shape, (long long)line->held, (long long)held);
        c->used[i] += used;
        c->held[i] += held;
        return;
    }
    CHECK(false, "%s is no limit", line->scope);
}

static void tell_difference(const struct ledger_difference *d, void *arg)
{
    (void)arg;
    fprintf(stderr, "%s %s %s %s: stored %lld, expected %lld\n", d->scope, d->metric, d->shape, d->what, (long long)d->stored,
            (long long)d->expected);
}

static void compare_all(struct world *w)
{
    struct compare c = {.w = w, .now = w->now > w->m.stamp ? w->now : w->m.stamp};
    close_group(w);
    CHECK(ledger_list(w->db, NULL, true, w->now, compare_line, &c) == WEIR_OK, "%s", db_message(w->db));
    for (int i = 0; i < w->m.entry_count; i++) { /* what the model counts is somewhere in the list */
        const struct m_entry *e = &w->m.entries[i];
        bool seen = e->rule < 0;
        for (int j = 0; j < i && !seen; j++) seen = w->m.entries[j].rule == e->rule && m_is(w->m.entries[j].member, e->member);
        if (seen) continue;
        c.used[e->rule] -= m_used(&w->m, e->rule, e->member, c.now);
        c.held[e->rule] -= m_held(&w->m, e->rule, e->member);
    }
    for (int i = 0; i < w->m.rule_count; i++)
        CHECK(!w->m.rules[i].live || (c.used[i] == 0 && c.held[i] == 0), "%s: used %lld, held %lld too much in the list",
              w->m.rules[i].scope, (long long)c.used[i], (long long)c.held[i]);
}

static void check_books(struct world *w)
{
    struct ledger_checked checked;
    int64_t open = 0;
    close_group(w);
    for (int i = 0; i < w->ticket_count; i++) open += w->tickets[i].open;
    CHECK(ledger_check(w->db, &checked, tell_difference, NULL) == WEIR_OK, "%s", db_message(w->db));
    CHECK(checked.differences == 0, "%lld differences", (long long)checked.differences);
    CHECK(checked.open_tickets == open, "%lld open", (long long)checked.open_tickets);
}

/* A hard window, and a hard bucket, hold over every interval of time. */
static void check_intervals(const struct world *w)
{
    for (int i = 0; i < w->m.entry_count; i++) {
        const struct m_entry *from = &w->m.entries[i];
        if (from->rule < 0) continue;
        const struct m_rule *r = &w->m.rules[from->rule];
        bool window = m_is(r->shape, "window"), bucket = m_is(r->shape, "bucket");
        if (r->bent || !r->live || !m_is(r->mode, "hard") || (!window && !bucket)) continue;
        __int128 sum = 0, unit = m_is(r->metric, "cost") ? 1000 : (__int128)1000000000000;
        for (int j = i; j < w->m.entry_count; j++) {
            const struct m_entry *to = &w->m.entries[j];
            if (to->rule != from->rule || !m_is(to->member, from->member)) continue;
            if (window && to->time - from->time > r->seconds * 1000) break;
            sum += to->charge;
            __int128 most = window ? r->amount : r->amount + ((__int128)r->refill * (to->time - from->time) + unit - 1) / unit;
            CHECK(sum <= most, "%s %s %s: %lld in an interval of %lld ms", from->member, r->metric, r->shape, (long long)sum,
                  (long long)(to->time - from->time));
        }
    }
}

static void clear(struct world *w)
{
    static const char *const all = "DELETE FROM limit_rule; DELETE FROM counter; DELETE FROM slot; DELETE FROM ticket; DELETE FROM attempt;"
        "DELETE FROM audit; DELETE FROM rollup; DELETE FROM counter_reset; UPDATE ledger_state SET time = 0, token = random();"
        "UPDATE config_version SET version = version + 1;";
    assert_int_equal(db_begin(w->db), WEIR_OK);
    assert_int_equal(sqlite3_exec(w->db->at, all, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(db_commit(w->db), WEIR_OK);
    for (int i = 0; i < PROCESSES; i++) rollup_forget(w->ledger[i]); /* the gateway never deletes what it forgets here */
    w->m.rule_count = w->m.entry_count = w->m.event_count = w->ticket_count = 0;
    w->m.stamp = w->rows = w->deleted = 0;
    w->charged_tokens = w->charged_cost = 0;
}

static void finish(struct world *w)
{
    step_now = -1;
    for (int i = 0; i < w->ticket_count; i++)
        while (w->tickets[i].open) settle_one(w, &w->tickets[i]);
    compare_all(w);
    check_books(w);
    check_intervals(w);
    CHECK(room_number(&w->room, "SELECT count(*) FROM ticket") == 0, "tickets are left");
    CHECK(room_number(&w->room, "SELECT coalesce(sum(held), 0) FROM counter") == 0, "something is held");
    CHECK(room_number(&w->room, "SELECT count(*) FROM audit") == w->rows - w->deleted, "audit rows");
    CHECK(room_number(&w->room, "SELECT coalesce(sum(requests), 0) FROM rollup") == w->rows, "rollup");
    CHECK(room_number(&w->room, "SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM rollup") == (int64_t)w->charged_tokens, "tokens");
    CHECK(room_number(&w->room, "SELECT coalesce(sum(cost), 0) FROM rollup") == (int64_t)w->charged_cost, "cost");
    CHECK(room_number(&w->room, "SELECT count(DISTINCT ticket) FROM audit") == w->rows - w->deleted, "a ticket has two rows");
}

static void step(struct world *w)
{
    uint64_t what = roll(100);
    step_clock(w);
    if (what < 45) admit(w);
    else if (what < 67) settle(w, true);
    else if (what < 71) settle(w, false);
    else if (what < 83) attempt(w);
    else if (what < 85) crash(w);
    else if (what < 88) change_rule(w);
    else if (what < 90) add_rule(w);
    else if (what < 91) remove_rule(w);
    else if (what < 92) reset_rule(w);
    else if (what < 95) tidy(w);
    else if (what < 97) forget(w);
    else compare_all(w);
    if (chance(10)) check_books(w);
}

static void run_case(struct world *w, uint64_t seed)
{
    static const int64_t starts[] = {951782400000 /* a leap day */, 1790726400000, 1798761595000 /* new year's eve */, 1772323195000};
    seed_now = seed;
    state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < 10; i++) roll(2);
    clear(w);
    w->now = PICK(starts) + (int64_t)roll(10000);
    for (int i = 1 + (int)roll(7); i > 0; i--) add_rule(w);
    int steps = 10 + (int)roll(STEPS);
    for (step_now = 0; step_now < steps; step_now++) step(w);
    finish(w);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void the_ledger_does_what_its_model_does(void **unused)
{
    static struct world w;
    uint64_t first = setting("WEIR_SEED", 1), cases = setting("WEIR_CASES", getenv("WEIR_SEED") ? 1 : CASES);
    (void)unused;
    room_open(&w.room);
    w.db = room_admin(&w.room);
    for (int i = 0; i < PROCESSES; i++) assert_int_equal(ledger_open(w.room.dir, &w.ledger[i]), WEIR_OK);
    for (uint64_t i = 0; i < cases; i++) {
        int pages, moved;
        run_case(&w, first + i);
        if (i % 50 == 0) db_checkpoint(w.db, false, &pages, &moved);
    }
    for (int i = 0; i < PROCESSES; i++) ledger_close(w.ledger[i]);
    db_close(w.db);
    room_close(&w.room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_ledger_does_what_its_model_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
