/* Whose turn it is to write: the queue of all processes' writers before one database. */
#ifndef WEIR_SQL_TURN_H
#define WEIR_SQL_TURN_H

#include <stdbool.h>
#include "fcgi/base/err.h"

/* Two lock files. Who has writer.lock writes; who has writer.next is the one that gets it next. Without the second a
 * process that lets go and comes back at once would overtake those the kernel is still waking. */
struct turn { int lock, next; };

/* WEIR_STORAGE: a file cannot be opened. turn_close may be called after failure, and twice. */
enum weir_err turn_open(const char *data_dir, struct turn *t);
void turn_close(struct turn *t);
/* Waits as long as it takes. */
enum weir_err turn_take(struct turn *t);
/* Takes it only if nobody has it or waits for it. */
bool turn_try(struct turn *t);
void turn_give(struct turn *t);

#endif
