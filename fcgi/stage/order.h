/* In which order an alias's targets and a provider's keys are asked. Pure: what it goes by is given, chance included. */
#ifndef WEIR_STAGE_ORDER_H
#define WEIR_STAGE_ORDER_H

#include "sql/routes.h"

/* Chance, reproducible by its seed (splitmix64). */
struct dice { uint64_t state; };
uint64_t dice_below(struct dice *d, uint64_t n); /* 0 to n - 1; n above 0 */

struct target_choice {
    const struct target_row *row;
    int64_t latency_ms; /* -1: unknown */
    int64_t cost;       /* of this request, about; INT64_MAX: it has no price */
};
/* priority: as they stand. weighted: drawn by weight. round_robin: each the first in its turn. least_latency: the fastest
 * first, unknown ones before them so that they become known, and one request in 20 by chance. cheapest: by cost.
 * An unknown strategy is priority. Every choice stays in the list, once. */
void order_targets(const char *strategy, uint64_t turn, struct dice *d, struct target_choice *list, int count);

struct key_choice { const struct upstream_key *key; int64_t in_flight, requests; };
/* priority: as they stand. round_robin: each the first in its turn. least_used: the fewest requests in flight, then the
 * fewest ever. */
void order_keys(const char *strategy, uint64_t turn, struct key_choice *list, int count);

#endif
