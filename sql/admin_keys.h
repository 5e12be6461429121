/* Administrators' keys: who a presented key is and what its role allows. Their statements stand only in admin.sql: the
 * gateway knows none of them. */
#ifndef WEIR_SQL_ADMIN_KEYS_H
#define WEIR_SQL_ADMIN_KEYS_H

#include "fcgi/base/secret.h"
#include "sql/db.h"

/* Each may what those before it may. */
enum admin_role { ADMIN_VIEWER, ADMIN_OPERATOR, ADMIN_ADMIN, ADMIN_ROLE_COUNT };
extern const char *const admin_role_names[ADMIN_ROLE_COUNT];
#define ADMIN_ROLES "viewer|operator|admin" /* the same, for messages */
bool admin_role_parse(struct span name, enum admin_role *out);

struct admin_key {
    int64_t id;
    const char *name; /* the arena's */
    enum admin_role role;
    int64_t created, expires, revoked, last_used; /* ms; 0: never */
};

/* WEIR_NOT_FOUND: there is none. Revoked and expired ones are found: the caller judges (admin_key_is_live). */
enum weir_err admin_key_find(struct db *db, const struct client_hash *hash, struct arena *a, struct admin_key *out);
enum weir_err admin_key_by_name(struct db *db, struct span name, struct arena *a, struct admin_key *out);
bool admin_key_is_live(const struct admin_key *k, int64_t now_ms);
/* All, in order of name; the name lives during the call of row. */
enum weir_err admin_keys_each(struct db *db, void (*row)(const struct admin_key *, void *), void *arg);

/* These run inside a struct change. The name is checked by the caller. WEIR_EXISTS: name or secret. */
enum weir_err admin_key_add(struct db *db, const struct admin_key *k, const struct client_hash *hash);
enum weir_err admin_key_revoke(struct db *db, int64_t id, int64_t now_ms);
/* Sets last_used if it is older than now_ms - ADMIN_KEY_USE_MS. Needs the writers' lock, but no change. */
#define ADMIN_KEY_USE_MS 60000
enum weir_err admin_key_touch(struct db *db, int64_t id, int64_t now_ms);

#endif
