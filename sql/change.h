/* Every change of configuration or keys: one IMMEDIATE transaction that also raises config_version, so that each
 * process sees it at its next request. Administrators' programs only. */
#ifndef WEIR_SQL_CHANGE_H
#define WEIR_SQL_CHANGE_H

#include "sql/db.h"
#include "sql/stamp.h"

struct change { struct db *db; int lock; struct stamp stamp; };

/* Takes the writers' lock, begins. */
enum weir_err change_begin(struct change *c, struct db *db, const char *data_dir);
enum weir_err change_commit(struct change *c); /* raises the version, commits, lets the lock go */
void change_undo(struct change *c);            /* nothing if it was committed */

#endif
