/* A limit in words, for pages and the terminal. */
#ifndef WEIR_ADMIN_LIMIT_WORDS_H
#define WEIR_ADMIN_LIMIT_WORDS_H

#include "sql/ledger.h"

#define LIMIT_WORDS 160

/* "tokens each month", "requests in any 60 s"; without amount and mode. Returns out. */
const char *limit_words(const struct rule *r, char out[LIMIT_WORDS]);

#endif
