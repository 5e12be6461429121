/* One counter of one limit: how it moves with time, what room it has, when it will have more. Arithmetic only; a
 * window's slots are rows, and whoever holds the database adds them up. */
#ifndef WEIR_SQL_COUNTER_H
#define WEIR_SQL_COUNTER_H

#include "sql/calendar.h"

enum metric { METRIC_REQUESTS, METRIC_TOKENS, METRIC_COST, METRIC_CONCURRENCY, METRIC_COUNT };
enum shape { SHAPE_NONE, SHAPE_TOTAL, SHAPE_BUCKET, SHAPE_WINDOW, SHAPE_CALENDAR, SHAPE_COUNT };
enum mode { MODE_HARD, MODE_SOFT, MODE_OBSERVE, MODE_COUNT };
extern const char *const metric_names[], *const shape_names[], *const mode_names[], *const calendar_names[];

/* A limit as the ledger needs it. Units: requests, tokens, nano-dollars, requests in flight. */
struct rule {
    int64_t id;
    enum metric metric;
    enum shape shape;
    enum mode mode;
    enum calendar_unit unit;
    int64_t seconds, amount;
    int64_t refill;         /* limit_rule.refill_nano */
    int64_t utc_offset_min, warn_percent;
};

/* False if a word is not one of ours. shape "none" is concurrency's. */
bool rule_words(struct rule *r, const char *metric, const char *shape, const char *period, const char *mode);

/* A row of table counter; see sql/schema/002_ledger.sql. For every shape there is room for n if used + held + n <=
 * amount. A bucket's `used` is what is missing from it: time takes it down to 0 at the refill's rate, and a hold keeps
 * its place until it is settled, so that charges over any interval <= capacity + refill x length. */
struct counter { int64_t id, first, used, held, at, rem, mark, warned, carry; };

#define WINDOW_SLOTS 256
#define WINDOW_EMPTY INT64_MAX /* mark of a window without slots */

/* A counter that begins now, with this ticket. */
struct counter counter_new(const struct rule *r, int64_t now, int64_t next_ticket);
/* Brings used up to `now` (nothing if that is not later than c->at): a bucket refills, keeping the remainder of a unit
 * in rem (none once it is full); a calendar period that has ended begins anew with next_ticket, first of the next one;
 * of a window `left` is what its slots below window_edge(now) held. A warning is re-armed when its period is over. */
void counter_roll(const struct rule *r, struct counter *c, int64_t now, int64_t next_ticket, int64_t left);

/* amount - used - held: below 0 after a limit was lowered or overrun. Saturates. */
int64_t counter_room(const struct rule *r, const struct counter *c);
/* Adds to held what still fits into 64 bits and returns that: so much is to be let go again. */
int64_t counter_hold(struct counter *c, int64_t n);
/* Adds to used what still fits into 64 bits and returns that. */
int64_t counter_charge(struct counter *c, int64_t n);
/* A bucket takes back `n` charged at `then`: less what has refilled since, for that has been given already. */
void counter_give_back(const struct rule *r, struct counter *c, int64_t n, int64_t then);
/* True when `used` has reached the warning threshold and no warning was given in this period: then it is marked. */
bool counter_warns(const struct rule *r, struct counter *c, int64_t now);

#define WAIT_NEVER INT64_MAX
/* Milliseconds from c->at until time alone has made `excess` of used go (excess > 0): a bucket by refill, a calendar
 * at its boundary (then all of used). WAIT_NEVER: total, concurrency, or more than used. Windows: their slots know. */
int64_t counter_wait(const struct rule *r, const struct counter *c, int64_t excess);
/* Milliseconds until nothing of used is left, as far as the row says; -1: never, or nothing is used. A window: until
 * what is charged now would leave. */
int64_t counter_reset_ms(const struct rule *r, const struct counter *c);

/* slot = floor(ms * 256 / length); the lowest slot that still counts at `ms`; when a slot leaves: one length after its
 * end, rounded up to the millisecond. */
int64_t window_slot(int64_t seconds, int64_t ms);
int64_t window_edge(int64_t seconds, int64_t ms);
int64_t window_leaves(int64_t seconds, int64_t slot);

#endif
