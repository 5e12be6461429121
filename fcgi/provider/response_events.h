/* OpenAI's responses, from one form into the other without loss: a whole response as the stream that would have brought it,
 * and a stream's last event as the whole response that stands in it (WIRE.md 1). */
#ifndef WEIR_PROVIDER_RESPONSE_EVENTS_H
#define WEIR_PROVIDER_RESPONSE_EVENTS_H

#include "fcgi/base/buf.h"

/* All events, in the order that the official helpers need; each text in one piece. body: a plain answer, of whatever form.
 * WEIR_INVALID: it is no object; else out's error. */
enum weir_err response_events(struct span body, struct buf *out);

/* data: of an event. The response, if it is the one that ends a stream well; absent for all others. */
struct span response_of_event(struct span data);

#endif
