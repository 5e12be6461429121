/* Client keys lately seen, kept in memory: at most BOUND_KEY_CACHE, found by their hash. Its owner locks. */
#ifndef WEIR_SQL_KEY_CACHE_H
#define WEIR_SQL_KEY_CACHE_H

#include "sql/keys.h"

struct key_cache;

struct key_cache *key_cache_new(void); /* NULL when memory is out */
void key_cache_free(struct key_cache *c);
/* What is there was read under another configuration, whatever its version: no get finds it any more. */
void key_cache_outdate(struct key_cache *c);
/* version: of the configuration the row was read under; only a get with the same finds it. WEIR_NOT_FOUND; *out and its
 * strings are the arena's. */
enum weir_err key_cache_get(struct key_cache *c, const struct client_hash *hash, int64_t version, struct arena *a,
                            struct key *out);
/* Is it there, outdated or not? Then it was let in lately. */
bool key_cache_knows(struct key_cache *c, const struct client_hash *hash);
void key_cache_drop(struct key_cache *c, const struct client_hash *hash);
void key_cache_put(struct key_cache *c, const struct client_hash *hash, int64_t version, const struct key *k);
void key_cache_used(struct key_cache *c, const struct client_hash *hash, int64_t now_ms); /* sets last_used */

#endif
