/* cache.db: answers kept for a while, least recently used ones leave first. Its own file, and disposable: whatever goes
 * wrong with it is a miss, never an error of a request. Reading never writes; hits are counted in memory and written
 * in batches. */
#ifndef WEIR_SQL_CACHE_H
#define WEIR_SQL_CACHE_H

#include "fcgi/base/arena.h"
#include "fcgi/base/err.h"
#include "fcgi/base/span.h"
#include "fcgi/base/secret.h"

struct cache; /* one a process; any number of threads */

/* What an answer is found by: whose it is and what was asked, compared in full; equal bytes mean the same answer. */
struct cache_name { struct span text; struct digest hash; };
struct cache_name cache_name(struct span text); /* text must live as long */

struct cache_entry {
    int64_t created, expires, gone;   /* ms; fresh before expires, of use as stale before gone */
    int form;                         /* how body is to be read; the caller's */
    const char *provider, *model;     /* whose answer it was */
    struct span body;
};

/* data_dir/cache.db is made at its first use; one that cannot be read is thrown away. WEIR_NOMEM. */
enum weir_err cache_new(const char *data_dir, struct cache **out);
void cache_free(struct cache *c); /* writes the hits that are not written yet. NULL is fine. */

/* True if there is one that is not gone. *out and what it points to are the arena's. */
bool cache_get(struct cache *c, const struct cache_name *n, int64_t now_ms, struct arena *a, struct cache_entry *out);
/* Puts it in the place of any other of that name; when this returns true every process finds it. Lets others go to stay
 * below most_bytes, but never many at once. False: it is too large (a quarter of most_bytes), or it cannot be written just
 * now; nobody waits for that. */
bool cache_put(struct cache *c, const struct cache_name *n, const struct cache_entry *e, int64_t now_ms, int64_t most_bytes);
/* Now and then, by one thread: writes the hits, lets go of what is gone or too much, in small steps and for a second at
 * most. True: there is more to do. */
bool cache_tend(struct cache *c, int64_t now_ms, int64_t most_bytes);

struct cache_stats { int64_t entries, bytes, file_bytes, hits, oldest; };
/* A file that is damaged, or of another version, holds nothing. WEIR_IO, WEIR_UNAVAILABLE: it cannot be asked now. */
enum weir_err cache_stats(struct cache *c, struct cache_stats *out);
/* Throws everything away. WEIR_IO. */
enum weir_err cache_clear(struct cache *c);

#endif
