/* The ledger: holds what a request may cost on every limit of its caller, and charges what it did cost, once.
 * (DESIGN.md, "The ledger")
 *
 * Everything with both a struct ledger and a struct db runs inside the writer's transaction (a job's run, or between
 * db_begin and db_commit) and is all or nothing for itself: an error leaves nothing behind that the caller's savepoint
 * does not undo, and the memory of struct ledger finds out by itself that it was undone. Counters and sums by the hour
 * are in their rows only when db_commit has returned (sooner: db_write_deferred). Times are milliseconds since
 * 1970 UTC, amounts are requests, tokens, nano-dollars, or requests in flight. Errors are the database's: WEIR_BUSY,
 * WEIR_STORAGE, WEIR_CORRUPT, WEIR_NOMEM; others as said. A refusal is no error. A star limit is one on KIND/ and a
 * star: the default of every member of its kind. */
#ifndef WEIR_SQL_LEDGER_H
#define WEIR_SQL_LEDGER_H

#include "fcgi/base/bounds.h"
#include "sql/audit.h"
#include "sql/counter.h"
#include "sql/price.h"

/* One a process, for its writer thread: the process's name towards others, and a bounded memory of rules and counters
 * that trusts nothing it cannot prove to be the database's present state. Never shared between threads at once. */
struct ledger;

/* Makes and locks proc/NAME.lock under data_dir: the process counts as alive while this descriptor (close-on-exec) is
 * open, so a fork that is not followed by exec keeps it alive. WEIR_IO, WEIR_NOMEM. */
enum weir_err ledger_open(const char *data_dir, struct ledger **out);
/* Lets go of the lock and removes the file; tickets still open are from now on those of a dead process. No transaction in
 * which it wrote may still be open. NULL is fine. */
void ledger_close(struct ledger *l);

/* ---- admission ---- */

/* Who is asking; NULL or "" where absent. model is the alias. ip: an address; one of IPv6 counts by its /64 under
 * the star limit of ip, an IPv4-mapped one as IPv4; limits on ip/RANGE apply to every address in the range, together. */
struct ledger_who { const char *user, *team, *role, *rolegroup, *key, *ip, *model; };

struct ledger_ask {
    struct ledger_who who;
    int64_t now_ms;          /* the clock's; may step either way */
    int64_t prompt_bound;    /* tokens, an upper bound of everything sent; hard limits hold it */
    int64_t output_bound;    /* tokens, sum over all choices; 0 where none can come (embeddings) */
    int64_t choices;         /* n, at least 1: output is granted in multiples of it */
    int64_t output_floor;    /* tokens, sum over all choices: clamping never goes below the lesser of this and the bound */
    /* tokens; soft and observing limits hold these, the latter at most output_bound */
    int64_t prompt_estimate, output_estimate;
    struct price price;      /* of the dearest target of the plan, each of its four the dearest */
    struct price price_estimate; /* the same without what nobody asked for by name */
    bool only_request;       /* a hit or a joined request: counts as a request and as one in flight, no tokens, no cost */
    /* what an audit row would need if this process died; provider and model those of the first target */
    const char *request_id, *endpoint, *provider, *model;
    bool stream;
};

#define LEDGER_SCOPE_MAX (BOUND_ALIAS + 24)

struct ledger_warning {
    char scope[LEDGER_SCOPE_MAX]; /* the member that crossed it: "user/alice" */
    enum metric metric;
    enum shape shape;
    int64_t used, limit, percent;
};
#define LEDGER_WARNINGS 4 /* told at a time; more are told with the next request */
struct ledger_warnings { int count; struct ledger_warning at[LEDGER_WARNINGS]; };

/* For x-ratelimit-*: the limit (hard or soft) with the least remaining after this admission, or after a refusal as it
 * stands. */
struct ledger_tight { bool known; int64_t limit, remaining, reset_ms; /* until it is whole again; -1: never */ };

struct ledger_grant {
    int64_t ticket;  /* 0: refused */
    int64_t time;    /* the instant of admission: max(clock, last stamp in the database); given on refusal too */
    int64_t output;  /* tokens granted over all choices: output_bound, or less if `clamped`; a multiple of choices then */
    bool clamped;
    bool hard_tokens; /* a hard limit on tokens or cost applies: a maximum must be forwarded */
    bool priced_only; /* a limit on cost applies that refuses: only targets with a price may be asked */
    struct ledger_tight requests, tokens;
    struct ledger_warnings warnings;
};

enum ledger_refusal_kind { LEDGER_NOT_REFUSED, LEDGER_OVER_LIMIT, LEDGER_UNPRICED };

