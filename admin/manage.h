/* Every change of configuration, limits, keys and administrators that a page or a program of an administrator's can make:
 * each is one transaction together with the record of who made it. Commands make theirs here too. */
#ifndef WEIR_ADMIN_MANAGE_H
#define WEIR_ADMIN_MANAGE_H

#include "admin/apply.h"
#include "admin/document.h"
#include "sql/administrators.h"
#include "sql/cache.h"

struct manager {
    const char *data_dir, *db_path;
    struct db *db;                 /* no transaction is open */
    const struct master_key *master;
    struct actor by;
    struct arena *memory;
    bool strict;                   /* names of models and providers that are not there are refused, not noted */
    const char *notes;             /* of the last entry: lines of what may be a mistake, the arena's; NULL: nothing */
};

/* For a command; db and master are opened by it where it needs them. */
struct manager weir_manager(struct weir *w);

/* One entry of a section of the document, as JSON, added or changed. WEIR_INVALID: *fault names the member by its path
 * in the entry. *secret: that of a key that was made, the arena's; NULL otherwise (secret NULL: not wanted). */
enum weir_err manage_entry(struct manager *m, enum section section, struct span entry, struct fault *fault,
                           const char **secret);
/* The members of `settings` the same way. */
enum weir_err manage_settings(struct manager *m, struct span members, struct fault *fault);
/* A whole document. *out is the caller's to free after WEIR_OK. */
enum weir_err manage_document(struct manager *m, struct span text, bool dry_run, struct applied *out, struct fault *fault);

/* Limits. WEIR_NOT_FOUND: there is none. */
enum weir_err manage_limit_remove(struct manager *m, const struct limit_key *k, int *removed);
/* member NULL: all that the limits have counted. */
enum weir_err manage_limit_reset(struct manager *m, const struct limit_key *k, const char *member, int *reset);

/* Client keys. WEIR_NOT_FOUND. Rotating one that is revoked or expired: WEIR_INVALID. secret: CLIENT_KEY_LEN + 1 bytes. */
enum weir_err manage_key_rotate(struct manager *m, const char *name, int64_t overlap_ms, char *secret);
enum weir_err manage_key_revoke(struct manager *m, const char *name);

/* A token verifier with its secret and what was fetched for it. WEIR_NOT_FOUND. */
enum weir_err manage_jwt_remove(struct manager *m, const char *name);

/* WEIR_NOT_FOUND. WEIR_EXISTS: something still leads there; *why is a clause that names it ("the model fast leads there"),
 * the arena's. */
enum weir_err manage_provider_remove(struct manager *m, const char *name, const char **why);
enum weir_err manage_provider_key_remove(struct manager *m, const char *provider, const char *key);
/* An administrator's word against the breakers: "open", "closed", or "auto", which also forgets what was held against it. */
#define BREAKER_WISHES "open|closed|auto"
enum weir_err manage_provider_breaker(struct manager *m, const char *name, const char *wish);
enum weir_err manage_model_remove(struct manager *m, const char *alias, const char **why);
/* The alias's own price, not those of its targets. WEIR_NOT_FOUND; WEIR_EXISTS: it is unpriced already. */
enum weir_err manage_price_remove(struct manager *m, const char *alias);

/* Forgets every kept answer; *lost: what there was. After an error the answers may be gone all the same. */
enum weir_err manage_cache_clear(struct manager *m, struct cache_stats *lost);

/* Administrators' keys. WEIR_EXISTS, WEIR_NOT_FOUND. secret: CLIENT_KEY_LEN + 1 bytes. */
enum weir_err manage_admin_key_add(struct manager *m, const char *name, enum admin_role role, int64_t expires, char *secret);
enum weir_err manage_admin_key_revoke(struct manager *m, const char *name);

/* Administrators who log in. Their names are as those of keys: *fault of the first tells what is wrong with one. A made
 * password must be changed at the first log-in: PASSWORD_MADE_LEN + 1 bytes. WEIR_INVALID: nobody would be left who may
 * do everything. */
const char *administrator_name_fault(const char *name); /* NULL: fine */
enum weir_err manage_administrator_add(struct manager *m, const char *name, enum admin_role role, char *password);
enum weir_err manage_administrator_reset(struct manager *m, const char *name, char *password);
enum weir_err manage_administrator_role(struct manager *m, const char *name, enum admin_role role);
enum weir_err manage_administrator_disable(struct manager *m, const char *name, bool disable);
/* One's own. NULL: fine, else what is wrong with a password. */
const char *password_fault(const char *name, const char *password);
/* One-time codes. secret: TOTP_KEY bytes, shown to be known by the code of that step; absent: no codes any more. */
enum weir_err manage_own_code(struct manager *m, const char *name, struct span secret, int64_t step);
enum weir_err manage_own_password(struct manager *m, const char *name, const char *password);

#endif
