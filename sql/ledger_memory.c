/* The ledger's memory: rules by scope and counters, so that a request asks the database for what it has to write and
 * little else. Rules are good for one config_version; counters as long as the database shows the token of our own last
 * write. What is not sure is read again; the whole is bounded and forgotten at once when full. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include "fcgi/base/secret.h"
#include "fcgi/base/text.h"
#include "sql/ledger_room.h"
#include "sql_ids.h"

#define THINGS_MAX 16384 /* members and gauges in memory, some 300 bytes each */

const char *const kind_names[LEDGER_KINDS] = {"global", "team", "rolegroup", "role", "user", "key", "ip", "model",
                                              "provider"};

struct ledger *ledger_memory_new(void)
{
    struct ledger *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->fd = -1;
    l->generation = 1;
    l->version = -1;
    secret_random(&l->next_token, sizeof l->next_token);
    return l;
}

void ledger_forget_memory(struct ledger *l)
{
    for (int i = 0; i < TABLE_SIZE; i++) {
        for (struct member *m = l->members[i], *next; m; m = next) {
            next = m->next;
            free(m->at);
            free(m->name);
            free(m);
        }
        for (struct gauge *g = l->by_key[i], *next; g; g = next) {
            next = g->next_key;
            free(g->member);
            free(g->scope);
            free(g);
        }
        l->members[i] = NULL;
        l->by_key[i] = l->by_id[i] = NULL;
    }
    for (int i = 0; i < l->range_count; i++) free(l->ranges[i]);
    free(l->ranges);
    l->ranges = NULL;
    l->range_count = l->things = 0;
    l->ranges_known = false;
}

void ledger_memory_free(struct ledger *l)
{
    if (!l) return;
    ledger_forget_memory(l);
    rollup_free(l);
    free(l->touch);
    free(l->dir);
    free(l->lock);
    free(l);
}

/* ---- operations ---- */

/* Every gauge that is behind, or was when what it was to write was undone. */
static struct gauge *take_behind(struct ledger *l)
{
    struct gauge *g = l->behind;
    if (g) l->behind = g->next_behind;
    if (g) g->behind = false;
    return g;
}

static enum weir_err write_state(struct ledger *l, struct db *db)
{
    struct stmt *s = db_stmt(db, SQL_LEDGER_STATE_PUT);
    stmt_int(s, 1, l->time);
    stmt_int(s, 2, l->last_ticket);
    stmt_int(s, 3, l->token);
    return stmt_run(s);
}

static enum weir_err write_behind(void *arg, struct db *db)
{
    struct ledger *l = arg;
    enum weir_err err = WEIR_OK;
    for (struct gauge *g; err == WEIR_OK && (g = take_behind(l));) err = gauge_write(db, g);
    if (err == WEIR_OK) err = rollup_write(l, db);
    return err == WEIR_OK ? write_state(l, db) : err;
}

static void forget_behind(struct ledger *l)
{
    for (struct gauge *g; (g = take_behind(l));) g->add = 0;
    rollup_undo(l);
}

/* The state as the database has it. Its version cannot change while a transaction of ours is open. */
static enum weir_err read_state(struct ledger *l, struct db *db)
{
    bool row;
    enum weir_err err = db_write_deferred(db);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_LEDGER_STATE);
    err = stmt_step(s, &row);
    if (err == WEIR_OK && !row) err = WEIR_CORRUPT;
    if (err != WEIR_OK) { stmt_reset(s); return err; }
    int64_t version = stmt_get_int(s, 3);
    l->time = stmt_get_int(s, 0);
    l->last_ticket = stmt_get_int(s, 1);
    l->seen_token = stmt_get_int(s, 2);
    stmt_reset(s);
    forget_behind(l);
    if (version != l->version || l->things > THINGS_MAX) ledger_forget_memory(l);
    l->version = version;
    if (!l->trusted || l->token != l->seen_token) {
        l->generation++;
        l->process = 0;
    }
    if (l->undone != db_undone(db)) rollup_forget(l);
    l->undone = db_undone(db);
    return WEIR_OK;
}

