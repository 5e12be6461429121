/* One form for all JSON texts that mean the same: white space gone, members in order of their names, escapes only where
 * they must be. Numbers stay as they are written: 1 and 1.0 are two; so does what lies 16 levels deep, for every level is
 * read once more than the one around it. */
#ifndef WEIR_BASE_CANON_H
#define WEIR_BASE_CANON_H

#include "fcgi/base/jscan.h"

/* Appends v, of a checked text. skip: names of members that are left out of v itself, if it is an object (not of what is
 * inside it); NULL-terminated, may be NULL. Members of one name keep their order. WEIR_NOMEM, or out's error. */
enum weir_err canon_write(struct jval v, const char *const *skip, struct buf *out);

#endif
