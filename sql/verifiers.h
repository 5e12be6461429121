/* Token verifiers as requests read them: whose signature counts, and which claims say who is calling. Part of the
 * snapshot; their rows are written in sql/admin_verifiers.c. */
#ifndef WEIR_SQL_VERIFIERS_H
#define WEIR_SQL_VERIFIERS_H

#include "fcgi/base/arena.h"
#include "fcgi/base/secret.h"
#include "fcgi/door/jwt.h"
#include "sql/db.h"

#define LEEWAY_S_DEFAULT 60 /* RFC 7519 4.1.4: "a few minutes" at most */

struct verifier_key { const char *kid, *pem; }; /* kid NULL: it has none */

/* Strings NULL where absent. */
struct verifier {
    const char *name;
    enum jwt_method method;
    const struct secret *secret;      /* HMAC; NULL: it could not be opened, and nothing verifies */
    const struct verifier_key *keys;  /* the others: the one configured, or those of the set */
    int key_count;
    const char *jwks_url;             /* NULL: its key is configured */
    const char *issuer, *audience;    /* NULL: not looked at */
    const char *user, *team, *role, *rolegroup; /* the claims' names, dotted where nested; NULL: not taken */
    const char *models, *endpoints;   /* JSON arrays; NULL: all */
    int64_t leeway_ms;
};

struct verifiers { const struct verifier *at; int count; };

/* Reads all of them, in order of name, at most BOUND_VERIFIERS. master NULL: secrets are left out. A row that this version
 * cannot read, or a secret that does not open, is logged and verifies nothing. Everything is the arena's. */
enum weir_err verifiers_load(struct db *db, const struct master_key *master, struct arena *a, struct verifiers *out);

/* Reads an entry of the document (sql/admin_verifiers.h, jwt_row.body) into *v; keys and secret stay empty but for
 * public_key. WEIR_CORRUPT: it is none. */
enum weir_err verifier_read(struct span body, struct arena *a, struct verifier *v);

#endif
