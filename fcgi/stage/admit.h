/* The step before anything is sent: the request is held on every limit of its caller, or refused. */
#ifndef WEIR_STAGE_ADMIT_H
#define WEIR_STAGE_ADMIT_H

#include "fcgi/stage/way.h"

/* Fills *t. Refusals are told in *p: WEIR_RATE_LIMITED, WEIR_QUOTA, WEIR_UNPRICED; WEIR_STORAGE if nothing can be
 * booked. t->grant.ticket > 0: it has to be settled, whatever follows. */
enum weir_err admit(const struct book *b, const struct request *r, const struct caller *c, const char *endpoint,
                    const struct chat *chat, const struct plan *plan, struct ticket *t, struct problem *p);

/* What a request asks of its limits that needs no provider: to be counted. t: whose answer it gets, NULL
 * while nobody knows. */
void admit_ask_only(const struct request *r, const struct caller *c, const char *endpoint, const struct chat *chat,
                    const struct model_row *model, const struct target *t, struct ledger_ask *ask);
/* admit for such a request. */
enum weir_err admit_only(const struct book *b, const struct ledger_ask *ask, struct ticket *t, struct problem *p);

#endif
