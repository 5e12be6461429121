/* Administrators, their sessions, and the slow-down after failed log-ins: their rows. */
#include "sql/administrators.h"

#include "fcgi/base/text.h"
#include "sql_ids.h"

/* ---- administrators ---- */

/* Nine columns from `col` on; strings are the statement's. */
static enum weir_err read_row(struct stmt *s, int col, struct administrator *out)
{
    *out = (struct administrator){.id = stmt_get_int(s, col), .name = stmt_get_text(s, col + 1).at,
                                  .password = stmt_get_text(s, col + 3).at, .must_change = stmt_get_int(s, col + 4) != 0,
                                  .created = stmt_get_int(s, col + 5), .disabled = stmt_get_int(s, col + 6),
                                  .last_login = stmt_get_int(s, col + 7), .code = stmt_get_blob(s, col + 8)};
    return admin_role_parse(stmt_get_text(s, col + 2), &out->role) ? WEIR_OK : WEIR_CORRUPT;
}

static enum weir_err keep(struct arena *a, struct administrator *out)
{
    out->name = arena_str(a, span_of(out->name));
    out->password = arena_str(a, span_of(out->password));
    if (out->code.at) out->code.at = arena_str(a, out->code);
    return out->name && out->password && (out->code.at || !out->code.len) ? WEIR_OK : WEIR_NOMEM;
}

enum weir_err administrator_find(struct db *db, struct span name, struct arena *a, struct administrator *out)
{
    struct stmt *s = db_stmt(db, SQL_ADMINISTRATOR_FIND);
    bool row;
    stmt_text(s, 1, name);
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK) err = row ? read_row(s, 0, out) : WEIR_NOT_FOUND;
    if (err == WEIR_OK) err = keep(a, out);
    stmt_reset(s);
    return err;
}

enum weir_err administrators_each(struct db *db, void (*row)(const struct administrator *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_ADMINISTRATOR_ALL);
    struct administrator a;
    bool more;
    enum weir_err err;
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        if ((err = read_row(s, 0, &a)) != WEIR_OK) break;
        row(&a, arg);
    }
    stmt_reset(s);
    return err;
}

static enum weir_err read_number(struct stmt *s, int64_t *out)
{
    bool row;
    enum weir_err err = stmt_step(s, &row);
    *out = err == WEIR_OK && row ? stmt_get_int(s, 0) : 0;
    stmt_reset(s);
    return err;
}

enum weir_err administrators_able(struct db *db, int64_t *count)
{
    return read_number(db_stmt(db, SQL_ADMINISTRATOR_ABLE), count);
}

enum weir_err administrator_add(struct db *db, const struct administrator *a)
{
    struct stmt *s = db_stmt(db, SQL_ADMINISTRATOR_ADD);
    stmt_text(s, 1, span_of(a->name));
    stmt_text(s, 2, span_of(admin_role_names[a->role]));
    stmt_text(s, 3, span_of(a->password));
    stmt_int(s, 4, a->must_change);
    stmt_int(s, 5, a->created);
    return stmt_run(s);
}

/* Runs a statement about one administrator, whose sessions end with it. */
static enum weir_err changed(struct db *db, int64_t id, struct stmt *s)
{
    stmt_int(s, 1, id);
    enum weir_err err = stmt_run(s);
    if (err == WEIR_OK && db_changes(db) == 0) err = WEIR_NOT_FOUND;
    return err == WEIR_OK ? sessions_end(db, id) : err;
}

enum weir_err administrator_role(struct db *db, int64_t id, enum admin_role role)
{
    struct stmt *s = db_stmt(db, SQL_ADMINISTRATOR_ROLE);
    stmt_text(s, 2, span_of(admin_role_names[role]));
    return changed(db, id, s);
}

enum weir_err administrator_password(struct db *db, int64_t id, const char *password, bool must_change)
{
    struct stmt *s = db_stmt(db, SQL_ADMINISTRATOR_PASSWORD);
    stmt_text(s, 2, span_of(password));
    stmt_int(s, 3, must_change);
    return changed(db, id, s);
}

