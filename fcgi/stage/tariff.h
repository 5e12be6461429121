/* What a request asks for that has a price of its own, and the dearest that its targets may charge for it. */
#ifndef WEIR_STAGE_TARIFF_H
#define WEIR_STAGE_TARIFF_H

#include "fcgi/provider/provider.h"
#include "fcgi/stage/estimate.h"
#include "sql/price.h"

#define SEARCHES_HELD 10 /* of a web search whose request names no maximum: held, not a bound */

struct tariff {
    struct price_asks asks;
    enum price_tier tier;                 /* that is asked for by name; TIER_STANDARD: none, or that */
    bool searches_once;                   /* a chat's search: once an answer, and no usage tells of it */
    struct { unsigned need; const char *field; } needs[5]; int need_count; /* which field has asked */
};

/* has_audio: parts of sound; has_files: parts that may have some. */
void tariff_read(const struct chat *chat, bool has_audio, bool has_files, struct tariff *out);
/* What a target may charge at the dearest, for the ledger to hold. Not known: it has no price, or one that says nothing of
 * what is asked. */
struct price tariff_ceiling(const struct tariff *t, const struct target *target, int64_t prompt_bound);
/* What soft limits go by: no tier but one that is asked for by name, one search, and the prompt as long as it probably
 * is. Never more than the ceiling. */
struct price tariff_estimate(const struct tariff *t, const struct target *target, int64_t prompt_estimate);
/* The dearest of several, of both; of those it is not known of, none. */
void tariff_raise(const struct tariff *t, const struct target *list, int count, const struct estimate *e,
                  struct price *dearest, struct price *usual);
/* The field that the price of one of them says nothing of; NULL: none has a price, or all is priced. */
const char *tariff_unpriced(const struct tariff *t, const struct target *list, int count);

#endif
