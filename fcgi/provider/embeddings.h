/* Embeddings for callers who asked for base64 and providers who answer numbers: both official SDKs ask for base64
 * without saying so, and older ones take an array for an empty answer (WIRE.md 1). */
#ifndef WEIR_PROVIDER_EMBEDDINGS_H
#define WEIR_PROVIDER_EMBEDDINGS_H

#include "fcgi/base/buf.h"

/* body: a checked answer of OpenAI's form. Every data[].embedding that is an array of numbers becomes the base64 of its
 * little-endian float32; everything else stays byte for byte. WEIR_INVALID: an array holds something else; WEIR_FULL,
 * WEIR_NOMEM. body is unchanged on error. */
enum weir_err embeddings_to_base64(struct buf *body);

#endif
