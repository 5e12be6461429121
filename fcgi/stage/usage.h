/* What a caller may know of its own limits and spend, as JSON. */
#ifndef WEIR_STAGE_USAGE_H
#define WEIR_STAGE_USAGE_H

#include "fcgi/stage/way.h"

/* {"object":"usage","limits":[{scope, via, metric, shape, mode, limit, used, held, remaining, resets_at, ...}],
 * "month":{"since","requests","prompt_tokens","cached_tokens","completion_tokens","cost"}}. Money in decimal strings of
 * US dollars. */
enum weir_err usage_report(struct store *store, const struct request *r, const struct caller *c, struct buf *out);

#endif
