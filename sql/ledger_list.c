/* Limits as people read them: what is used, held and left, as of now. Reads only. */
#include "sql/ledger_room.h"
#include "sql_ids.h"

#define REMEMBERED_MAX 2000 /* of a long list nothing is worth remembering */

struct listing {
    struct ledger *l;
    struct db *db;
    void (*line)(const struct ledger_line *, void *);
    void *arg;
};

static enum weir_err resets_at(struct listing *to, const struct touch *t, int64_t *at)
{
    const struct rule *r = &t->gauge->rule;
    int64_t ms = counter_reset_ms(r, &t->now);
    bool row;
    *at = ms < 0 ? -1 : to->l->now + ms;
    if (r->shape == SHAPE_BUCKET && t->now.used <= 0) *at = -1;
    if (r->shape != SHAPE_WINDOW) return WEIR_OK;
    *at = -1;
    if (!t->now.id || t->now.used <= 0) return WEIR_OK;
    struct stmt *s = db_stmt(to->db, SQL_SLOT_NEWEST);
    stmt_int(s, 1, t->now.id);
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && row && !stmt_is_null(s, 0)) *at = window_leaves(r->seconds, stmt_get_int(s, 0));
    stmt_reset(s);
    return err;
}

static enum weir_err tell(struct listing *to, const struct touch *t, bool with_via)
{
    int64_t room = counter_room(&t->gauge->rule, &t->now);
    struct ledger_line line = {.scope = t->gauge->member, .via = with_via ? t->gauge->scope : NULL, .rule = t->gauge->rule,
                               .used = t->now.used, .held = t->now.held, .remaining = room > 0 ? room : 0,
                               .warned = t->now.warned};
    enum weir_err err = resets_at(to, t, &line.resets_at);
    if (err == WEIR_OK) to->line(&line, to->arg);
    return err;
}

static void tell_empty(struct listing *to, const char *scope, const struct rule *r)
{
    struct counter c = counter_new(r, to->l->now, 0);
    struct ledger_line line = {.scope = scope, .rule = *r, .remaining = r->amount, .resets_at = -1};
    if (r->shape == SHAPE_CALENDAR) line.resets_at = c.mark;
    to->line(&line, to->arg);
}

/* The counters whose ids the statement gives, which may be a hundred thousand. */
static enum weir_err tell_counters(struct listing *to, struct stmt *s, bool with_via, int *told)
{
    bool row;
    enum weir_err err;
    struct gauge *g;
    struct touch *t;
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        if ((err = ledger_gauge(to->l, to->db, stmt_get_int(s, 0), &g)) != WEIR_OK) break;
        if (g && (err = ledger_touch(to->l, to->db, g, &t)) == WEIR_OK) err = tell(to, t, with_via);
        if (err != WEIR_OK) break;
        to->l->count = 0;
        if (to->l->things > REMEMBERED_MAX) ledger_forget_memory(to->l);
        ++*told;
    }
    stmt_reset(s);
    return err;
}

static enum weir_err tell_rule(struct listing *to, struct stmt *s, bool members)
{
    struct rule r;
    int told = 0;
    enum weir_err err = ledger_read_rule(s, 0, &r);
    if (err != WEIR_OK) return err;
    const char *scope = stmt_get_text(s, 1).at, *slash = strchr(scope, '/');
    bool star = slash && strcmp(slash, "/*") == 0;
    if (star) tell_empty(to, scope, &r);
    if (!star || members) {
        struct stmt *counters = db_stmt(to->db, SQL_COUNTER_OF_RULE);
        stmt_int(counters, 1, r.id);
        err = tell_counters(to, counters, star, &told);
    }
    if (err == WEIR_OK && !star && !told) tell_empty(to, scope, &r);
    return err;
}

static enum weir_err start(struct listing *to, int64_t now_ms)
{
    to->l = ledger_memory_new();
    if (!to->l) return WEIR_NOMEM;
    return ledger_look(to->l, to->db, now_ms);
}

enum weir_err ledger_list(struct db *db, const char *scope, bool members, int64_t now_ms,
                          void (*line)(const struct ledger_line *, void *), void *arg)
{
    struct listing to = {.db = db, .line = line, .arg = arg};
    bool row;
    enum weir_err err = start(&to, now_ms);
    struct stmt *s = db_stmt(db, SQL_RULE_LIST);
    stmt_text(s, 1, span_of(scope));
    while (err == WEIR_OK && (err = stmt_step(s, &row)) == WEIR_OK && row) err = tell_rule(&to, s, members);
    stmt_reset(s);
    ledger_memory_free(to.l);
    return err;
}

enum weir_err ledger_list_part(struct db *db, const char *from, const char *below, int most, int64_t now_ms,
                               char next[LEDGER_SCOPE_MAX], void (*line)(const struct ledger_line *, void *), void *arg)
{
    struct listing to = {.db = db, .line = line, .arg = arg};
    char last[LEDGER_SCOPE_MAX] = "";
    bool row;
    enum weir_err err = start(&to, now_ms);
    struct stmt *s = db_stmt(db, SQL_RULE_PART);
    stmt_text(s, 1, span_of(from));
    stmt_text(s, 2, span_of(below));
    *next = '\0';
    for (int told = 0; err == WEIR_OK && (err = stmt_step(s, &row)) == WEIR_OK && row; told++) {
        struct span scope = stmt_get_text(s, 1);
        bool same = span_is(scope, last); /* the limits of one scope stay together */
        memcpy(same ? last : told < most ? last : next, scope.at, scope.len + 1); /* no scope is longer: doc_limits.c */
        if (!same && told >= most) break;
        err = tell_rule(&to, s, false);
    }
    stmt_reset(s);
    ledger_memory_free(to.l);
    return err;
}

enum weir_err ledger_list_members(struct db *db, int64_t rule, const char *member, int most, int64_t now_ms,
                                  void (*line)(const struct ledger_line *, void *), void *arg)
{
    struct listing to = {.db = db, .line = line, .arg = arg};
    int told = 0;
    enum weir_err err = start(&to, now_ms);
    struct stmt *s = db_stmt(db, SQL_COUNTER_HIGHEST);
    stmt_int(s, 1, rule);
    stmt_text(s, 2, span_of(member));
    stmt_int(s, 3, most);
    if (err == WEIR_OK) err = tell_counters(&to, s, true, &told);
    else stmt_reset(s);
    ledger_memory_free(to.l);
    return err;
}

enum weir_err ledger_list_tight(struct db *db, int most, int64_t now_ms,
                                void (*line)(const struct ledger_line *, void *), void *arg)
{
    struct listing to = {.db = db, .line = line, .arg = arg};
    int told = 0;
    enum weir_err err = start(&to, now_ms);
    struct stmt *s = db_stmt(db, SQL_COUNTER_TIGHT);
    stmt_int(s, 1, most);
    if (err == WEIR_OK) err = tell_counters(&to, s, true, &told);
    else stmt_reset(s);
    ledger_memory_free(to.l);
    return err;
}

enum weir_err ledger_usage(struct db *db, const struct ledger_who *who, int64_t now_ms,
                           void (*line)(const struct ledger_line *, void *), void *arg)
{
    struct listing to = {.db = db, .line = line, .arg = arg};
    enum weir_err err = start(&to, now_ms);
    if (err == WEIR_OK) err = ledger_touch_who(to.l, db, who);
    for (int i = 0; err == WEIR_OK && i < to.l->count; i++) err = tell(&to, &to.l->touch[i], true);
    ledger_memory_free(to.l);
    return err;
}
