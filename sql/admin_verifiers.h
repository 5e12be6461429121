/* Token verifiers as administrators add, change, list and remove them. Their statements stand only in admin.sql; the
 * gateway reads the same rows through sql/verifiers.h. */
#ifndef WEIR_SQL_ADMIN_VERIFIERS_H
#define WEIR_SQL_ADMIN_VERIFIERS_H

#include "fcgi/base/arena.h"
#include "fcgi/base/secret.h"
#include "sql/db.h"

struct jwt_row {
    const char *name, *body; /* body: the document's entry as JSON, without its secret */
    bool has_secret;         /* it stands sealed in the row */
    /* What was fetched from its jwks_url; without one, or before the first try: nothing and 0. */
    const char *keys;        /* JSON: [{"kid":..,"pem":..}]; NULL: never fetched */
    const char *fault;       /* why the last try failed; NULL: it did not */
    int64_t tried, fetched;  /* ms */
};

/* All, in order of name; strings live during the call of row. */
enum weir_err jwt_each(struct db *db, void (*row)(const struct jwt_row *, void *), void *arg);
/* Its strings are the arena's. WEIR_NOT_FOUND. */
enum weir_err jwt_find(struct db *db, const char *name, struct arena *a, struct jwt_row *out);
enum weir_err jwt_count(struct db *db, int64_t *count);

/* These run inside a struct change. */
/* Adds or changes. secret absent: an HMAC verifier keeps the one it has; one of another algorithm has none. A key set
 * that was fetched for another algorithm is forgotten. */
enum weir_err jwt_put(struct db *db, const struct master_key *m, const char *name, struct span body, struct span secret);
/* With its secret and its key set. WEIR_NOT_FOUND. */
enum weir_err jwt_remove(struct db *db, const char *name);

#endif
