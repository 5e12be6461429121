/* What the three steps of applying a document share: apply.c opens, loads and commits; apply_check.c checks all of it;
 * apply_write.c writes what differs, apply_record.c the record of it, apply_notes.c what is worth telling. Nobody else
 * includes this. */
#ifndef WEIR_ADMIN_APPLY_STATE_H
#define WEIR_ADMIN_APPLY_STATE_H

#include "admin/apply.h"
#include "admin/document.h"
#include "admin/known.h"
#include "admin/names.h"
#include "sql/change.h"

struct apply {
    const char *data_dir;
    struct actor by;
    struct reader r;
    struct arena entry;      /* texts of one entry */
    struct document doc;
    const struct master_key *master;
    struct db *read, *write; /* read: what was there before */
    struct change change;
    struct snapshot *before; /* providers and models as stored */
    int64_t verifiers;       /* token verifiers as stored, and those the document adds */
    struct names seen[SECTION_COUNT]; /* of the document */
    struct names provider_id;
    struct applied *out;
    int64_t now;
    bool strict, unknown;    /* as in struct apply_ground, struct fault */
    enum weir_err err;       /* of the database; else the fault is in r */
};

/* Go through a section, or the settings, entry by entry; the entry's texts are gone behind it. Stop at false. */
bool apply_each_entry(struct apply *a, enum section s, bool (*entry)(struct apply *, struct jval));
bool apply_each_setting(struct apply *a, bool (*entry)(struct apply *, const struct setting_def *, struct jval));

/* False: the fault is in a->r, or the database's in a->err. */
bool apply_check(struct apply *a);
bool apply_write(struct apply *a); /* in a->change's transaction */

/* The record of what was written; old NULL: there was none. False: the database's error is in a->err. */
bool apply_record_limit(struct apply *a, const struct limit_rule *old, const struct limit_rule *now);
bool apply_record_key(struct apply *a, const struct key *old, const struct key *now, bool new_secret);
bool apply_record_provider(struct apply *a, const struct provider_row *old, const struct doc_provider *now);
bool apply_record_model(struct apply *a, const struct model_row *old, const struct doc_model *now);
bool apply_record_text(struct apply *a, const char *action, const char *subject, struct span old, struct span now);

/* Notes what an entry names that is not there: the aliases of a key (JSON; NULL: none), the scope of a limit. False: they
 * are refused, for a->strict. */
bool apply_note_models(struct apply *a, const char *models);
bool apply_note_scope(struct apply *a, const char *scope);
/* Notes what an entry changes, both in the document's form; before empty: there was none. */
void apply_note_changes(struct apply *a, const char *action, const char *subject, struct span before, struct span after);

#endif
