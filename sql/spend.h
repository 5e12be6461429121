/* What was spent: sums of the hourly rollup, never of the audit log. */
#ifndef WEIR_SQL_SPEND_H
#define WEIR_SQL_SPEND_H

#include "sql/db.h"

struct spend { int64_t requests, prompt_tokens, cached_tokens, completion_tokens, cost, unpriced; }; /* cost: nano-dollars */

/* Of one user, or of one key, in the hours from since_ms on (a whole hour). */
enum weir_err spend_of_user(struct db *db, const char *user, int64_t since_ms, struct spend *out);
enum weir_err spend_of_key(struct db *db, const char *key, int64_t since_ms, struct spend *out);

/* Administrators' only: summed by one of the rollup's names in the hours from since_ms on (a whole hour), in order of the
 * name (NULL: requests without one). model: the alias. Strings live during the call of row. */
enum spend_by { SPEND_USER, SPEND_TEAM, SPEND_ROLE, SPEND_MODEL, SPEND_PROVIDER, SPEND_KEY };
enum weir_err spend_by(struct db *db, enum spend_by by, int64_t since_ms,
                       void (*row)(const char *name, const struct spend *, void *), void *arg);

#endif
