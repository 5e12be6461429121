/* What was spent: sums of the hourly rollup, never of the audit log. */
#ifndef WEIR_SQL_SPEND_H
#define WEIR_SQL_SPEND_H

#include "sql/db.h"

struct spend { int64_t requests, prompt_tokens, cached_tokens, completion_tokens, cost, unpriced; }; /* cost: nano-dollars */

/* Of one user, or of one key, in the hours from since_ms on (a whole hour). */
enum weir_err spend_of_user(struct db *db, const char *user, int64_t since_ms, struct spend *out);
enum weir_err spend_of_key(struct db *db, const char *key, int64_t since_ms, struct spend *out);

#endif
