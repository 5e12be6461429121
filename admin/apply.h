/* Brings a configuration document into the database: everything is checked before anything is written, and it is
 * written in one transaction. Used by `apply`, `init`, `provider add` and `model add`. */
#ifndef WEIR_ADMIN_APPLY_H
#define WEIR_ADMIN_APPLY_H

#include "admin/command.h"

struct tally { size_t added, changed, same; };
#define TALLY_SETTINGS 5 /* behind the sections of document.h */
#define TALLY_COUNT 6

struct applied {
    struct tally tally[TALLY_COUNT];
    struct buf made;     /* "NAME<TAB>SECRET\n" of each key that was given a secret; the caller frees */
    size_t made_count;
};

/* drop: how much of a fault's path is not shown ("providers[0]." where there is no document). NULL: none.
 * dry_run: all but the commit, and no secrets are given out. False: it was said why, and nothing was changed. */
bool document_apply(struct weir *w, struct span text, bool dry_run, const char *drop, struct applied *out);

#endif