/* While we have something deferred, nobody else has written, and nothing was undone. */
enum weir_err ledger_look(struct ledger *l, struct db *db, int64_t now_ms)
{
    bool known = l->trusted && db_is_deferring(db, l) && l->things <= THINGS_MAX;
    enum weir_err err = known ? WEIR_OK : read_state(l, db);
    if (known) l->seen_token = l->token;
    l->now = now_ms > l->time ? now_ms : l->time;
    l->lag = l->now - now_ms;
    l->trusted = false;
    l->count = 0;
    return err;
}

void ledger_unchanged(struct ledger *l)
{
    l->token = l->seen_token;
    l->trusted = true;
}

enum weir_err ledger_done(struct ledger *l, struct db *db)
{
    l->token = l->next_token = (int64_t)((uint64_t)l->next_token + 1);
    l->time = l->now;
    enum weir_err err = db_defer(db, write_behind, l);
    l->trusted = err == WEIR_OK;
    return err;
}

/* ---- gauges ---- */

static unsigned hash_of(const char *text, uint64_t seed)
{
    uint64_t h = 1469598103934665603u ^ seed;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 1099511628211u;
    return (unsigned)(h ^ h >> 32) % TABLE_SIZE;
}

void ledger_know(struct ledger *l, struct gauge *g)
{
    struct gauge **place = &l->by_id[(uint64_t)g->c.id % TABLE_SIZE];
    for (struct gauge *known = *place; known; known = known->next_id)
        if (known == g) return;
    g->next_id = *place;
    *place = g;
}

void ledger_lose(struct ledger *l, struct gauge *g)
{
    struct gauge **place = &l->by_id[(uint64_t)g->c.id % TABLE_SIZE];
    while (*place && *place != g) place = &(*place)->next_id;
    if (*place) *place = g->next_id;
    g->next_id = NULL;
}

static struct counter read_counter(struct stmt *s)
{
    return (struct counter){.id = stmt_get_int(s, 0), .first = stmt_get_int(s, 1), .used = stmt_get_int(s, 2),
                            .held = stmt_get_int(s, 3), .at = stmt_get_int(s, 4), .rem = stmt_get_int(s, 5),
                            .mark = stmt_get_int(s, 6), .warned = stmt_get_int(s, 7), .carry = stmt_get_int(s, 8)};
}

/* The row as it is now, or none. The gauge may be found by its id from then on. */
enum weir_err ledger_refresh(struct ledger *l, struct db *db, struct gauge *g)
{
    bool row;
    struct stmt *s = db_stmt(db, SQL_COUNTER_FIND);
    stmt_int(s, 1, g->rule.id);
    stmt_text(s, 2, span_of(g->member));
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK) {
        if (g->c.id) ledger_lose(l, g);
        g->c = row ? read_counter(s) : (struct counter){0};
        if (row) ledger_know(l, g);
        g->generation = l->generation;
    }
    stmt_reset(s);
    return err;
}

enum weir_err ledger_read_rule(struct stmt *s, int col, struct rule *r)
{
    *r = (struct rule){.id = stmt_get_int(s, col), .seconds = stmt_get_int(s, col + 5), .amount = stmt_get_int(s, col + 7),
                       .refill = stmt_get_int(s, col + 8), .utc_offset_min = stmt_get_int(s, col + 9),
                       .warn_percent = stmt_get_int(s, col + 10)};
    if (!rule_words(r, stmt_get_text(s, col + 2).at, stmt_get_text(s, col + 3).at, stmt_get_text(s, col + 4).at,
                    stmt_get_text(s, col + 6).at) || (r->shape == SHAPE_WINDOW && r->seconds <= 0))
        return WEIR_CORRUPT;
    return WEIR_OK;
}

