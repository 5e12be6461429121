/* Fourth step: whom to ask. */
#ifndef WEIR_STAGE_PLAN_H
#define WEIR_STAGE_PLAN_H

#include "fcgi/stage/way.h"
#include "sql/pulse.h"

/* Finds the alias (or, where that is allowed, "provider/model") and those to be asked for it, in the order they are to be
 * tried: by the alias's strategy its targets, of each the keys by the provider's, then the same of its fallback, of that
 * one's, and of the fallback for all. Who cannot be asked now (open breaker, resting or refused key) is left out; a key
 * that is nearly out of its limit stands behind the others of its alias. pulse NULL: nothing is known of anybody.
 * Spans and strings are the snapshot's or the arena's.
 * Targets that cannot carry the request are left out too. WEIR_INVALID (none can: *p names what keeps the first from it),
 * WEIR_MODEL_UNKNOWN, WEIR_MODEL_FORBIDDEN, WEIR_UNAVAILABLE (nobody can be asked; with retry_after_s if that passes by
 * itself), WEIR_NOMEM. */
enum weir_err plan_targets(const struct caller *c, const struct chat *chat, struct pulse *pulse, struct arena *a,
                           struct plan *out, struct problem *p);

/* The alias alone, into out->model. WEIR_MODEL_UNKNOWN, WEIR_MODEL_FORBIDDEN. */
enum weir_err plan_model(const struct caller *c, const struct chat *chat, struct arena *a, struct plan *out,
                         struct problem *p);

#endif