enum weir_err administrator_disable(struct db *db, int64_t id, int64_t now_ms)
{
    struct stmt *s = db_stmt(db, SQL_ADMINISTRATOR_DISABLE);
    if (now_ms) stmt_int(s, 2, now_ms); else stmt_null(s, 2);
    return changed(db, id, s);
}

enum weir_err administrator_code(struct db *db, int64_t id, struct span code, int64_t step)
{
    struct stmt *s = db_stmt(db, SQL_ADMINISTRATOR_CODE);
    if (code.at) stmt_blob(s, 2, code); else stmt_null(s, 2);
    stmt_int(s, 3, step);
    return changed(db, id, s);
}

enum weir_err administrator_code_taken(struct db *db, int64_t id, int64_t step)
{
    struct stmt *s = db_stmt(db, SQL_ADMINISTRATOR_CODE_TAKEN);
    stmt_int(s, 1, id);
    stmt_int(s, 2, step);
    enum weir_err err = stmt_run(s);
    return err == WEIR_OK && db_changes(db) == 0 ? WEIR_EXISTS : err;
}

/* ---- sessions ---- */

static struct span hash_span(const struct client_hash *hash)
{
    return (struct span){(const char *)hash->at, sizeof hash->at};
}

enum weir_err session_find(struct db *db, const struct client_hash *hash, int64_t now_ms, struct arena *a,
                           struct admin_session *out)
{
    struct stmt *s = db_stmt(db, SQL_SESSION_FIND);
    bool row;
    stmt_blob(s, 1, hash_span(hash));
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK) err = row ? read_row(s, 2, &out->who) : WEIR_NOT_FOUND;
    if (err == WEIR_OK) err = keep(a, &out->who);
    if (err == WEIR_OK) out->created = stmt_get_int(s, 0), out->seen = stmt_get_int(s, 1);
    stmt_reset(s);
    if (err != WEIR_OK) return err;
    bool ended = now_ms - out->created >= SESSION_MOST_MS || now_ms - out->seen >= SESSION_IDLE_MS || out->who.disabled;
    return ended ? WEIR_NOT_FOUND : WEIR_OK;
}

enum weir_err session_add(struct db *db, const struct client_hash *hash, int64_t administrator, const char *ip,
                          int64_t now_ms)
{
    struct stmt *s = db_stmt(db, SQL_SESSION_SWEEP);
    stmt_int(s, 1, now_ms - SESSION_MOST_MS);
    stmt_int(s, 2, now_ms - SESSION_IDLE_MS);
    enum weir_err err = stmt_run(s);
    if (err != WEIR_OK) return err;
    s = db_stmt(db, SQL_SESSION_ADD);
    stmt_blob(s, 1, hash_span(hash));
    stmt_int(s, 2, administrator);
    stmt_int(s, 3, now_ms);
    stmt_text(s, 4, span_of(ip));
    if ((err = stmt_run(s)) != WEIR_OK) return err;
    s = db_stmt(db, SQL_ADMINISTRATOR_CAME);
    stmt_int(s, 1, administrator);
    stmt_int(s, 2, now_ms);
    return stmt_run(s);
}

enum weir_err session_seen(struct db *db, const struct client_hash *hash, int64_t now_ms)
{
    struct stmt *s = db_stmt(db, SQL_SESSION_SEEN);
    stmt_blob(s, 1, hash_span(hash));
    stmt_int(s, 2, now_ms);
    return stmt_run(s);
}

enum weir_err session_end(struct db *db, const struct client_hash *hash)
{
    struct stmt *s = db_stmt(db, SQL_SESSION_END);
    stmt_blob(s, 1, hash_span(hash));
    return stmt_run(s);
}

enum weir_err sessions_end(struct db *db, int64_t administrator)
{
    struct stmt *s = db_stmt(db, SQL_SESSION_END_ALL);
    stmt_int(s, 1, administrator);
    return stmt_run(s);
}

