/* What tokens cost: nano-dollars from prices per million tokens, by length, tier and kind; and the most they can. */
#ifndef WEIR_SQL_PRICE_H
#define WEIR_SQL_PRICE_H

#include "sql/routes.h"

enum price_tier { TIER_STANDARD, TIER_FLEX, TIER_PRIORITY, TIER_OTHER };

/* cached and cache_write are inside prompt, as cache_write_1h is inside cache_write; audio_input and audio_output inside
 * prompt and completion. */
struct price_use {
    int64_t prompt, cached, cache_write, completion;
    int64_t cache_write_1h, audio_input, audio_output, searches;
    enum price_tier tier;
};

/* What a part costs that is not stated:
 *   cache_write_1h        twice the input, and no less than cache_write
 *   audio                 as text, and price_lacks says so
 *   searches              nothing, and price_lacks says so
 *   cached_input and cache_write of a length or tier, audio and hour-long writes in it: grown as its input has; not cheaper
 *                         where that is cheaper
 *   priority              as the whole, and price_lacks says so; flex: as the whole
 * A long prompt under priority grows by both; under flex it pays the long price. */

/* The cost of one request in nano-dollars, rounded up; INT64_MAX where it would not fit; -1 if the price is not known.
 * Negative counts are 0; more cached and written than prompt: both are cut to it, cached first. */
int64_t price_cost(const struct price *p, const struct price_use *u);
/* The same, not rounded yet: for sums over several attempts, each by its own price. */
struct price_sum { int64_t nano, millionths; }; /* millionths of a nano-dollar, below a million */
/* A price that is not known adds nothing. */
void price_add(struct price_sum *sum, const struct price *p, const struct price_use *u);
void price_add_sum(struct price_sum *sum, const struct price_sum *more);
int64_t price_total(const struct price_sum *sum); /* rounded up; INT64_MAX where it would not fit */

/* What has to be stated for what is asked, or was used, to be priced. NEED_OTHER never is. */
enum price_need { NEED_AUDIO_INPUT = 1, NEED_AUDIO_OUTPUT = 2, NEED_SEARCHES = 4, NEED_PRIORITY = 8, NEED_OTHER = 16 };
unsigned price_needs(const struct price_use *u);
unsigned price_lacks(const struct price *p, unsigned needs); /* of a known price */

/* What a request may come to be charged, beside its tokens. */
struct price_asks {
    unsigned needs;
    bool priority;                  /* the provider may serve it so */
    bool writes_1h, has_audio_input;
    int64_t searches;               /* at most */
};
/* The dearest that may come of it with a prompt of at most so many tokens, as a price of one input, one output and a fee:
 * price_bound of that is no less than price_cost of any use within those bounds. Not known where the price is not, or lacks
 * what is asked. */
struct price price_ceiling(const struct price *p, const struct price_asks *asks, int64_t prompt_bound);
/* Raises *to to no less than p; one that is not known changes nothing. */
void price_raise(struct price *to, const struct price *p);

/* Of a price without parts: the most that `prompt` and `output` tokens can cost, whatever part of the prompt is cached or
 * written; -1 unpriced. */
int64_t price_bound(const struct price *p, int64_t prompt, int64_t output);
/* The most output tokens that fit beside `prompt` into `left` nano-dollars by price_bound; -1: not even none;
 * INT64_MAX: output is free. The price must be known. */
int64_t price_room(const struct price *p, int64_t prompt, int64_t left);

bool price_same(const struct price *a, const struct price *b);

#endif
