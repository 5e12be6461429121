/* Between parse and plan, for aliases that ask for it: a conversation that fills its model's context window is made to fit,
 * refused, or given to the larger model. */
#ifndef WEIR_STAGE_TRIM_H
#define WEIR_STAGE_TRIM_H

#include "fcgi/stage/estimate.h"
#include "fcgi/base/arena.h"

/* A member of messages (responses: of input's items) that the caller may set to true: these, and the turn they stand in,
 * are not dropped. It never goes to a provider. */
#define TRIM_MARK "x_weir_important"

/* m: the alias, NULL if it is none. If the body has to change, the new one is appended to *out, which is empty else;
 * *chat is then to be parsed anew. *told: what x-weir-context says, the arena's; NULL: nothing.
 *   warning; tokens=N; window=W                            from 80 % of the window on
 *   trimmed; before=N; after=N; dropped=N; window=W        dropped: messages
 *   fallback; tokens=N; window=W                           chat->is_long is set
 * Dropped are, oldest first, whole turns (a user's message and all that follows it up to the next) but the last; then, of
 * the last, calls of tools with their results, but the last of those. System messages always stay.
 * WEIR_TOO_LONG: refused. WEIR_INVALID: the mark is no boolean. WEIR_NOMEM. */
enum weir_err trim_chat(const struct model_row *m, struct experience *x, struct arena *a, struct chat *chat,
                        struct buf *out, const char **told, struct problem *p);

#endif
