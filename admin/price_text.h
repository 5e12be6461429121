/* Prices as others write them and as we show them. */
#ifndef WEIR_ADMIN_PRICE_TEXT_H
#define WEIR_ADMIN_PRICE_TEXT_H

#include "sql/routes.h"

/* A JSON number of dollars per token ("1.5e-07"), as it is written, to nano-dollars per million tokens (150000000);
 * exact, never through floating point. NULL when fine, else a static sentence: below 0, finer than a nano-dollar per
 * million tokens, or above 9,000,000,000 dollars. */
const char *price_per_token(struct span number, int64_t *nano);

/* {"input": "0.15", "cached_input": ..., "cache_write": ..., "output": ...}, behind them the
 * parts that are stated; or null. */
enum weir_err price_json(struct buf *out, const struct price *p);

#endif
