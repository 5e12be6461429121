/* Administrators and their programs' keys as JSON. A password or a secret is answered once, where it was made. */
#include "admin/api.h"

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

struct rows { struct buf *out; int count; int64_t now; };

struct asked { const char *name, *role, *expires; enum admin_role parsed; };

static enum weir_err asked_of(struct web_way *w, bool with_role, struct asked *a)
{
    static const struct field table[] = {
        {"name", FIELD_NAME, offsetof(struct asked, name), true, 0, 0, NULL},
        {"role", FIELD_CHOICE, offsetof(struct asked, role), false, 0, 0, ADMIN_ROLES},
        {"expires", FIELD_TEXT, offsetof(struct asked, expires), false, 1, 32, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    *a = (struct asked){0};
    enum weir_err err = api_body(w, table, a);
    if (err != WEIR_OK) return err;
    if (with_role && !a->role) return problem_set(&w->problem, WEIR_INVALID, "role", "role is missing.");
    if (a->role) admin_role_parse(span_of(a->role), &a->parsed);
    const char *fault = administrator_name_fault(a->name);
    return fault ? problem_set(&w->problem, WEIR_INVALID, "name", "name %s.", fault) : WEIR_OK;
}

/* What manage_administrator_* said. */
static enum weir_err told(struct web_way *w, struct buf *out, enum weir_err err)
{
    if (err == WEIR_NOT_FOUND) return api_not_found(w, "administrator");
    if (err == WEIR_EXISTS) return problem_set(&w->problem, WEIR_INVALID, "name", "name is taken.");
    if (err == WEIR_INVALID) return problem_set(&w->problem, err, NULL,
                                                "Nobody would be left with the role admin who may log in.");
    return err == WEIR_OK ? api_done(out) : err;
}

static enum weir_err told_once(struct web_way *w, struct buf *out, enum weir_err err, const char *name,
                               const char *member, char *secret, size_t n)
{
    if (err != WEIR_OK) return told(w, out, err);
    api_member(out, "{\"name\":", name);
    api_member(out, member, secret);
    secret_wipe(secret, n);
    w->head.status = 201;
    return buf_char(out, '}');
}

/* ---- administrators ---- */

static void write_administrator(const struct administrator *a, void *arg)
{
    struct rows *to = arg;
    api_member(to->out, to->count++ ? ",{\"name\":" : "{\"name\":", a->name);
    api_member(to->out, ",\"role\":", admin_role_names[a->role]);
    buf_printf(to->out, ",\"must_change\":%s,\"one_time_codes\":%s", a->must_change ? "true" : "false",
               a->code.at ? "true" : "false");
    api_time(to->out, ",\"created\":", a->created);
    api_time(to->out, ",\"last_login\":", a->last_login);
    api_time(to->out, ",\"disabled\":", a->disabled);
    buf_char(to->out, '}');
}

enum weir_err api_administrators(struct web_way *w, struct buf *out)
{
    struct rows rows = {.out = out};
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    enum weir_err err = administrators_each(w->db, write_administrator, &rows);
    buf_str(out, "],\"next\":null}");
    return err;
}

enum weir_err api_administrator_add(struct web_way *w, struct buf *out)
{
    char password[PASSWORD_MADE_LEN + 1];
    struct manager m = web_manager(w);
    struct asked a;
    enum weir_err err = asked_of(w, true, &a);
    if (err != WEIR_OK) return err;
    err = manage_administrator_add(&m, a.name, a.parsed, password);
    return told_once(w, out, err, a.name, ",\"password\":", password, sizeof password);
}

enum weir_err api_administrator_reset(struct web_way *w, struct buf *out)
{
    char password[PASSWORD_MADE_LEN + 1];
    struct manager m = web_manager(w);
    struct asked a;
    enum weir_err err = asked_of(w, false, &a);
    if (err != WEIR_OK) return err;
    err = manage_administrator_reset(&m, a.name, password);
    return told_once(w, out, err, a.name, ",\"password\":", password, sizeof password);
}

enum weir_err api_administrator_role(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct asked a;
    enum weir_err err = asked_of(w, true, &a);
    return err == WEIR_OK ? told(w, out, manage_administrator_role(&m, a.name, a.parsed)) : err;
}

static enum weir_err able(struct web_way *w, struct buf *out, bool disable)
{
    struct manager m = web_manager(w);
    struct asked a;
    enum weir_err err = asked_of(w, false, &a);
    return err == WEIR_OK ? told(w, out, manage_administrator_disable(&m, a.name, disable)) : err;
}

enum weir_err api_administrator_disable(struct web_way *w, struct buf *out) { return able(w, out, true); }
enum weir_err api_administrator_enable(struct web_way *w, struct buf *out) { return able(w, out, false); }

/* ---- keys of programs ---- */

static void write_key(const struct admin_key *k, void *arg)
{
    struct rows *to = arg;
    api_member(to->out, to->count++ ? ",{\"name\":" : "{\"name\":", k->name);
    api_member(to->out, ",\"role\":", admin_role_names[k->role]);
    api_member(to->out, ",\"state\":", k->revoked ? "revoked" : admin_key_is_live(k, to->now) ? "active" : "expired");
    api_time(to->out, ",\"created\":", k->created);
    api_time(to->out, ",\"last_used\":", k->last_used);
    api_time(to->out, ",\"expires\":", k->expires);
    buf_char(to->out, '}');
}

enum weir_err api_admin_keys(struct web_way *w, struct buf *out)
{
    struct rows rows = {.out = out, .now = clock_wall_ms()};
    buf_str(out, "{\"object\":\"list\",\"data\":[");
    enum weir_err err = admin_keys_each(w->db, write_key, &rows);
    buf_str(out, "],\"next\":null}");
    return err;
}

enum weir_err api_admin_key_add(struct web_way *w, struct buf *out)
{
    char secret[CLIENT_KEY_LEN + 1];
    struct manager m = web_manager(w);
    int64_t length = 0;
    struct asked a;
    enum weir_err err = asked_of(w, true, &a);
    if (err != WEIR_OK) return err;
    if (a.expires && !duration_parse(span_of(a.expires), &length))
        return problem_set(&w->problem, WEIR_INVALID, "expires", "expires must be a length of time like 90d.");
    err = manage_admin_key_add(&m, a.name, a.parsed, length ? clock_wall_ms() + length : 0, secret);
    return told_once(w, out, err, a.name, ",\"secret\":", secret, sizeof secret);
}

enum weir_err api_admin_key_revoke(struct web_way *w, struct buf *out)
{
    struct manager m = web_manager(w);
    struct asked a;
    enum weir_err err = asked_of(w, false, &a);
    if (err != WEIR_OK) return err;
    if ((err = manage_admin_key_revoke(&m, a.name)) == WEIR_NOT_FOUND) return api_not_found(w, "key");
    return err == WEIR_OK ? api_done(out) : err;
}
