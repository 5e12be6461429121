/* Fourth step: whom to ask. */
#ifndef WEIR_STAGE_PLAN_H
#define WEIR_STAGE_PLAN_H

#include "fcgi/stage/way.h"

/* Finds the alias and its targets, in the order they are to be tried; spans and strings are the snapshot's.
 * WEIR_MODEL_UNKNOWN, WEIR_MODEL_FORBIDDEN, WEIR_UNAVAILABLE (no target that this version can speak to), WEIR_NOMEM. */
enum weir_err plan_targets(const struct caller *c, const struct chat *chat, struct arena *a, struct plan *out,
                           struct problem *p);

#endif
