/* The circuit breaker of a target or a key, as a value: closed, open, half-open. Knows the rules and nothing else: no
 * database, no clock of its own. (DESIGN.md, "Relaying") Times are wall-clock milliseconds since 1970, for they are shared
 * between processes and outlive them; a clock that steps only makes a breaker try sooner. */
#ifndef WEIR_SQL_BREAKER_H
#define WEIR_SQL_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES  5      /* so many in a row ... */
#define BREAKER_WITHIN_MS 60000  /* ... within this time open it */
#define BREAKER_OPEN_MS   10000  /* the first time; doubled each time that the probe fails */
#define BREAKER_MOST_MS   300000
#define BREAKER_RESORT_MS 1000   /* where nothing else is left an open one may be tried so often */
#define BREAKER_PROBE_MS  60000  /* whoever has claimed the probe has so long to tell what came of it */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    enum breaker_state state;
    int64_t failures;                       /* in a row */
    /* When the last of them were, newest first; 0: none. While it is open: when it opened, or was tried as a last resort. */
    int64_t recent[BREAKER_FAILURES - 1];
    int64_t until;  /* open: then it is half-open, for one probe; half-open: then the claim on the probe ends */
    int64_t opens;  /* in a row, without a success between */
};

enum breaker_may { BREAKER_GO, BREAKER_CLAIM, BREAKER_RESORT, BREAKER_WAIT };

/* GO; CLAIM: one may, who has claimed the probe; RESORT: the same, where nothing else is left; WAIT: nobody may. */
enum breaker_may breaker_may(const struct breaker *b, int64_t now);
/* Takes the probe, or the try of last resort, whose failure changes nothing. False: it is another's, or none is due. */
bool breaker_claim(struct breaker *b, int64_t now);
/* A claimed probe was not made after all, or says nothing: another one may be claimed at once. */
void breaker_unclaim(struct breaker *b, int64_t now);
/* What a request, or a probe, came to; claimed: it was made on a claim. True: the breaker has changed (of a success in a row
 * of successes: no). */
bool breaker_good(struct breaker *b, int64_t now, bool claimed);
bool breaker_bad(struct breaker *b, int64_t now);
/* There was a sign of life that is no success: closed, but on trial, so that the next failure opens it again. */
bool breaker_trial(struct breaker *b, int64_t now);

#endif
