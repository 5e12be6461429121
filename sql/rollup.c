/* Hourly sums: one row an hour and caller, model, provider; and one an hour, model, provider, for a large site has a
 * hundred thousand of the first a day. Charts and listings read these instead of the audit log. The numbers of rows lately
 * written are kept, for finding a row by its names costs more than adding to it; what a transaction adds to a row is added
 * up and written once, before its commit. */
#include <stdlib.h>
#include "sql/ledger_room.h"
#include "sql_ids.h"

#define HOUR_MS 3600000
#define NAMES 6
#define BEHIND 32
#define PLACES 256
#define NAMES_MAX 240 /* bytes of all names of a row that is remembered */

/* In the order of statements rollup_add, which ends before the cache's, and route_add. */
enum { REQUESTS, PROMPT, CACHED, COMPLETION, COST, UNPRICED, ERRORS, LATENCY, CALLER_SUMS = LATENCY + 10,
       CACHE_ASKED = CALLER_SUMS, CACHE_SERVED, SUMS };

/* The tables: their statements, by which of the names they tell rows apart, and how many sums they have. */
static const struct table { int find, add_row, add, names, at[NAMES]; char mark; int sums; } tables[] = {
    {SQL_ROLLUP_FIND, SQL_ROLLUP_NEW, SQL_ROLLUP_ADD, NAMES, {0, 1, 2, 3, 4, 5}, 'c', CALLER_SUMS},
    {SQL_ROUTE_FIND, SQL_ROUTE_NEW, SQL_ROUTE_ADD, 2, {3, 4}, 'r', SUMS},
};
#define TABLES (sizeof tables / sizeof *tables)

struct sums { const struct table *table; int64_t row, of[SUMS]; };

struct stored_rollup {
    struct sums behind[BEHIND]; /* to be written before the commit */
    int behind_count;
    struct { int64_t id, hour; unsigned len; char names[NAMES_MAX]; } at[PLACES];
};

static const int latency_most[] = {50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000};

static int latency_bucket(int64_t ms)
{
    int i = 0;
    while (i < 9 && ms > latency_most[i]) i++;
    return i;
}

void rollup_forget(struct ledger *l)
{
    for (int i = 0; l->rollups && i < PLACES; i++) l->rollups->at[i].id = 0;
}

void rollup_undo(struct ledger *l)
{
    if (l->rollups) l->rollups->behind_count = 0;
}

void rollup_free(struct ledger *l)
{
    free(l->rollups);
    l->rollups = NULL;
}

static void bind_names(struct stmt *s, const struct table *t, int64_t hour, const char *const *names)
{
    stmt_int(s, 1, hour);
    for (int i = 0; i < t->names; i++) stmt_text(s, 2 + i, span_of(names[t->at[i]]));
}

static enum weir_err find_row(struct db *db, const struct table *t, int64_t hour, const char *const *names, int64_t *id)
{
    bool row;
    struct stmt *s = db_stmt(db, t->find);
    bind_names(s, t, hour, names);
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && row) *id = stmt_get_int(s, 0);
    stmt_reset(s);
    if (err != WEIR_OK || row) return err;
    s = db_stmt(db, t->add_row);
    bind_names(s, t, hour, names);
    err = stmt_run(s);
    if (err == WEIR_OK) *id = db_last_id(db);
    return err;
}

/* The table's mark, and the names with a NUL behind each; 0: too long to be remembered. */
static unsigned join(const struct table *t, const char *const *names, char out[NAMES_MAX], unsigned *hash)
{
    size_t len = 1;
    *hash = 2166136261u;
    out[0] = t->mark;
    for (int i = 0; i < t->names; i++) {
        size_t n = strlen(names[t->at[i]]) + 1;
        if (len + n > NAMES_MAX) return 0;
        memcpy(out + len, names[t->at[i]], n);
        len += n;
    }
    for (size_t i = 0; i < len; i++) *hash = (*hash ^ (unsigned char)out[i]) * 16777619u;
    return (unsigned)len;
}

