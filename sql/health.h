/* What is known of providers, their targets and their keys: breakers, cool-downs, keys that were refused, how fast they
 * answer. One row each in the database, changed on transitions only and seen by all processes. */
#ifndef WEIR_SQL_HEALTH_H
#define WEIR_SQL_HEALTH_H

#include "sql/breaker.h"
#include "sql/db.h"

enum health_kind {
    HEALTH_PROVIDER, /* its name is "" */
    HEALTH_TARGET,   /* the provider's name of the model */
    HEALTH_KEY
};
enum health_forced { FORCED_NOT, FORCED_OPEN, FORCED_CLOSED }; /* of a provider */
/* Of a provider, by its probes: below 500 ms, slower, no answer. */
enum health_seen { SEEN_UNKNOWN, SEEN_CONNECTED, SEEN_SLOW, SEEN_DISCONNECTED };
extern const char *const health_seen_names[], *const breaker_names[];

#define HEALTH_ERROR_MAX 240
#define COOL_MOST_MS 86400000 /* no provider is believed that asks for longer */

struct health_row {
    enum health_kind kind;
    const char *provider, *name;
    struct breaker breaker;
    bool unreached;          /* the last failure came without an HTTP answer */
    enum health_forced forced;
    int64_t cool_until;      /* a key whose limit is reached; 0: not */
    const char *cool_model;  /* for this model alone; NULL: for all */
    const char *disabled;    /* why the key is not used any more; NULL: it is */
    const char *error;       /* the last one; NULL: none */
    int64_t error_at;
    int64_t requests, failed;
    int64_t latency_ms;      /* to the beginning of an answer, lately; -1: unknown */
    enum health_seen seen;
    int64_t probed, updated; /* 0: never */
};

/* All rows of one moment, immutable, shared. */
struct health_map { struct health_row *rows; int count; struct arena memory; int refs; };
enum weir_err health_load(struct db *db, struct health_map **out);
void health_hold(struct health_map *m);
void health_release(struct health_map *m); /* NULL is fine */
/* NULL: there is nothing to say of it. m may be NULL. */
const struct health_row *health_find(const struct health_map *m, enum health_kind kind, const char *provider,
                                     const char *name);

/* May this target be asked with this key (NULL: it has none)? */
enum health_may {
    HEALTH_GO,
    HEALTH_CLAIM,  /* if the probe can be claimed */
    HEALTH_RESORT, /* the same, where nothing else is left: a breaker is open */
    HEALTH_BLOCKED
};
/* *until: HEALTH_RESORT, HEALTH_BLOCKED: when it may be asked again; -1: not by itself. */
enum health_may health_may(const struct health_map *m, const char *provider, const char *model, const char *key, int64_t now,
                           int64_t *until);

/* ---- changes, inside a transaction ---- */

/* Reads the row, or a fresh one; the strings are the arena's. Then change it, then put it. */
enum weir_err health_read(struct db *db, struct arena *a, enum health_kind kind, const char *provider, const char *name,
                          struct health_row *out);
enum weir_err health_put(struct db *db, const struct health_row *row, int64_t now);
/* Adds to the counts alone; makes the row if there is none. latency_ms -1: not measured. */
enum weir_err health_count(struct db *db, const struct health_row *counts, int64_t now);
/* Administrators': forgets all that was held against a provider, its targets and keys; counts stay. */
enum weir_err health_forget(struct db *db, const char *provider);
/* Only if nobody else has it, or its holder has not renewed it in time: takes or renews the lease of that name. */
enum weir_err lease_take(struct db *db, const char *name, const char *holder, int64_t now, int64_t ms, bool *mine);

#endif
