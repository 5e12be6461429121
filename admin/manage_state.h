/* What manage.c and manage_people.c share: a transaction and its record. Nobody else includes this. */
#ifndef WEIR_ADMIN_MANAGE_STATE_H
#define WEIR_ADMIN_MANAGE_STATE_H

#include "admin/manage.h"
#include "sql/change.h"

#define MANAGE_BUSY_MS 5000
#define RECORD_MAX (8 << 20) /* bytes of what was, or is */

struct managed { struct change change; struct buf before, after; int64_t now; }; /* before, after: JSON, empty for none */

/* After a begin that failed nothing is open. */
enum weir_err managed_begin(struct manager *m, struct managed *c);
/* err WEIR_OK: records and commits; else undoes. Returns err, or what went wrong then. */
enum weir_err managed_end(struct manager *m, struct managed *c, enum weir_err err, const char *action, const char *subject);

#endif