/* Which limit refused. Of several that would, the one that takes longest to have room. */
struct ledger_refusal {
    enum ledger_refusal_kind kind;
    char scope[LEDGER_SCOPE_MAX]; /* whose counter: "user/alice" */
    char via[LEDGER_SCOPE_MAX];   /* the limit's own scope: the same, or its star limit's */
    enum metric metric;
    enum shape shape;
    enum mode mode;
    enum calendar_unit unit;      /* of a calendar */
    int64_t seconds;              /* of a window */
    int64_t limit, used, held;    /* before this request */
    int64_t asked;                /* the least that would have been held */
    int64_t retry_after_ms;       /* above 0; waiting so long suffices if nothing else happens and !by_settling;
                                     -1: no time helps */
    bool by_settling;             /* room on some limit depends on requests in flight ending (1 s is assumed): a guess */
    bool soon;                    /* within 60 s: rate_limit_exceeded; else insufficient_quota */
};

/* One atomic step over every limit of every scope of the caller: all hold, or none does. Hard limits hold the bounds,
 * soft and observing ones the estimates; observing ones never refuse. A limit refuses when used + held + what it would
 * hold exceeds its amount. If hard limits on tokens or cost leave less than output_bound, what is left is granted,
 * rounded down to a multiple of choices; less than output_floor is refused. `requests` is charged at once.
 * LEDGER_UNPRICED: a hard or soft cost limit applies and price is not known.
 * Returns WEIR_OK with grant->ticket > 0, or 0 and *refusal, and then nothing was written. WEIR_INVALID: a negative
 * amount or choices < 1. */
enum weir_err ledger_admit(struct ledger *l, struct db *db, const struct ledger_ask *ask, struct ledger_grant *grant,
                           struct ledger_refusal *refusal);

/* ---- attempts ---- */

struct ledger_try {
    int64_t ticket, now_ms;
    int number;                /* 1 for the first attempt of a ticket, then 2, 3 ... */
    const char *provider;
    int64_t prompt_bound, output_bound, prompt_estimate, output_estimate; /* of this attempt */
    struct price price, price_estimate; /* of this target */
};

enum ledger_may { LEDGER_GO, LEDGER_SKIP_TARGET, LEDGER_STOP };

/* Before each attempt upstream. Holds the limits on provider/NAME and the star limit's: if one refuses, LEDGER_SKIP_TARGET.
 * From number 2 on raises the caller's holds to what ended attempts used plus the bounds (estimates) of all that are
 * open, this one included: if a limit refuses, LEDGER_STOP. *refusal tells which; nothing was written then. The first
 * attempt of a provider without limits asks and writes nothing. WEIR_NOT_FOUND: the ticket is not open (swept, settled).
 * WEIR_EXISTS: that number was tried already. */
enum weir_err ledger_attempt(struct ledger *l, struct db *db, const struct ledger_try *t, enum ledger_may *may,
                             struct ledger_refusal *refusal);

/* Does a hard limit on tokens or cost of that provider (or of all) apply? Then a maximum must go along to it. */
enum weir_err ledger_provider_is_hard(struct ledger *l, struct db *db, int64_t now_ms, const char *provider, bool *hard);

/* What one attempt used. */
struct ledger_use {
    int number;
    const char *provider;
    bool sent;                 /* false: nothing went upstream; its request is given back to the provider's limits */
    int64_t tokens, cost;      /* prompt + completion; cost 0 where unpriced */
};

/* An attempt has ended while its request goes on: its provider's limits are charged and let go, and the next
 * ledger_attempt counts it at what it used. Call it before the next ledger_attempt, in the same job. Repeating it, or
 * calling it for a ticket that is no longer open, changes nothing. WEIR_NOT_FOUND: no such attempt was begun. */
enum weir_err ledger_attempt_end(struct ledger *l, struct db *db, int64_t ticket, int64_t now_ms,
                                 const struct ledger_use *use);

/* ---- settling ---- */

struct ledger_bill {
    int64_t ticket, now_ms;
    const struct audit_row *row; /* prompt_tokens + completion_tokens and cost (-1 unpriced: 0) are charged; over all
                                    attempts. time, ticket, over_bound, warned, counters are filled in */
    bool give_back;              /* nothing was sent upstream nor told of another's answer: the request does not count */
    const struct ledger_use *uses; int use_count; /* attempts that have not ended; one that is not named gets what the
                                    others leave of the row's totals (of several the last, and the others nothing) */
};

struct ledger_settled {
    bool first;       /* false: it was settled before (by a sweep, perhaps) and nothing was done */
    bool over_bound;  /* more was used than a hard limit held: log it */
    struct ledger_warnings warnings;
};

/* Replaces the holds by what was used, inserts the audit row with the ticket's time, adds to the hourly rollup, removes
 * the ticket. Once: repeating it changes nothing. A charge enters the period or slot of the admission, or nothing if
 * that has left, was reset, or the limit is gone. With over_bound the row's column is set, and its error if it has
 * none. */
enum weir_err ledger_settle(struct ledger *l, struct db *db, const struct ledger_bill *bill, struct ledger_settled *out);

