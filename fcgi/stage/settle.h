/* Last step: what was used is written down, before the answer's last bytes leave. */
#ifndef WEIR_STAGE_SETTLE_H
#define WEIR_STAGE_SETTLE_H

#include "fcgi/stage/way.h"

/* May a request be begun at all? WEIR_STORAGE (*p says so) while the database cannot be written. */
enum weir_err settle_is_possible(struct store *store, struct problem *p);

/* Writes the request's one audit row; waits for it to be committed, but no longer than 2 s (it is written later then).
 * chat and plan may be of a step that was not reached (zeroed); o says how it ended. */
void settle(struct store *store, const struct request *r, const struct caller *caller, const char *endpoint, const struct chat *chat,
            const struct plan *plan, const struct outcome *o);

#endif
