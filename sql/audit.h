/* The audit log: one row a request, and the reading of it. */
#ifndef WEIR_SQL_AUDIT_H
#define WEIR_SQL_AUDIT_H

#include "sql/db.h"

/* Strings NULL where absent. Field by field the columns of table audit (sql/schema). */
struct audit_row {
    int64_t id, time;
    const char *request_id, *user, *team, *role, *rolegroup, *key, *ip, *endpoint, *alias, *provider, *model;
    bool stream;
    int64_t status;
    const char *outcome;
    int64_t attempts;
    const char *cache;
    int64_t prompt_tokens, cached_tokens, cache_write_tokens, completion_tokens;
    int64_t cost;          /* nano-dollars; -1: unpriced */
    const char *usage_source;
    int64_t first_byte_ms; /* -1: nothing was sent */
    int64_t latency_ms;
    const char *error;
    const char *context;   /* what was done to make a long request fit; NULL: nothing */
    /* the ledger's; not read back by audit_page */
    int64_t ticket;        /* 0: was never admitted */
    bool over_bound;       /* used more than a hard limit held for it */
    const char *warned;    /* the limit whose warning threshold it crossed */
    struct span counters;  /* packed ids of the counters it was charged to; absent: none */
};

enum weir_err audit_insert(struct db *db, const struct audit_row *r);

/* A row's id is given when it is written, its time is that of its admission; writing never goes back in time, and no request
 * lasts this long. So an id stands for a time: of the id that this gives, and of all below, everything admitted
 * AUDIT_LONGEST_MS after `time` or later stands behind it, and everything admitted AUDIT_LONGEST_MS before `time` or earlier
 * does not. 0: all may stand behind it. Needs the administrators' list, like audit_page. */
#define AUDIT_LONGEST_MS ((int64_t)86400000)
enum weir_err audit_id_before(struct db *db, int64_t time, int64_t *id);

/* Rows after `after_id` with time >= since_ms and, if not NULL, that user; oldest first, `most` at a time.
 * Strings are the arena's. */
enum weir_err audit_page(struct db *db, int64_t after_id, int64_t since_ms, const char *user, int most,
                         struct arena *a, struct audit_row *out, int *count);

#endif
