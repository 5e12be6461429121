/* A process's name towards others: its row, and its lock file that says whether it lives. */
#ifndef WEIR_SQL_LEDGER_PROCESS_H
#define WEIR_SQL_LEDGER_PROCESS_H

#include "sql/ledger_room.h"

/* Makes sure that l->process names this process's row. */
enum weir_err ledger_process(struct ledger *l, struct db *db);
/* False once nobody holds the lock of that name any more; the file is removed then. */
bool ledger_lives(const struct ledger *l, const char *lock);

#endif