/* The gauge of that rule and member; made, unread, if it is not in memory. */
static enum weir_err gauge_of(struct ledger *l, const struct rule *r, const char *scope, const char *member,
                              struct gauge **out)
{
    struct gauge **place = &l->by_key[hash_of(member, (uint64_t)r->id)];
    for (*out = *place; *out; *out = (*out)->next_key)
        if ((*out)->rule.id == r->id && strcmp((*out)->member, member) == 0) return WEIR_OK;
    struct gauge *g = calloc(1, sizeof *g);
    if (!g) return WEIR_NOMEM;
    *g = (struct gauge){.rule = *r, .member = strdup(member), .scope = strdup(scope)};
    if (!g->member || !g->scope) {
        free(g->member);
        free(g->scope);
        free(g);
        return WEIR_NOMEM;
    }
    g->next_key = *place;
    *place = g;
    l->things++;
    *out = g;
    return WEIR_OK;
}

enum weir_err ledger_gauge(struct ledger *l, struct db *db, int64_t id, struct gauge **out)
{
    for (*out = l->by_id[(uint64_t)id % TABLE_SIZE]; *out; *out = (*out)->next_id)
        if ((*out)->c.id == id) break;
    if (*out && (*out)->generation == l->generation) return WEIR_OK;
    bool row;
    struct rule r;
    *out = NULL;
    struct stmt *s = db_stmt(db, SQL_COUNTER_BY_ID);
    stmt_int(s, 1, id);
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && row) err = ledger_read_rule(s, 9, &r);
    if (err == WEIR_OK && row) err = gauge_of(l, &r, stmt_get_text(s, 10).at, stmt_get_text(s, 20).at, out);
    if (err == WEIR_OK && row) {
        struct gauge *g = *out;
        if (g->c.id) ledger_lose(l, g);
        g->c = read_counter(s);
        g->generation = l->generation;
        ledger_know(l, g);
    }
    stmt_reset(s);
    return err;
}

/* ---- members ---- */

/* The scopes that are a member's own, and as whom it counts under the star limit. */
struct names { char scope[3][LEDGER_SCOPE_MAX + 64], star_member[LEDGER_SCOPE_MAX + 64]; int own; };

static bool append(struct member *m, struct gauge *g)
{
    for (int i = 0; i < m->count; i++)
        if (m->at[i] == g) return true;
    if ((m->count & (m->count - 1)) == 0) { /* full at every power of two */
        struct gauge **more = realloc(m->at, sizeof *more * (size_t)(m->count ? m->count * 2 : 1));
        if (!more) return false;
        m->at = more;
    }
    m->at[m->count++] = g;
    return true;
}

static bool has_own(const struct member *m, int own, const struct rule *r)
{
    for (int i = 0; i < own; i++)
        if (m->at[i]->rule.metric == r->metric && m->at[i]->rule.shape == r->shape) return true;
    return false;
}

/* The rules of one scope, counted for `member`; those that one of the first `own` stands for are left out. */
static enum weir_err load_scope(struct ledger *l, struct db *db, struct member *m, const char *scope,
                                const char *member, int own)
{
    bool row;
    struct rule r;
    struct gauge *g;
    struct stmt *s = db_stmt(db, SQL_RULE_BY_SCOPE);
    stmt_text(s, 1, span_of(scope));
    enum weir_err err;
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        if ((err = ledger_read_rule(s, 0, &r)) != WEIR_OK) break;
        if (has_own(m, own, &r)) continue;
        if ((err = gauge_of(l, &r, scope, member, &g)) != WEIR_OK) break;
        if (!append(m, g)) { err = WEIR_NOMEM; break; }
    }
    stmt_reset(s);
    return err;
}

static enum weir_err load_ranges(struct ledger *l, struct db *db)
{
    bool row;
    struct stmt *s = db_stmt(db, SQL_RULE_RANGES);
    enum weir_err err;
    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        char **more = realloc(l->ranges, sizeof *more * (size_t)(l->range_count + 1));
        if (!more) { err = WEIR_NOMEM; break; }
        l->ranges = more;
        if (!(more[l->range_count] = strdup(stmt_get_text(s, 0).at))) { err = WEIR_NOMEM; break; }
        l->range_count++;
    }
    stmt_reset(s);
    if (err == WEIR_OK) l->ranges_known = true;
    return err;
}