enum weir_err sessions_count(struct db *db, int64_t administrator, int64_t now_ms, int64_t *count)
{
    struct stmt *s = db_stmt(db, SQL_SESSION_COUNT);
    stmt_int(s, 1, administrator);
    stmt_int(s, 2, now_ms - SESSION_MOST_MS);
    stmt_int(s, 3, now_ms - SESSION_IDLE_MS);
    return read_number(s, count);
}

/* ---- slow-down ---- */

#define FORGET_MS (24 * 60 * 60 * 1000) /* a failure older than this counts no more */

/* From `free` failures on the wait doubles from a second up to `most`. One name from one address is slowed first; an
 * address that tries many names later; a name that is tried from many addresses last and least, for its owner waits too. */
static const struct slow { const char *mark; bool name, ip; int64_t free, most_ms; } slows[] = {
    {"both", true, true, 5, 15 * 60 * 1000}, {"ip", false, true, 20, 15 * 60 * 1000}, {"name", true, false, 50, 30 * 1000},
};
#define SLOWS (sizeof slows / sizeof *slows)

/* Whoever has one address of IPv6 has the other 2^64 of its network too. */
static const char *network_of(const char *ip, char out[IP_TEXT])
{
    struct ip_address address;
    if (!ip_parse(span_of(ip), &address)) return ip;
    if (!address.v4) memset(address.at + 8, 0, 8);
    ip_text(&address, out);
    return out;
}

static char *who_of(const struct slow *e, const char *name, const char *ip, struct arena *a)
{
    char network[IP_TEXT];
    return arena_printf(a, "%s\n%s\n%s", e->mark, e->name ? name : "", e->ip ? network_of(ip, network) : "");
}

static int64_t wait_of(const struct slow *e, int64_t count, int64_t since_ms)
{
    int64_t ms = 1000;
    if (count < e->free || since_ms >= FORGET_MS) return 0;
    for (int64_t i = e->free; i < count && ms < e->most_ms; i++) ms *= 2;
    if (ms > e->most_ms) ms = e->most_ms;
    return since_ms < 0 ? ms : ms > since_ms ? ms - since_ms : 0;
}

enum weir_err login_wait(struct db *db, const char *name, const char *ip, int64_t now_ms, struct arena *a, int64_t *wait_ms)
{
    enum weir_err err = WEIR_OK;
    *wait_ms = 0;
    for (size_t i = 0; err == WEIR_OK && i < SLOWS; i++) {
        char *who = who_of(&slows[i], name, ip, a);
        struct stmt *s = db_stmt(db, SQL_LOGIN_FAILURE);
        bool row = false;
        stmt_text(s, 1, span_of(who));
        err = who ? stmt_step(s, &row) : WEIR_NOMEM;
        int64_t ms = err == WEIR_OK && row ? wait_of(&slows[i], stmt_get_int(s, 0), now_ms - stmt_get_int(s, 1)) : 0;
        if (ms > *wait_ms) *wait_ms = ms;
        stmt_reset(s);
    }
    return err;
}

enum weir_err login_failed(struct db *db, const char *name, const char *ip, int64_t now_ms, struct arena *a)
{
    struct stmt *s = db_stmt(db, SQL_LOGIN_SWEEP);
    stmt_int(s, 1, now_ms - FORGET_MS);
    enum weir_err err = stmt_run(s);
    for (size_t i = 0; err == WEIR_OK && i < SLOWS; i++) {
        char *who = who_of(&slows[i], name, ip, a);
        if (!who) return WEIR_NOMEM;
        s = db_stmt(db, SQL_LOGIN_FAILED);
        stmt_text(s, 1, span_of(who));
        stmt_int(s, 2, now_ms);
        err = stmt_run(s);
    }
    return err;
}

enum weir_err login_succeeded(struct db *db, const char *name, const char *ip, struct arena *a)
{
    char *who = who_of(&slows[0], name, ip, a);
    if (!who) return WEIR_NOMEM;
    struct stmt *s = db_stmt(db, SQL_LOGIN_FORGET);
    stmt_text(s, 1, span_of(who));
    return stmt_run(s);
}
