/* The record of every change an administrator or an administrator's program makes: who, when, what, before and after. */
#ifndef WEIR_SQL_ADMIN_CHANGES_H
#define WEIR_SQL_ADMIN_CHANGES_H

#include "sql/db.h"

/* Who changes. request_id NULL: no request. */
struct actor { const char *name, *via, *request_id; }; /* via: page, key, command */

struct admin_change {
    int64_t id, time;
    struct actor by;
    const char *action, *subject; /* "limit set", "team/data" */
    const char *before, *after;   /* JSON without secrets; NULL: there was, or is, none */
};

/* In the transaction of what it records. id is not used. */
enum weir_err admin_change_add(struct db *db, const struct admin_change *c);

/* Newest first, those before `below` (0: from the newest on), `most` at a time. Strings live during the call of row. */
enum weir_err admin_changes_page(struct db *db, int64_t below, int most, void (*row)(const struct admin_change *, void *),
                                 void *arg);

#endif