static void name_ip(struct names *n, const char *text)
{
    struct in6_addr six;
    struct in_addr four;
    char plain[INET6_ADDRSTRLEN];
    if (inet_pton(AF_INET, text, &four) == 1) return;
    if (inet_pton(AF_INET6, text, &six) != 1) return;
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
        inet_ntop(AF_INET, six.s6_addr + 12, plain, sizeof plain);
        snprintf(n->scope[1], sizeof n->scope[1], "ip/%s", plain);
        snprintf(n->star_member, sizeof n->star_member, "ip/%s", plain);
        n->own = 2;
        return;
    }
    inet_ntop(AF_INET6, &six, plain, sizeof plain);
    snprintf(n->scope[1], sizeof n->scope[1], "ip/%s", plain);
    memset(six.s6_addr + 8, 0, 8);
    inet_ntop(AF_INET6, &six, plain, sizeof plain);
    snprintf(n->scope[2], sizeof n->scope[2], "ip/%s/64", plain);
    snprintf(n->star_member, sizeof n->star_member, "ip/%s/64", plain);
    n->own = 3;
}

static enum weir_err load_ranges_of(struct ledger *l, struct db *db, struct member *m, const struct names *n)
{
    enum weir_err err = l->ranges_known ? WEIR_OK : load_ranges(l, db);
    struct span address = span_of(strchr(n->scope[n->own > 1 ? 1 : 0], '/') + 1);
    for (int i = 0; i < l->range_count && err == WEIR_OK; i++)
        if (ip_in_range(address, span_of(l->ranges[i] + 3))) err = load_scope(l, db, m, l->ranges[i], l->ranges[i], 0);
    return err;
}

static enum weir_err load_member(struct ledger *l, struct db *db, struct member *m)
{
    struct names n = {.own = 1};
    char star[LEDGER_SCOPE_MAX];
    if (m->kind == KIND_GLOBAL) return load_scope(l, db, m, "global", "global", 0);
    snprintf(star, sizeof star, "%s/*", kind_names[m->kind]);
    if (snprintf(n.scope[0], sizeof n.scope[0], "%s/%s", kind_names[m->kind], m->name) >= (int)sizeof n.scope[0])
        return WEIR_INVALID;
    memcpy(n.star_member, n.scope[0], sizeof n.star_member);
    if (m->kind == KIND_IP) name_ip(&n, m->name);
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < n.own && err == WEIR_OK; i++)
        if (strcmp(n.scope[i], star) != 0 && (i == 0 || strcmp(n.scope[i], n.scope[i - 1]) != 0))
            err = load_scope(l, db, m, n.scope[i], n.scope[i], 0);
    int own = m->count;
    if (err == WEIR_OK && m->kind == KIND_IP) err = load_ranges_of(l, db, m, &n);
    return err == WEIR_OK ? load_scope(l, db, m, star, n.star_member, own) : err;
}

enum weir_err ledger_member(struct ledger *l, struct db *db, enum kind kind, const char *name, struct member **out)
{
    struct member **place = &l->members[hash_of(name, kind)];
    for (*out = *place; *out; *out = (*out)->next)
        if ((*out)->kind == kind && strcmp((*out)->name, name) == 0) return WEIR_OK;
    struct member *m = calloc(1, sizeof *m);
    if (!m) return WEIR_NOMEM;
    *m = (struct member){.name = strdup(name), .kind = kind};
    enum weir_err err = m->name ? load_member(l, db, m) : WEIR_NOMEM;
    if (err != WEIR_OK) {
        free(m->at);
        free(m->name);
        free(m);
        return err;
    }
    m->next = *place;
    *place = m;
    l->things++;
    *out = m;
    return WEIR_OK;
}
