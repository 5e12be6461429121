/* What the housekeeper does to the ledger: ends the tickets of the dead, removes counters that count nothing, deletes
 * old audit rows without forgetting what they charged. Every function does a small piece and can be asked again. */
#include "sql/content.h"
#include "sql/ledger_process.h"
#include "sql_ids.h"

#define PROCESSES_MAX 256 /* looked at in one sweep */

/* ---- the dead ---- */

static bool was_held_hard(const struct ticket *t)
{
    for (int i = 0; i < t->pairs.count; i++)
        if ((t->pairs.at[i].flags & PAIR_HARD) &&
            (t->pairs.at[i].metric == METRIC_TOKENS || t->pairs.at[i].metric == METRIC_COST)) return true;
    return false;
}

static int64_t sum(int64_t a, int64_t b) { return a > INT64_MAX - b ? INT64_MAX : a + b; }

/* Attempts that left rows are known one by one; else the ticket's own hold is all there is. */
static void charge_hold(struct ticket *t, const struct attempt *all, int count, struct ledger_use *uses,
                        struct audit_row *row)
{
    bool hard = was_held_hard(t);
    int64_t prompt = hard ? t->prompt_bound : t->prompt_estimate, tokens = sum(prompt,
            hard ? t->output_bound : t->output_estimate);
    int64_t cost = hard ? t->cost_bound : t->cost_estimate;
    if (count) tokens = cost = 0;
    for (int i = 0; i < count; i++) {
        uses[i] = (struct ledger_use){.number = (int)all[i].number, .sent = true,
                                      .tokens = hard ? all[i].tokens : all[i].soft_tokens,
                                      .cost = hard ? all[i].cost : all[i].soft_cost};
        tokens = sum(tokens, uses[i].tokens);
        cost = sum(cost, uses[i].cost);
    }
    row->prompt_tokens = prompt < tokens ? prompt : tokens;
    row->completion_tokens = tokens - row->prompt_tokens;
    row->cost = cost;
    row->usage_source = tokens ? "estimated" : "none";
}

static void release_hold(const struct attempt *all, int count, struct ledger_use *uses, struct audit_row *row)
{
    for (int i = 0; i < count; i++) {
        uses[i] = (struct ledger_use){.number = (int)all[i].number, .sent = true};
        if (!all[i].ended) continue;
        row->prompt_tokens = sum(row->prompt_tokens, all[i].tokens);
        row->cost = sum(row->cost, all[i].cost);
    }
    if (row->prompt_tokens) row->usage_source = "estimated";
}

static enum weir_err sweep_ticket(struct ledger *l, struct db *db, int64_t id, enum ledger_orphans policy, int64_t now_ms)
{
    struct arena a;
    struct ticket t;
    struct attempt *all = NULL;
    struct ledger_settled settled;
    struct ledger_use *uses = NULL;
    bool found = false;
    int count = 0;
    arena_init(&a);
    enum weir_err err = ticket_read(db, id, &a, &t, &found);
    if (err == WEIR_OK && found && t.attempts) err = attempts_read(db, id, &a, &all, &count);
    if (err == WEIR_OK && !(uses = arena_alloc(&a, sizeof *uses * (size_t)(count + 1)))) err = WEIR_NOMEM;
    if (err == WEIR_OK && found) {
        struct audit_row row = t.row;
        row.outcome = "orphaned";
        row.usage_source = "none";
        row.cache = "miss";
        row.attempts = count ? count : 1;
        row.first_byte_ms = -1;
        row.latency_ms = now_ms > row.time ? now_ms - row.time : 0;
        if (policy == LEDGER_CHARGE) charge_hold(&t, all, count, uses, &row);
        else release_hold(all, count, uses, &row);
        struct ledger_bill bill = {.ticket = id, .now_ms = now_ms, .row = &row, .uses = uses, .use_count = count};
        err = ledger_settle(l, db, &bill, &settled);
    }
    arena_end(&a);
    return err;
}

static enum weir_err sweep_process(struct ledger *l, struct db *db, int64_t process, enum ledger_orphans policy,
                                   int64_t now_ms, int most, int *swept)
{
    bool row = true;
    enum weir_err err = WEIR_OK;
    while (err == WEIR_OK && *swept < most) {
        struct stmt *s = db_stmt(db, SQL_TICKET_OF_PROCESS);
        stmt_int(s, 1, process);
        err = stmt_step(s, &row);
        int64_t id = err == WEIR_OK && row ? stmt_get_int(s, 0) : 0;
        stmt_reset(s);
        if (err != WEIR_OK || !row) break;
        err = sweep_ticket(l, db, id, policy, now_ms);
        if (err == WEIR_OK) ++*swept;
    }
    if (err != WEIR_OK || row) return err;
    struct stmt *s = db_stmt(db, SQL_PROCESS_DROP);
    stmt_int(s, 1, process);
    return stmt_run(s);
}

