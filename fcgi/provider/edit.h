/* Changes of a JSON text where it lies: what does not change stays byte for byte. */
#ifndef WEIR_PROVIDER_EDIT_H
#define WEIR_PROVIDER_EDIT_H

#include "fcgi/base/buf.h"

/* At `at`, `drop` bytes go and `put` comes. */
struct edit { const char *at; size_t drop; struct span put; };

/* Appends the text with all edits made; sorts them. They may not overlap; of two at one place the first given comes first,
 * and one that drops must come after those that only put. Errors stick in out->err. */
void edit_text(struct span text, struct edit *edits, int count, struct buf *out);

#endif
