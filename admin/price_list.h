/* The built-in price list: public list prices of common models, with their date and source. */
#ifndef WEIR_ADMIN_PRICE_LIST_H
#define WEIR_ADMIN_PRICE_LIST_H

#include "sql/routes.h"

/* Dollars per million tokens, as decimal texts; NULL: as input. */
struct list_price { const char *model, *input, *cached_input, *cache_write, *output; };

extern const struct list_price price_list[]; /* model NULL ends it */
extern const char price_list_date[], price_list_source[];

/* By the provider's own name for the model; NULL: not on the list. */
const struct list_price *price_list_find(struct span model);
struct price price_of(const struct list_price *l);

#endif