enum weir_err ledger_sweep(struct ledger *l, struct db *db, enum ledger_orphans policy, int64_t now_ms, int most, int *swept)
{
    int64_t dead[PROCESSES_MAX];
    int count = 0;
    bool row;
    *swept = 0;
    struct stmt *s = db_stmt(db, SQL_PROCESS_ALL);
    enum weir_err err;
    while ((err = stmt_step(s, &row)) == WEIR_OK && row && count < PROCESSES_MAX)
        if (!ledger_lives(l, stmt_get_text(s, 1).at)) dead[count++] = stmt_get_int(s, 0);
    stmt_reset(s);
    for (int i = 0; i < count && err == WEIR_OK && *swept < most; i++)
        err = sweep_process(l, db, dead[i], policy, now_ms, most, swept);
    return err;
}

/* ---- the idle ---- */

/* A counter that some open ticket may name was touched at that ticket's admission or later. */
static enum weir_err oldest_ticket(struct ledger *l, struct db *db, int64_t *time)
{
    bool row;
    struct stmt *s = db_stmt(db, SQL_TICKET_OLDEST);
    enum weir_err err = stmt_step(s, &row);
    *time = err == WEIR_OK && row && !stmt_is_null(s, 0) ? stmt_get_int(s, 0) : l->now;
    stmt_reset(s);
    return err;
}

static enum weir_err tidy_one(struct ledger *l, struct db *db, int64_t id, int *removed)
{
    struct gauge *g;
    struct touch *t;
    enum weir_err err = ledger_gauge(l, db, id, &g);
    if (err != WEIR_OK || !g) return err;
    err = ledger_touch(l, db, g, &t);
    if (err != WEIR_OK) return err;
    bool idle = t->now.held == 0 && t->now.used == 0;
    l->count = 0;
    if (!idle) return WEIR_OK;
    struct stmt *s = db_stmt(db, SQL_COUNTER_DROP);
    stmt_int(s, 1, id);
    err = stmt_run(s);
    ledger_lose(l, g);
    g->c = (struct counter){0};
    ++*removed;
    return err;
}

#define TIDY_MAX 256

enum weir_err ledger_tidy(struct ledger *l, struct db *db, int64_t now_ms, int most, int64_t *after, int *removed)
{
    int64_t ids[TIDY_MAX], before = 0;
    int count = 0;
    bool row;
    *removed = 0;
    if (most > TIDY_MAX) most = TIDY_MAX;
    enum weir_err err = ledger_look(l, db, now_ms);
    if (err == WEIR_OK) err = db_write_deferred(db); /* idle counters are sought among the rows */
    if (err == WEIR_OK) err = oldest_ticket(l, db, &before);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_COUNTER_MEMBERS);
    stmt_int(s, 1, *after);
    stmt_int(s, 2, before);
    stmt_int(s, 3, most);
    int64_t last = 0;
    int looked = 0;
    while (looked < most && (err = stmt_step(s, &row)) == WEIR_OK && row) {
        last = stmt_get_int(s, 0);
        looked++;
        if (stmt_get_int(s, 1)) ids[count++] = last;
    }
    stmt_reset(s);
    for (int i = 0; i < count && err == WEIR_OK; i++) err = tidy_one(l, db, ids[i], removed);
    if (err == WEIR_OK && count) err = ledger_done(l, db);
    else if (err == WEIR_OK) ledger_unchanged(l);
    if (err == WEIR_OK) *after = looked < most ? 0 : last;
    return err;
}

/* ---- the old ---- */

struct old { int64_t id, number, time, tokens, cost; const char *counters; size_t len; };

static enum weir_err carry_to(struct ledger *l, struct db *db, int64_t counter, const struct old *o)
{
    struct gauge *g;
    struct touch *t;
    enum weir_err err = ledger_gauge(l, db, counter, &g);
    if (err != WEIR_OK || !g || g->rule.shape == SHAPE_BUCKET) return err;
    err = ledger_touch(l, db, g, &t);
    if (err != WEIR_OK || !touch_counts(t, o->number, o->time)) return err;
    int64_t n = g->rule.metric == METRIC_TOKENS ? o->tokens : g->rule.metric == METRIC_COST ? o->cost : 1;
    if (g->rule.shape != SHAPE_WINDOW) {
        t->now.carry = sum(t->now.carry, n);
        return WEIR_OK;
    }
    struct stmt *s = db_stmt(db, SQL_SLOT_CARRY);
    stmt_int(s, 1, counter);
    stmt_int(s, 2, window_slot(g->rule.seconds, o->time));
    stmt_int(s, 3, n);
    return stmt_run(s);
}

