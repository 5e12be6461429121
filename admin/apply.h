/* Brings a configuration document into the database: everything is checked before anything is written, it is written in
 * one transaction, and the record of changes says what became of each entry. Everything that is configured comes this
 * way: `apply`, `init` and other commands, the pages, the administrators' JSON. */
#ifndef WEIR_ADMIN_APPLY_H
#define WEIR_ADMIN_APPLY_H

#include "admin/command.h"
#include "admin/document.h"
#include "admin/field.h"
#include "sql/admin_changes.h"

struct tally { size_t added, changed, same; };
#define TALLY_SETTINGS 5 /* behind the sections of document.h */
#define TALLY_COUNT 6

struct applied {
    struct tally tally[TALLY_COUNT];
    struct buf made;     /* "NAME<TAB>SECRET\n" of each key that was given a secret */
    size_t made_count;
    size_t revoked;      /* keys of the document that are revoked, and stay so */
    bool anonymous_limited; /* see anonymous.h */
    bool short_secret;      /* of a token verifier: see document.h */
    struct buf notes;       /* lines "PATH: SENTENCE" of what may be a mistake, the first of note_count */
    int note_count;
    struct buf changes;     /* lines "NAME: MEMBER OLD -> NEW" of what was written, or would be */
};

/* What the document is brought into, and by whom. */
struct apply_ground {
    const char *data_dir;
    struct db *read, *write;   /* may be the same; no transaction is open */
    const struct master_key *master;
    struct actor by;
    bool remote;               /* secrets may not name files and environment variables of this machine */
    bool strict;               /* models and providers that are not there may not be named by keys and limits */
};

/* err WEIR_OK: the document is wrong, at that path ("limits[0].capacity"); else the database failed. */
struct fault {
    enum weir_err err;
    bool unknown; /* it is about a name that is not there, and would be none if strict were false */
    char path[sizeof ((struct reader *)0)->path], text[sizeof ((struct reader *)0)->fault];
};

/* dry_run: all but the commit, and no secrets are given out. False: *fault says why, nothing was changed and *out is
 * free; else the caller frees it with applied_free. */
bool document_change(const struct apply_ground *g, struct span text, bool dry_run, struct applied *out, struct fault *fault);
void applied_free(struct applied *out); /* may be called twice */

/* The same for a command: opens what it needs, and says what is wrong. drop: how much of a fault's path is not shown
 * ("providers[0]." where there is no document). NULL: none. */
bool document_apply(struct weir *w, struct span text, bool dry_run, const char *drop, struct applied *out);

#endif
