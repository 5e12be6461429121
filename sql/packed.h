/* Integers packed small: 7 bits a byte, lowest first, the high bit saying that more follow. The same on every machine. */
#ifndef WEIR_SQL_PACKED_H
#define WEIR_SQL_PACKED_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/span.h"

#define PACKED_INT 10 /* bytes of one integer, at most */

/* Returns the place behind it. */
unsigned char *packed_put(unsigned char *to, uint64_t n);
/* Takes one off the front. False: there is no whole one. */
bool packed_take(struct span *left, int64_t *out);

#endif
