/* What tokens cost: nano-dollars from prices per million tokens. */
#ifndef WEIR_SQL_PRICE_H
#define WEIR_SQL_PRICE_H

#include "sql/routes.h"

struct price_use { int64_t prompt, cached, cache_write, completion; }; /* cached and cache_write are inside prompt */

/* The cost of one request in nano-dollars, rounded up; INT64_MAX where it would not fit; -1 if the price is not known.
 * Negative counts are 0; more cached and written than prompt: both are cut to it, cached first. */
int64_t price_cost(const struct price *p, const struct price_use *u);
/* The same, not rounded yet: for sums over several attempts, each by its own price. */
struct price_sum { int64_t nano, millionths; }; /* millionths of a nano-dollar, below a million */
/* A price that is not known adds nothing. */
void price_add(struct price_sum *sum, const struct price *p, const struct price_use *u);
void price_add_sum(struct price_sum *sum, const struct price_sum *more);
int64_t price_total(const struct price_sum *sum); /* rounded up; INT64_MAX where it would not fit */
/* The most that `prompt` and `output` tokens can cost, whatever part of the prompt is cached or written; -1 unpriced. */
int64_t price_bound(const struct price *p, int64_t prompt, int64_t output);
/* The most output tokens that fit beside `prompt` into `left` nano-dollars by price_bound; -1: not even none;
 * INT64_MAX: output is free. The price must be known. */
int64_t price_room(const struct price *p, int64_t prompt, int64_t left);

#endif
