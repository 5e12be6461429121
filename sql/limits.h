/* Limits as they are configured: their rows. (What a limit means is the ledger's.) */
#ifndef WEIR_SQL_LIMITS_H
#define WEIR_SQL_LIMITS_H

#include "fcgi/base/arena.h"
#include "sql/db.h"

struct limit_rule {
    int64_t id, created;
    const char *scope, *metric, *shape; /* shape "none" for concurrency */
    const char *period;                 /* calendar: hour day week month; else "" */
    int64_t seconds;                    /* window; else 0 */
    const char *mode;
    int64_t amount;                     /* bucket: capacity; cost: nano-dollars */
    int64_t refill_nano;                /* bucket: billionths of a unit a second; cost: nano-dollars a second */
    int64_t utc_offset_min, warn_percent;
};

/* Administrators' only. A limit is known by scope, metric, shape, period and seconds: put changes it or adds it, and
 * keeps its
 * count; where a member gets a limit of its own, what the star limit counted for it is dropped. These run inside a
 * struct change. */
enum weir_err limit_put(struct db *db, const struct limit_rule *r);
/* The limit with the identity of *like. The texts of the identity are like's, mode is the arena's.
 * WEIR_NOT_FOUND. */
enum weir_err limit_find(struct db *db, const struct limit_rule *like, struct arena *a, struct limit_rule *out);
/* Which limits of a scope and metric: shape, period NULL and seconds 0 stand for any. */
struct limit_key { const char *scope, *metric, *shape, *period; int64_t seconds; };
/* Removes them with what they have counted and hold. WEIR_NOT_FOUND: there is none. */
enum weir_err limit_remove(struct db *db, const struct limit_key *k, int *removed);
/* What they have counted is forgotten, and noted in counter_reset; what is held stays held, and requests in flight
 * will not be charged to them. member NULL: of a star limit, all members; else that one ("user/alice"). *reset: how many
 * counters there were. */
enum weir_err limit_reset(struct db *db, const struct limit_key *k, const char *member, int64_t now_ms, int *reset);

/* All rows in order of scope, metric, shape; strings live during the call of row. */
enum weir_err limits_each(struct db *db, void (*row)(const struct limit_rule *, void *), void *arg);

#endif
