/* The checkpointer: keeps the write-ahead log small, on a thread and a connection of its own. */
#ifndef WEIR_SQL_CHECKPOINTER_H
#define WEIR_SQL_CHECKPOINTER_H

#include <stdbool.h>
#include "fcgi/base/err.h"

struct checkpointer;
struct db;

/* db_path is copied. The thread starts at the first need. disposable: a file that may be lost; then nothing is synced to
 * disk, and whoever writes waits for nothing. */
enum weir_err checkpointer_new(const char *db_path, bool disposable, struct checkpointer **out);
/* For the writer, after a commit on db and while it has its turn. Nothing but two comparisons most of the time. Asks for
 * a PASSIVE checkpoint every 4 MB of log, and when that is done moves on db what came meanwhile; above 64 MB waits for a
 * whole one (of a disposable file: has it made). */
void checkpointer_saw(struct checkpointer *c, struct db *db);
/* For the writer too: will checkpointer_saw do more than compare, with so many pages? */
bool checkpointer_is_due(const struct checkpointer *c, int wal_pages);
/* Might checkpointer_saw wait, with so many pages? */
bool checkpointer_may_wait(int wal_pages);
/* Interrupts what runs, ends the thread, frees. NULL is fine. */
void checkpointer_free(struct checkpointer *c);

#endif
