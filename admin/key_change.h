/* What a command needs that changes keys, of clients or of administrators: opened and closed together. */
#ifndef WEIR_ADMIN_KEY_CHANGE_H
#define WEIR_ADMIN_KEY_CHANGE_H

#include "admin/command.h"
#include "sql/change.h"

struct key_change { struct master_key *master; struct db *db; struct change change; bool begun; };

/* False: it was said why; key_change_close is due all the same. */
bool key_change_open(struct weir *w, struct key_change *c);
void key_change_close(struct key_change *c); /* undoes what was not committed */

#endif
