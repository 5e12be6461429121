/* The zstd door: what is kept in the cache is packed where that pays. The only file that includes zstd. */
#ifndef WEIR_DOOR_PACK_H
#define WEIR_DOOR_PACK_H

#include "fcgi/base/buf.h"

/* Appends bytes in packed form: one byte that says how, and what follows. Short or unpackable bytes stay as they are. */
enum weir_err pack(struct span bytes, struct buf *out);
/* Appends what was packed, up to out's ceiling. WEIR_CORRUPT: it is none of ours. */
enum weir_err unpack(struct span packed, struct buf *out);

/* What is inside, if it was left as it is; absent otherwise. */
struct span packed_plain(struct span packed);

#endif