static enum weir_err carry(struct ledger *l, struct db *db, const struct old *o)
{
    struct span left = {o->counters, o->len};
    int64_t counter;
    enum weir_err err = WEIR_OK;
    while (err == WEIR_OK && ids_next(&left, &counter)) err = carry_to(l, db, counter, o);
    return err;
}

/* A row of statement audit_oldest. */
static enum weir_err read_old(struct stmt *s, struct arena *a, struct old *o)
{
    struct span packed = stmt_get_blob(s, 3);
    *o = (struct old){.id = stmt_get_int(s, 0), .time = stmt_get_int(s, 1), .number = stmt_get_int(s, 2),
                      .tokens = stmt_get_int(s, 4), .cost = stmt_get_int(s, 5), .len = packed.len};
    return packed.len && !(o->counters = arena_str(a, packed)) ? WEIR_NOMEM : WEIR_OK;
}

static enum weir_err drop(struct db *db, int statement, int64_t id)
{
    struct stmt *s = db_stmt(db, statement);
    stmt_int(s, 1, id);
    return stmt_run(s);
}

static enum weir_err forget_attempts(struct ledger *l, struct db *db, int64_t ticket, struct arena *a)
{
    struct old o[64];
    bool row = true;
    int count = 0;
    struct stmt *s = db_stmt(db, SQL_ATTEMPT_CHARGES);
    stmt_int(s, 1, ticket);
    enum weir_err err = WEIR_OK;
    while (count < 64 && (err = stmt_step(s, &row)) == WEIR_OK && row) {
        o[count] = (struct old){.number = stmt_get_int(s, 0), .time = stmt_get_int(s, 1), .tokens = stmt_get_int(s, 2),
                                .cost = stmt_get_int(s, 3), .len = stmt_get_blob(s, 4).len};
        if (o[count].len && !(o[count].counters = arena_str(a, stmt_get_blob(s, 4)))) { err = WEIR_NOMEM; break; }
        count++;
    }
    stmt_reset(s);
    for (int i = 0; i < count && err == WEIR_OK; i++) err = carry(l, db, &o[i]);
    return err == WEIR_OK ? drop(db, SQL_ATTEMPT_DROP, ticket) : err;
}

static enum weir_err forget_row(struct ledger *l, struct db *db, const struct old *o, struct arena *a)
{
    enum weir_err err = WEIR_OK;
    if (o->number) {
        err = carry(l, db, o);
        if (err == WEIR_OK) err = forget_attempts(l, db, o->number, a);
    }
    return err == WEIR_OK ? drop(db, SQL_AUDIT_DROP, o->id) : err;
}

static enum weir_err newest_row(struct db *db, int64_t *id)
{
    bool row;
    struct stmt *s = db_stmt(db, SQL_AUDIT_NEWEST);
    enum weir_err err = stmt_step(s, &row);
    *id = err == WEIR_OK && row ? stmt_get_int(s, 0) : 0;
    stmt_reset(s);
    return err;
}

/* Those among the oldest `most` rows that may go; fewer if much content goes along with them. */
static enum weir_err read_oldest(struct db *db, int64_t before_ms, int64_t keep_rows, int most, struct arena *a,
                                 struct old *out, int *count)
{
    bool row;
    int64_t newest, heavy = 0;
    enum weir_err err = newest_row(db, &newest);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_AUDIT_OLDEST);
    stmt_int(s, 1, most);
    while (*count < most && heavy < CONTENT_STEP && (err = stmt_step(s, &row)) == WEIR_OK && row) {
        int64_t id = stmt_get_int(s, 0);
        if (stmt_get_int(s, 1) >= before_ms && !(keep_rows > 0 && id <= newest - keep_rows)) continue;
        if ((err = read_old(s, a, &out[*count])) != WEIR_OK) break;
        heavy += stmt_get_int(s, 6);
        ++*count;
    }
    stmt_reset(s);
    return err;
}

enum weir_err ledger_forget(struct ledger *l, struct db *db, int64_t before_ms, int64_t keep_rows, int most, int *deleted)
{
    struct arena a;
    int count = 0;
    *deleted = 0;
    arena_init(&a);
    struct old *rows = arena_alloc(&a, sizeof *rows * (size_t)(most + 1));
    enum weir_err err = rows ? ledger_look(l, db, 0) : WEIR_NOMEM;
    if (err == WEIR_OK) err = db_write_deferred(db); /* carry is added to slots' rows */
    if (err == WEIR_OK) err = read_oldest(db, before_ms, keep_rows, most, &a, rows, &count);
    for (int i = 0; i < count && err == WEIR_OK; i++) err = forget_row(l, db, &rows[i], &a);
    if (err == WEIR_OK) err = ledger_write_touches(l, db);
    if (err == WEIR_OK) err = ledger_done(l, db);
    if (err == WEIR_OK) *deleted = count;
    arena_end(&a);
    return err;
}
