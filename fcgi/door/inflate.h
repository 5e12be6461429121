/* The zlib door: answers that come compressed though nobody asked for it. The only file that includes zlib. */
#ifndef WEIR_DOOR_INFLATE_H
#define WEIR_DOOR_INFLATE_H

#include "fcgi/base/buf.h"

struct inflate;

/* Of the header's value: gzip or deflate. WEIR_INVALID: another one, which cannot be undone. */
enum weir_err inflate_new(struct span coding, struct inflate **out);
void inflate_free(struct inflate *z); /* NULL is fine */
/* Takes from the front of `packed` and appends to `plain` until that holds `enough` bytes, by a little more, or nothing is
 * left. WEIR_CORRUPT: it is not what was announced. */
enum weir_err inflate_take(struct inflate *z, struct buf *packed, struct buf *plain, size_t enough);
bool inflate_is_whole(const struct inflate *z); /* its end was read, or nothing at all */

#endif
