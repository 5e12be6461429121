/* Keeps what a caller is told in a stream, for the audit log: the texts without the events around them, which are forty
 * times as long. It stands where the bytes leave, so it holds what was delivered and nothing else. */
#ifndef WEIR_STAGE_RECORD_H
#define WEIR_STAGE_RECORD_H

#include "fcgi/base/arena.h"

struct record;

/* most: bytes of what record_json will give. The record is the arena's; NULL when memory is out. */
struct record *record_new(size_t most, struct arena *a);
/* Whole events, of any face. What does not fit ends the record: it is cut from there on. */
void record_take(struct record *r, struct span events);
/* All of it, once; the arena's. A JSON array in order of first appearance:
 *   {"choice":0,"text":"..."}  also "reasoning", "refusal"
 *   {"choice":0,"tool":"name","arguments":"..."}
 * and at last, if there are any, {"events":[...]}: those that are neither text nor tool call, errors above all, unchanged.
 * With blocks (Anthropic) or output items (Responses) each makes an entry. Absent: nothing was recorded. */
#define RECORD_DEPTH 3 /* an event of BOUND_JSON_DEPTH stands so much deeper in it */
struct span record_json(struct record *r, struct arena *a, bool *cut);

#endif