/* ledger_admit and ledger_settle of what is over already, in one step: its ticket is a number, never a row. */
enum weir_err ledger_at_once(struct ledger *l, struct db *db, const struct ledger_ask *ask, const struct audit_row *row,
                             struct ledger_grant *grant, struct ledger_refusal *refusal);

/* Ends a ticket that had no attempts as if it had never been: all is given back, the request does not count, and there is
 * no row, for the request goes another way. Repeating it changes nothing. */
enum weir_err ledger_release(struct ledger *l, struct db *db, int64_t ticket, int64_t now_ms);

/* An audit row, with its rollup, of a request that was never admitted. row->time is the caller's. */
enum weir_err ledger_record(struct ledger *l, struct db *db, const struct audit_row *row);

/* ---- the dead, the idle and the old: the housekeeper's ---- */

enum ledger_orphans { LEDGER_CHARGE, LEDGER_RELEASE };

/* Settles up to `most` tickets of processes that no longer hold their lock: charged with what hard limits held for them
 * (what the others held, where no hard one did), or with nothing; the request counts either way. Audit row: outcome
 * orphaned, status 0, usage_source estimated or none. Forgets dead processes without tickets. *swept: how many were
 * settled; as many as `most`: ask again. */
enum weir_err ledger_sweep(struct ledger *l, struct db *db, enum ledger_orphans policy, int64_t now_ms, int most,
                           int *swept);
/* Looks at up to `most` counters (256 at a time) behind *after (a counter's id; 0 first; 0 again when the end was
 * reached) and removes those of star limits' members that hold and count nothing any more. */
enum weir_err ledger_tidy(struct ledger *l, struct db *db, int64_t now_ms, int most, int64_t *after, int *removed);

/* Deletes the oldest audit rows, up to `most`, with time < before_ms or beyond the newest keep_rows (0: any number),
 * and the attempts and the content beside them; what they charged moves into the counters' carry. Fewer at a time where
 * there is content. *deleted 0: nothing is left to do. */
enum weir_err ledger_forget(struct ledger *l, struct db *db, int64_t before_ms, int64_t keep_rows, int most, int *deleted);

/* ---- looking: on any connection, in no particular transaction ---- */

struct ledger_line {
    const char *scope;     /* the limit's own, with a star if it has one; of a member's line "user/alice" */
    const char *via;       /* of a member's line, and in ledger_usage: the limit's own scope; else NULL */
    struct rule rule;
    int64_t used, held, remaining; /* remaining is never below 0; all as of max(now_ms, last stamp) */
    int64_t resets_at;     /* when nothing of used is left if nothing more comes; -1: never, or nothing is used */
    int64_t warned;        /* when its warning was given; 0: not in this period */
};

/* All limits, or those of one scope (NULL: all), in order of scope, metric, shape, period, seconds. A star limit has
 * used and held 0; `members` lists its members behind it. Strings live during the call. Needs the administrators' list. */
enum weir_err ledger_list(struct db *db, const char *scope, bool members, int64_t now_ms,
                          void (*line)(const struct ledger_line *, void *), void *arg);
/* A part of it, without members: the limits of scopes from `from` on and below `below` (NULL: no bound), `most` of them or
 * a few more, for those of one scope stay together. next: the scope to go on from, "" at the end. */
enum weir_err ledger_list_part(struct db *db, const char *from, const char *below, int most, int64_t now_ms,
                               char next[LEDGER_SCOPE_MAX], void (*line)(const struct ledger_line *, void *), void *arg);
/* What a star limit has counted for its members, the highest `most`; or for one (NULL: for all). */
enum weir_err ledger_list_members(struct db *db, int64_t rule, const char *member, int most, int64_t now_ms,
                                  void (*line)(const struct ledger_line *, void *), void *arg);
/* The `most` counters that stood nearest to their limits when they last moved, as they stand now. */
enum weir_err ledger_list_tight(struct db *db, int most, int64_t now_ms,
                                void (*line)(const struct ledger_line *, void *), void *arg);
/* Every limit that applies to `who`. */
enum weir_err ledger_usage(struct db *db, const struct ledger_who *who, int64_t now_ms,
                           void (*line)(const struct ledger_line *, void *), void *arg);

struct ledger_difference {
    const char *scope, *metric, *shape; /* the counter's member */
    const char *what;                   /* "used", "held", "slot", "level", "ticket" */
    int64_t stored, expected;
};
struct ledger_checked { int64_t limits, open_tickets, differences; };

/* Recomputes every counter from audit rows, attempts, carry and open tickets, at one moment of the database: reads the
 * whole audit log in one read transaction (none may be open). A bucket's used cannot be recomputed: its bounds are
 * checked. Needs the administrators' list. */
enum weir_err ledger_check(struct db *db, struct ledger_checked *out,
                           void (*difference)(const struct ledger_difference *, void *), void *arg);

#endif