static enum weir_err row_for(struct ledger *l, struct db *db, const struct table *t, int64_t hour, const char *const *names,
                             int64_t *id)
{
    char joined[NAMES_MAX];
    unsigned hash, len = join(t, names, joined, &hash);
    if (!len) return find_row(db, t, hour, names, id);
    int place = (int)((hash ^ (unsigned)(hour / HOUR_MS)) % PLACES);
    if (l->rollups->at[place].id && l->rollups->at[place].hour == hour && l->rollups->at[place].len == len &&
        memcmp(l->rollups->at[place].names, joined, len) == 0) {
        *id = l->rollups->at[place].id;
        return WEIR_OK;
    }
    enum weir_err err = find_row(db, t, hour, names, id);
    if (err != WEIR_OK) return err;
    l->rollups->at[place].id = *id;
    l->rollups->at[place].hour = hour;
    l->rollups->at[place].len = len;
    memcpy(l->rollups->at[place].names, joined, len);
    return WEIR_OK;
}

static enum weir_err behind_for(struct ledger *l, struct db *db, const struct table *t, int64_t row, struct sums **out)
{
    struct stored_rollup *r = l->rollups;
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < r->behind_count; i++)
        if (r->behind[i].table == t && r->behind[i].row == row) { *out = &r->behind[i]; return WEIR_OK; }
    if (r->behind_count == BEHIND) err = rollup_write(l, db);
    *out = &r->behind[r->behind_count++];
    **out = (struct sums){.table = t, .row = row};
    return err;
}

static bool is_error(const struct audit_row *r) { return strcmp(r->outcome, "ok") != 0 && strcmp(r->outcome,
                     "cancelled") != 0; }

/* The cache, for this request. What became of an orphan nobody saw. */
static bool was_asked(const struct audit_row *r)
{
    return strcmp(r->cache, "bypass") != 0 && strcmp(r->outcome, "orphaned") != 0;
}

static enum weir_err add(struct ledger *l, struct db *db, const struct table *t, const char *const *names,
                         const struct audit_row *r)
{
    int64_t id = 0, hour = r->time - (r->time % HOUR_MS + HOUR_MS) % HOUR_MS;
    enum weir_err err = row_for(l, db, t, hour, names, &id);
    struct sums *to = NULL;
    if (err == WEIR_OK) err = behind_for(l, db, t, id, &to);
    if (err != WEIR_OK) return err;
    const int64_t amounts[LATENCY] = {1, r->prompt_tokens, r->cached_tokens, r->completion_tokens,
                                      r->cost > 0 ? r->cost : 0, r->cost < 0, is_error(r)};
    for (int i = 0; i < LATENCY; i++)
        if (__builtin_add_overflow(to->of[i], amounts[i], &to->of[i])) to->of[i] = INT64_MAX;
    to->of[LATENCY + latency_bucket(r->latency_ms)]++;
    to->of[CACHE_ASKED] += was_asked(r);
    to->of[CACHE_SERVED] += was_asked(r) && strcmp(r->cache, "miss") != 0;
    return WEIR_OK;
}

enum weir_err rollup_add(struct ledger *l, struct db *db, const struct audit_row *r)
{
    const char *names[NAMES] = {r->user, r->team, r->role, r->alias, r->provider, r->key};
    enum weir_err err = WEIR_OK;
    for (int i = 0; i < NAMES; i++)
        if (!names[i]) names[i] = "";
    if (!l->rollups && !(l->rollups = calloc(1, sizeof *l->rollups))) return WEIR_NOMEM;
    for (size_t t = 0; t < TABLES && err == WEIR_OK; t++) err = add(l, db, &tables[t], names, r);
    return err;
}

enum weir_err rollup_write(struct ledger *l, struct db *db)
{
    enum weir_err err = WEIR_OK;
    for (int i = 0; l->rollups && i < l->rollups->behind_count && err == WEIR_OK; i++) {
        const struct sums *from = &l->rollups->behind[i];
        struct stmt *s = db_stmt(db, from->table->add);
        stmt_int(s, 1, from->row);
        for (int n = 0; n < from->table->sums; n++) stmt_int(s, 2 + n, from->of[n]);
        err = stmt_run(s);
        if (err == WEIR_OK && db_changes(db) != 1) err = WEIR_CORRUPT; /* a row is gone: all runs again */
    }
    rollup_undo(l);
    return err;
}
