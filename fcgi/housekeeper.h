/* What has to be done without a request: sweeping the tickets of dead processes, tidying idle counters, forgetting old
 * audit rows, keeping answers within their bounds. A thread of each gateway process does it; `weir tick` does it once. */
#ifndef WEIR_HOUSEKEEPER_H
#define WEIR_HOUSEKEEPER_H

#include "fcgi/base/flight.h"
#include "fcgi/stage/book.h"
#include "sql/cache.h"

struct housekeeper;

/* Starts the thread; its first round comes at once. WEIR_NOMEM. */
enum weir_err housekeeper_start(const struct book *b, struct cache *cache, struct flights *flights,
                                struct housekeeper **out);
void housekeeper_stop(struct housekeeper *h); /* NULL is fine; waits for a step that is under way */

#endif
