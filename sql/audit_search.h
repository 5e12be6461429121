/* Looking through the audit log, newest first, in pieces: no transaction is longer than one piece, and a search that finds
 * little stops when its time is up and says where to go on. */
#ifndef WEIR_SQL_AUDIT_SEARCH_H
#define WEIR_SQL_AUDIT_SEARCH_H

#include "sql/audit.h"

/* NULL or 0: any. Times are of admission: since <= time < until. */
struct audit_filter {
    int64_t since, until;
    const char *user, *team, *key, *alias, *provider, *outcome, *request_id;
};

/* Rows with an id below `below` (0: the newest), at most `most`, looking for at most budget_ms. row's texts live during
 * its call; false from it ends the search there. *next: go on below this id; 0: there are no more. *seen_back_to: how far
 * back was looked, by time; 0: to the end. */
enum weir_err audit_search(struct db *db, const struct audit_filter *f, int64_t below, int most, int64_t budget_ms,
                           bool (*row)(const struct audit_row *, void *), void *arg, int64_t *next, int64_t *seen_back_to);

/* One row by its id, with ticket, over_bound and warned; the texts are the arena's. WEIR_NOT_FOUND. */
enum weir_err audit_one(struct db *db, int64_t id, struct arena *a, struct audit_row *out);

/* What the ledger knows of the attempts of a row's ticket, in order. */
struct audit_attempt { int64_t number, time, tokens, cost; const char *provider; bool ended; };
enum weir_err audit_attempts(struct db *db, int64_t ticket, void (*row)(const struct audit_attempt *, void *), void *arg);

#endif
