/* Which web pages may read our answers (CORS, the Fetch standard): those of the origins in setting `cors_origins`. */
#ifndef WEIR_STAGE_CORS_H
#define WEIR_STAGE_CORS_H

#include "fcgi/stage/way.h"

/* Sets r->reader, if the request comes from a page and its origin may read. Never fails: what cannot be found out is no. */
void cors_decide(struct store *store, struct request *r);

/* Appends the header lines for r->reader to the head of any answer. */
void cors_headers(const struct request *r, struct buf *head);
/* And to the answer to a preflight (OPTIONS before the request itself). methods: of this address, "POST, OPTIONS". */
void cors_preflight(const struct request *r, const char *methods, struct buf *head);

#endif
