/* Has the configuration been changed? Answered without asking the database: a counter in a small file, odd while a change
 * is under way. Who changes has the writers' lock, so there is one at a time. */
#ifndef WEIR_SQL_STAMP_H
#define WEIR_SQL_STAMP_H

#include <stdbool.h>
#include <stdint.h>

struct stamp { int fd; };

/* Opens data_dir/config.stamp, made if missing. Without it every read says "unknown". */
void stamp_open(const char *data_dir, struct stamp *s);
void stamp_close(struct stamp *s); /* may be called twice */
/* True if the open file is no longer the one of that name: close and open again. */
bool stamp_has_moved(const char *data_dir, const struct stamp *s);

#define STAMP_UNKNOWN 1 /* odd: no answer; ask the database */
/* Equal even values before and after: nothing was changed between. Read it before what it vouches for. */
uint64_t stamp_read(const struct stamp *s);

/* Around a change, with the writers' lock: to odd before anything of it can be seen, to even after it can all be seen.
 * A program that dies between leaves it odd, until the next change: then the database is asked every time. */
void stamp_begin(struct stamp *s);
void stamp_end(struct stamp *s);

#endif
