/* Fetched key sets (JWKS) in the database, where all processes see them, also those that serve one request. Who fetches
 * one claims it first, so that one process does. */
#ifndef WEIR_SQL_KEY_SETS_H
#define WEIR_SQL_KEY_SETS_H

#include "sql/verifiers.h"

#define KEY_SET_TTL_MS   600000 /* a set is fetched again after this time */
#define KEY_SET_PAUSE_MS 60000  /* and never sooner than this after the last try, whatever kid is asked for */

/* Is the verifier's set to be fetched now? *tried: for the claim. */
enum weir_err key_set_is_due(struct db *db, const struct verifier *v, int64_t now_ms, bool *due, int64_t *tried);

/* The rest run inside a transaction of the writers. */
/* Marks it as tried now. *mine false: another was faster. A set of another address is forgotten. */
enum weir_err key_set_claim(struct db *db, const struct verifier *v, int64_t now_ms, int64_t tried, bool *mine);
/* The set as provider/jwks made it. If it is another than before, every process reads it within a second. */
enum weir_err key_set_put(struct db *db, const struct verifier *v, struct span keys, int64_t now_ms);
/* Why it could not be fetched, for administrators to read; the last good set stays. */
enum weir_err key_set_failed(struct db *db, const struct verifier *v, const char *fault);
/* A token named a kid that the set does not have. */
enum weir_err key_set_want(struct db *db, const char *verifier, int64_t now_ms);
/* Was that noted since the last try? Outside of transactions. */
enum weir_err key_set_is_wanted(struct db *db, const char *verifier, bool *wanted);

#endif
