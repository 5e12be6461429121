/* An answer that was kept (keep.h), told to a caller in the form that this one asked for: a stream as a plain answer, a
 * plain answer as a stream, in the caller's dialect; or as it is, where that is its form. */
#ifndef WEIR_STAGE_RETELL_H
#define WEIR_STAGE_RETELL_H

#include "fcgi/stage/keep.h"

struct retelling;
/* now_s: for ids and times that the upstream gave none of. The arena's, but for what retell_free frees. NULL: no memory. */
struct retelling *retell_new(const struct chat *chat, const struct keep_form *form, const char *request_id, int64_t now_s,
                             struct arena *a);
void retell_free(struct retelling *t); /* NULL is fine */
/* More of a stream that was kept: appends what a caller of a stream gets for it; one of a plain answer gets nothing yet.
 * Whoever kept it cut it between events, or not at all. */
void retell_take(struct retelling *t, struct span bytes, struct buf *out);
/* The last of it (or all): appends the rest of the stream, or the plain answer. False: it is no answer that could be told
 * so, and *out is of no use. */
bool retell_end(struct retelling *t, struct span bytes, struct buf *out);
/* A stream's end where there is no more: an error event in the caller's dialect. */
void retell_break(struct retelling *t, const struct problem *p, struct buf *out);

/* Could the answer to this request say what is lost on the way into another form? Then only its own form will do. */
bool retell_needs_form(const struct chat *chat);

#endif
