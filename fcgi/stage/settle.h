/* Last step: what was used is charged and written down, before the answer's last bytes leave. */
#ifndef WEIR_STAGE_SETTLE_H
#define WEIR_STAGE_SETTLE_H

#include "fcgi/stage/way.h"

/* A request at its end. */
struct settling {
    const struct book *book;
    const struct request *r;
    const struct caller *caller;
    const char *endpoint;
    /* Of steps that were not reached: zeroed. */
    const struct chat *chat;
    const struct plan *plan;
    struct ticket *ticket;
    const struct outcome *out; /* how it ended */
    struct arena *memory;
    /* NULL: whoever settles it waits. Otherwise called once it is written, with what waiting would have returned, as
     * struct book_then says. All of this lives until then. */
    void (*then)(struct settling *s, enum weir_err err);
    void *of;                  /* for `then` */
    int64_t touched;           /* settle's own */
};

/* Settles the ticket and writes the request's one audit row; waits for it to be committed, but no longer than 2 s (it is
 * written later then). */
void settle(struct settling *s);

/* Admits and settles in one step a request that cost nothing: out is how it will have been told, *ask counts as a request
 * alone. On WEIR_OK either the ticket is granted, or *refusal holds and nothing was written. WEIR_STORAGE: nothing was, nor
 * will be. */
enum weir_err settle_at_once(struct settling *s, const struct ledger_ask *ask, struct ledger_refusal *refusal);

#endif
