/* Events of chat streams that providers send otherwise than OpenAI does, and that clients stumble over (WIRE.md 3). Each
 * gets a checked event's data and, if it rewrites it, appends the new data to *out. */
#ifndef WEIR_PROVIDER_MEND_H
#define WEIR_PROVIDER_MEND_H

#include "fcgi/provider/provider.h"

/* Tool calls without index, id or type get them, and a "stop" behind them becomes "tool_calls". */
enum mended mend_gemini(struct mend *m, struct span data, struct buf *out);
/* What the content filter says before and beside the answer: events without choices are dropped, choices without a delta
 * get an empty one, and an empty id, object or model is the stream's. */
enum mended mend_azure(struct mend *m, struct span data, struct buf *out);
/* Usage that is told under x_groq is told where everybody looks. */
enum mended mend_groq(struct mend *m, struct span data, struct buf *out);

#endif
