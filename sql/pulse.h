/* One process's share in what is known of upstreams: a copy of the rows of health, read anew when another process says
 * that they have changed (a stamp in a small file) or after a second; counts and latencies, kept in memory until they are
 * flushed. Nothing correct depends on what is only here. */
#ifndef WEIR_SQL_PULSE_H
#define WEIR_SQL_PULSE_H

#include "sql/health.h"
#include "sql/store.h"

struct pulse;

enum weir_err pulse_open(struct store *s, const char *data_dir, struct pulse **out);
void pulse_close(struct pulse *p); /* after the store's writer has ended, or nothing is told any more; NULL is fine */
/* Tells every process that rows have changed: after the commit. */
void pulse_ring(const char *data_dir);

/* The rows as they stand; NULL: there are none, or they cannot be read. To be released (health_release). */
struct health_map *pulse_hold(struct pulse *p);

/* What an attempt came to. */
enum pulse_word {
    PULSE_GOOD,
    PULSE_BAD,      /* the target has failed */
    PULSE_LIMITED,  /* the key's limit is reached: it rests for cool_ms, or (0: not said) counts a failure */
    PULSE_REFUSED,  /* the key is not accepted: it is not used any more */
    PULSE_NOTHING   /* it says nothing of either */
};
struct pulse_report {
    const char *provider, *model, *key; /* key NULL: the target has none, and answers for both */
    enum pulse_word word;
    bool unreached;                     /* PULSE_BAD: no HTTP answer came */
    bool whole_key;                     /* PULSE_LIMITED: for every model, not only this one */
    bool claimed;                       /* it was the probe */
    bool unnamed;                       /* the model's name is the caller's: of the target only what a claimed
                                           probe came to is kept */
    int64_t cool_ms;
    int64_t latency_ms;                 /* to the beginning of the answer; -1: none came */
    const char *error;
};
/* Around an attempt: its key is in use. */
void pulse_begin(struct pulse *p, const char *provider, const char *key);
void pulse_end(struct pulse *p, const char *provider, const char *key);
/* What changes a row is written by the writer in its own time, but before whatever is written later. */
void pulse_tell(struct pulse *p, const struct pulse_report *r);
/* Where health_may said HEALTH_CLAIM: true for one caller of all processes. */
bool pulse_claim(struct pulse *p, const char *provider, const char *model, const char *key);

/* For choosing; all of this process alone, but for what has been flushed. NULL p: nothing is known. */
uint64_t pulse_turn(struct pulse *p, enum health_kind kind, const char *name); /* one more with each call */
/* ms; -1: unknown */
int64_t pulse_latency(struct pulse *p, const struct health_map *m, const char *provider, const char *model);
struct pulse_use { int64_t in_flight, requests; };
struct pulse_use pulse_uses(struct pulse *p, const struct health_map *m, const char *provider, const char *key);
/* The provider says that this key is nearly out of its limit until then (clock_mono_ms): others go first. */
void pulse_spare(struct pulse *p, const char *provider, const char *key, int64_t until);
bool pulse_is_spared(struct pulse *p, const char *provider, const char *key);

/* Writes what was counted since the last time; waits for it, up to wait_ms. */
void pulse_flush(struct pulse *p, int wait_ms);

#endif
