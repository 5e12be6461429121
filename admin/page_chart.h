/* Charts of the overview. */
#ifndef WEIR_ADMIN_PAGE_CHART_H
#define WEIR_ADMIN_PAGE_CHART_H

#include "admin/page.h"
#include "fcgi/base/text.h"
#include "sql/chart.h"

enum chart_what { CHART_COST, CHART_TOKENS, CHART_REQUESTS, CHART_WHAT_COUNT };
extern const char *const chart_what_names[CHART_WHAT_COUNT];

/* count pieces of piece_ms (a whole number of hours) from since on (a whole multiple of piece_ms). */
struct chart_ask { enum chart_by by; enum chart_what what; int64_t since, piece_ms; int count; };

enum weir_err page_chart(struct web_way *w, struct buf *out, const struct chart_ask *ask);
/* When piece i begins, in UTC; returns text. */
const char *chart_piece_text(const struct chart_ask *ask, int64_t i, char text[TIME_TEXT]);

#endif
