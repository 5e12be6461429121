/* The wall between the programs: what the gateway's connections may touch, whatever a statement on their list says. SQLite
 * asks while a statement is prepared, so that one that may not is never run. (DESIGN.md; INTERFACE.md) */
#ifndef WEIR_SQL_WALL_H
#define WEIR_SQL_WALL_H

#include <stdbool.h>

enum wall_act { WALL_READ, WALL_INSERT, WALL_UPDATE, WALL_DELETE };

/* column: of a read or an update, "" if the rows are only counted; ignored otherwise. */
bool wall_allows(enum wall_act act, const char *table, const char *column);

#endif
