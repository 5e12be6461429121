/* Which providers are to be probed now, and what a probe changes. The probing itself is somebody else's, who does not hold
 * the database meanwhile. */
#ifndef WEIR_SQL_PROBING_H
#define WEIR_SQL_PROBING_H

#include "sql/health.h"
#include "sql/routes.h"

#define PROBE_EVERY_MS 300000
#define PROBES_MOST    16 /* due at a time; the others come with the next round */

struct probe_due { const struct provider_row *provider; const struct upstream_key *key; };

/* Those that were not heard of for PROBE_EVERY_MS (each with its first key), those with a breaker that opened because
 * nothing answered and may be half-open now, and keys that were refused, or not usable, for that long. Returns how many. */
int probing_due(const struct snapshot *s, const struct health_map *m, int64_t now, struct probe_due *out, int most);

/* In a transaction. m: as it was when the probe began. error NULL: it is alive, and latency_ms the time to its answer;
 * status 0: there was none. */
struct probe_news { const char *provider, *key, *error; int status; int64_t latency_ms; };
enum weir_err probing_note(struct db *db, const struct health_map *m, const struct probe_news *n, int64_t now);

#endif
