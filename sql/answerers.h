/* Who answers for an alias: one digest of all that decides it, so that what another would say is known to be another's word
 * when the configuration changes. */
#ifndef WEIR_SQL_ANSWERERS_H
#define WEIR_SQL_ANSWERERS_H

#include "sql/routes.h"

/* Sets `answerers` of those that keep answers: the same as long as targets, their providers' addresses, dialects, versions,
 * faces and headers, the strategy, and all of this of the aliases behind it (fallback, context_fallback, and the fallback of
 * all) are the same. Keys, prices, weights, times and names for callers play no part; nor does what an alias adds to
 * requests, which stands in them. models: s->models. WEIR_NOMEM. */
enum weir_err answerers_note(const struct snapshot *s, struct model_row *models);

#endif
