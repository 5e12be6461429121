/* What the three steps of applying a document share: apply.c opens, loads and commits; apply_check.c checks all of it;
 * apply_write.c writes what differs. Nobody else includes this. */
#ifndef WEIR_ADMIN_APPLY_STATE_H
#define WEIR_ADMIN_APPLY_STATE_H

#include "admin/apply.h"
#include "admin/document.h"
#include "admin/in_force.h"
#include "admin/names.h"
#include "sql/change.h"

struct apply {
    struct weir *w;
    struct reader r;
    struct arena entry;      /* texts of one entry */
    struct document doc;
    struct master_key *master;
    struct db *read, *write; /* read: what was there before */
    struct change change;
    struct snapshot *before; /* providers and models as stored */
    struct arena stored;
    struct limit_rule *limits; size_t limit_count, limit_room;
    struct names limit_at;   /* identity to index in limits */
    struct names jwt_bodies; /* "name\nbody" as stored */
    struct names jwt_secret; /* names of those that have a secret */
    struct names seen[SECTION_COUNT]; /* of the document */
    struct names provider_id;
    struct pending pending;
    struct applied *out;
    size_t revoked;
    bool anonymous_limited;  /* see anonymous.h */
    int64_t now;
    enum weir_err err;       /* of the database; else the fault is in r */
};

/* Go through a section, or the settings, entry by entry; the entry's texts are gone behind it. Stop at false. */
bool apply_each_entry(struct apply *a, enum section s, bool (*entry)(struct apply *, struct jval));
bool apply_each_setting(struct apply *a, bool (*entry)(struct apply *, const struct setting_def *, struct jval));

/* False: the fault is in a->r, or the database's in a->err. */
bool apply_check(struct apply *a);
bool apply_write(struct apply *a); /* in a->change's transaction */

#endif
