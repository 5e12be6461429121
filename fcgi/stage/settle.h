/* Last step: what was used is charged and written down, before the answer's last bytes leave. */
#ifndef WEIR_STAGE_SETTLE_H
#define WEIR_STAGE_SETTLE_H

#include "fcgi/stage/way.h"

/* Settles the ticket and writes the request's one audit row; waits for it to be committed, but no longer than 2 s (it is
 * written later then). chat, plan and t may be of a step that was not reached (zeroed); o says how it ended. */
void settle(const struct book *b, const struct request *r, const struct caller *c, const char *endpoint,
            const struct chat *chat,
            const struct plan *plan, const struct ticket *t, const struct outcome *o, struct arena *a);

/* Admits and settles in one step a request that cost nothing: o is how it will have been told, *ask counts as a request
 * alone. On WEIR_OK either grant->ticket > 0, or *refusal holds and nothing was written. WEIR_STORAGE: nothing was, nor
 * will be. */
enum weir_err settle_at_once(const struct book *b, const struct request *r, const struct caller *c, const char *endpoint,
                             const struct chat *chat, const struct plan *plan, const struct ledger_ask *ask,
                             const struct outcome *o, struct arena *a, struct ledger_grant *grant,
                             struct ledger_refusal *refusal);

#endif
