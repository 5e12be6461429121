/* How SQLite's log is written: the frames of a commit together. Shared by sql/db.c alone. */
#ifndef WEIR_SQL_DB_LOG_H
#define WEIR_SQL_DB_LOG_H

#include <stdbool.h>

struct sqlite3_file;

/* From now on SQLite's connections open their files through this; once in a process. Without memory nothing changes. */
void db_log_start(void);
/* on: the frames that COMMIT is about to write are kept back until the last, and written with it. Off, behind COMMIT: what a
 * failed one has left is dropped, for no commit is to follow. log: the connection's, or anything, which is left alone. */
void db_log_gather(struct sqlite3_file *log, bool on);

#endif
