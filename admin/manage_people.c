/* Changes of who may administer: administrators with their passwords, and the keys of their programs. */
#include "admin/manage.h"

#include "admin/manage_state.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "sql/vault.h"

#define PASSWORD_LEAST 12
#define PASSWORD_MOST 1024

static void note_role(struct buf *out, enum admin_role role)
{
    buf_printf(out, "{\"role\":\"%s\"}", admin_role_names[role]);
}

/* ---- keys of programs ---- */

enum weir_err manage_admin_key_add(struct manager *m, const char *name, enum admin_role role, int64_t expires, char *secret)
{
    struct managed c;
    struct client_hash hash;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    const struct admin_key k = {.name = name, .role = role, .created = c.now, .expires = expires};
    secret_client_key(secret);
    secret_client_hash(m->master, span_of(secret), &hash);
    note_role(&c.after, role);
    err = managed_end(m, &c, admin_key_add(m->db, &k, &hash), "administrator's key added", name);
    if (err != WEIR_OK) secret_wipe(secret, CLIENT_KEY_LEN + 1);
    return err;
}

enum weir_err manage_admin_key_revoke(struct manager *m, const char *name)
{
    struct managed c;
    struct admin_key k;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    err = admin_key_by_name(m->db, span_of(name), m->memory, &k);
    if (err == WEIR_OK) note_role(&c.before, k.role);
    if (err == WEIR_OK) err = admin_key_revoke(m->db, k.id, c.now);
    return managed_end(m, &c, err, "administrator's key revoked", name);
}

/* ---- administrators ---- */

const char *administrator_name_fault(const char *name)
{
    struct span s = span_trim(span_of(name));
    if (!s.len) return "must not be empty";
    if (s.len > BOUND_NAME) return "is too long";
    if (s.len != strlen(name)) return "must not begin or end with a space";
    return !text_is_utf8(s) || text_has_controls(s, false) ? "must not hold control characters" : NULL;
}

const char *password_fault(const char *name, const char *password)
{
    size_t n = strlen(password);
    if (n < PASSWORD_LEAST) return "must have at least 12 characters";
    if (n > PASSWORD_MOST) return "must have at most 1024 characters";
    if (strcasecmp(name, password) == 0 || strspn(password, (char[]){*password, 0}) == n) return "is too easy to guess";
    return NULL;
}

enum weir_err manage_administrator_add(struct manager *m, const char *name, enum admin_role role, char *password)
{
    char hash[PASSWORD_HASH_LEN];
    struct managed c;
    password_make(password);
    enum weir_err err = password_hash(span_of(password), hash); /* takes its time: before the lock */
    if (err == WEIR_OK) err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    const struct administrator a = {.name = name, .role = role, .password = hash, .must_change = true, .created = c.now};
    note_role(&c.after, role);
    err = managed_end(m, &c, administrator_add(m->db, &a), "administrator added", name);
    if (err != WEIR_OK) secret_wipe(password, PASSWORD_MADE_LEN + 1);
    return err;
}

static enum weir_err set_password(struct manager *m, const char *name, const char *password, bool made, const char *action)
{
    char hash[PASSWORD_HASH_LEN];
    struct administrator a;
    struct managed c;
    enum weir_err err = password_hash(span_of(password), hash);
    if (err == WEIR_OK) err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    err = administrator_find(m->db, span_of(name), m->memory, &a);
    if (err == WEIR_OK) err = administrator_password(m->db, a.id, hash, made);
    return managed_end(m, &c, err, action, name);
}

enum weir_err manage_administrator_reset(struct manager *m, const char *name, char *password)
{
    password_make(password);
    enum weir_err err = set_password(m, name, password, true, "administrator's password reset");
    if (err != WEIR_OK) secret_wipe(password, PASSWORD_MADE_LEN + 1);
    return err;
}

enum weir_err manage_own_password(struct manager *m, const char *name, const char *password)
{
    return set_password(m, name, password, false, "own password changed");
}

static enum weir_err seal_code(const struct manager *m, const char *name, struct span secret, struct buf *sealed)
{
    char *identity = arena_printf(m->memory, ADMINISTRATOR_BINDING "%s", name);
    enum weir_err err = identity ? vault_check(m->db, m->master) : WEIR_NOMEM;
    return err == WEIR_OK ? secret_seal(m->master, secret, identity, sealed) : err;
}

enum weir_err manage_own_code(struct manager *m, const char *name, struct span secret, int64_t step)
{
    struct administrator a;
    struct managed c;
    struct buf sealed;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    buf_init(&sealed, BOUND_NAME);
    err = administrator_find(m->db, span_of(name), m->memory, &a);
    if (err == WEIR_OK && secret.at) err = seal_code(m, name, secret, &sealed);
    if (err == WEIR_OK) err = administrator_code(m->db, a.id, secret.at ? buf_all(&sealed) : SPAN_NONE, step);
    buf_free(&sealed);
    return managed_end(m, &c, err, secret.at ? "one-time codes begun" : "one-time codes ended", name);
}

/* In the transaction: is somebody left who may do everything? */
static enum weir_err somebody_is_left(struct manager *m, enum weir_err err)
{
    int64_t able = 0;
    if (err == WEIR_OK) err = administrators_able(m->db, &able);
    return err == WEIR_OK && !able ? WEIR_INVALID : err;
}

enum weir_err manage_administrator_role(struct manager *m, const char *name, enum admin_role role)
{
    struct administrator a;
    struct managed c;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    err = administrator_find(m->db, span_of(name), m->memory, &a);
    if (err == WEIR_OK) note_role(&c.before, a.role);
    note_role(&c.after, role);
    if (err == WEIR_OK) err = administrator_role(m->db, a.id, role);
    return managed_end(m, &c, somebody_is_left(m, err), "administrator's role changed", name);
}

enum weir_err manage_administrator_disable(struct manager *m, const char *name, bool disable)
{
    struct administrator a;
    struct managed c;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    err = administrator_find(m->db, span_of(name), m->memory, &a);
    if (err == WEIR_OK) err = administrator_disable(m->db, a.id, disable ? c.now : 0);
    return managed_end(m, &c, somebody_is_left(m, err), disable ? "administrator disabled" : "administrator enabled", name);
}
