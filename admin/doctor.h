/* What doctor's checks share: how a finding is told. */
#ifndef WEIR_ADMIN_DOCTOR_H
#define WEIR_ADMIN_DOCTOR_H

#include "admin/command.h"
#include "admin/listing.h"
#include "sql/routes.h"

enum finding { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct doctor {
    struct weir *w;
    bool json, failed;
    struct listing listing; /* json */
    const char *lighttpd, *url, *key_file, *model; /* as given; NULL: not */
};

/* what: the thing looked at; the rest: how it is and what to do. */
void doctor_tell(struct doctor *d, enum finding f, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* doctor_web.c: the web server's buffering, by its configuration and by measure; descriptors. */
void doctor_lighttpd(struct doctor *d);
void doctor_stream(struct doctor *d);
void doctor_descriptors(struct doctor *d);

/* doctor_ledger.c: the ledger's time, tickets of the dead, limits on cost without prices. */
void doctor_ledger(struct doctor *d, struct db *db, const struct snapshot *now);

#endif
