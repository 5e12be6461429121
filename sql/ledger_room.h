/* What the ledger's own files share: its memory of rules and counters, one operation's touches, the packed pairs. */
#ifndef WEIR_SQL_LEDGER_ROOM_H
#define WEIR_SQL_LEDGER_ROOM_H

#include "sql/ledger.h"

#define LEDGER_ROOM  1024 /* bytes of memory that most operations need */
#define LEDGER_KINDS 9
enum kind { KIND_GLOBAL, KIND_TEAM, KIND_ROLEGROUP, KIND_ROLE, KIND_USER, KIND_KEY, KIND_IP, KIND_MODEL, KIND_PROVIDER };
extern const char *const kind_names[LEDGER_KINDS];

/* One counter in memory, beside its rule. Shared by all members that count there. */
struct gauge {
    struct rule rule;
    struct counter c;            /* id 0: there is no row yet */
    uint64_t generation;         /* c is what the database had then */
    char *member;                /* whose: "user/alice" */
    char *scope;                 /* the limit's own: the same, or a star limit's */
    int64_t slot, add;           /* window: to be added to that slot's row, see ledger_write_behind */
    bool behind;
    struct gauge *next_key, *next_id, *next_behind;
};

/* What limits apply to one name of one kind. */
struct member {
    char *name;
    enum kind kind;
    int count;
    struct gauge **at;
    struct member *next;
};

struct stored_rollup;

/* One counter as an operation is going to leave it. */
struct touch {
    struct gauge *gauge;
    struct counter now;
    int64_t amount;     /* what a pair is to keep: held, or charged under `requests` */
    int64_t slot, add;  /* window: to be added to that slot */
    int64_t edge;       /* window: slots below are to be deleted; INT64_MIN: none */
    bool warned;
};

#define TABLE_SIZE 4096
struct ledger {
    char *dir, *lock;            /* proc/LOCK */
    int fd;
    int64_t process;             /* 0: not known to be in the database */
    bool trusted;                /* token is that of our last write, and memory is as that left it */
    int64_t token, next_token;
    uint64_t generation;         /* of counters in memory */
    int64_t version;             /* config_version the rules are of */
    int64_t undone;              /* db_undone, of the sums' row numbers */
    int64_t time;                /* the last stamp given */
    int64_t seen_token, now, last_ticket; /* of the operation under way: now is its stamp */
    int64_t lag;                 /* how far the stamp is ahead of the clock */
    int things;                  /* members and gauges in memory */
    struct member *members[TABLE_SIZE];
    struct gauge *by_key[TABLE_SIZE], *by_id[TABLE_SIZE];
    bool ranges_known;
    char **ranges; int range_count; /* scopes of limits on ip/RANGE */
    struct touch *touch; int count, room;
    struct gauge *behind;        /* those whose rows are behind memory */
    struct stored_rollup *rollups;
};

/* ---- ledger_memory.c ---- */
struct ledger *ledger_memory_new(void);
void ledger_memory_free(struct ledger *l);
/* Frees all that is remembered of rules and counters; no touch may be in use. */
void ledger_forget_memory(struct ledger *l);
/* An operation: look first (finds out what of the memory still holds, sets l->now), then unchanged or done. Whatever
 * ends without either leaves the memory distrusted.
 *
 * Of the operations in one transaction the first asks the database for the state, and what they all change again and
 * again (the state, counters, slots, sums by the hour) is written once, before the commit: db_defer. What reads those
 * rows otherwise than through the memory calls db_write_deferred first. */
enum weir_err ledger_look(struct ledger *l, struct db *db, int64_t now_ms);
void ledger_unchanged(struct ledger *l);
enum weir_err ledger_done(struct ledger *l, struct db *db); /* l->now, l->last_ticket and a new token are to be written */
enum weir_err ledger_read_rule(struct stmt *s, int col, struct rule *r); /* id scope metric shape period seconds ... */
enum weir_err ledger_member(struct ledger *l, struct db *db, enum kind kind, const char *name, struct member **out);
/* The counter of that id, and its rule; *out NULL: it is gone. Brought up to the database. */
enum weir_err ledger_gauge(struct ledger *l, struct db *db, int64_t id, struct gauge **out);

/* Reads the gauge's row again; from then on it is found by its id. */
enum weir_err ledger_refresh(struct ledger *l, struct db *db, struct gauge *g);
void ledger_know(struct ledger *l, struct gauge *g);
void ledger_lose(struct ledger *l, struct gauge *g); /* its row is gone, or has another id */

/* ---- ledger_touch.c ---- */
/* Appends the gauge, its counter rolled to l->now, to l->touch; *out lives until the next append. */
enum weir_err ledger_touch(struct ledger *l, struct db *db, struct gauge *g, struct touch **out);
/* Appends all limits of a caller, or of a provider. */
enum weir_err ledger_touch_who(struct ledger *l, struct db *db, const struct ledger_who *who);
enum weir_err ledger_touch_kind(struct ledger *l, struct db *db, enum kind kind, const char *name);
/* Takes all touches into memory, to be written before the commit; makes rows of counters that had none. */
enum weir_err ledger_write_touches(struct ledger *l, struct db *db);
/* What one limit holds of a request: tokens, cost by its mode. */
struct need { int64_t tokens, cost, soft_tokens, soft_cost; };
int64_t need_of(const struct need *n, const struct rule *r);
/* Holds (charges, under requests) `n` on a touch. */
void touch_take(struct ledger *l, struct touch *t, int64_t n);
/* Checks one touch against what it would take (`more` of what is held already); the refusal that takes longest to
 * pass is kept. */
enum weir_err touch_check(struct ledger *l, struct db *db, const struct touch *t, int64_t more,
                          struct ledger_refusal *refusal);
void touch_refusal(const struct ledger *l, const struct touch *t, enum ledger_refusal_kind kind, struct ledger_refusal *out);
/* Writes what a gauge has to add to a slot. */
enum weir_err gauge_write_slot(struct db *db, struct gauge *g);
/* Writes a gauge's counter and slot. */
enum weir_err gauge_write(struct db *db, struct gauge *g);
/* Adds n to a window's slot, with the touch's own writing; what it had for another slot is written at once. Not for a
 * counter that has no row yet. */
enum weir_err touch_to_slot(struct db *db, struct touch *t, int64_t slot, int64_t n);
void touch_warn(struct ledger *l, struct touch *t, struct ledger_warnings *w);

/* ---- ledger_pairs.c ---- */
/* What a ticket or attempt holds, packed into its row: for each counter its id, metric and flags, and amount, as
 * variable-length integers, 7 bits a byte, lowest first. A list of counters is ids alone, in the same form. */
#define PAIR_HARD 4    /* held the bound */
#define PAIR_WARNED 8  /* crossed its warning threshold at admission */
struct pair { int64_t counter, amount; int flags; enum metric metric; };
struct pairs { struct pair *at; int count; };
enum weir_err pairs_pack(const struct ledger *l, struct arena *a, struct span *out); /* of l->touch */
enum weir_err pairs_pack_list(const struct pair *at, int count, struct arena *a, struct span *out);
enum weir_err pairs_unpack(struct span packed, struct arena *a, struct pairs *out);  /* WEIR_CORRUPT */
enum weir_err ids_pack(const int64_t *ids, int count, struct arena *a, struct span *out);
bool ids_next(struct span *left, int64_t *id); /* false at the end, or where it is damaged */

/* ---- ledger_admit.c ---- */
/* Admits, but for the ticket's row and ledger_done: what is held is in pairs, the arena's. */
enum weir_err ledger_take(struct ledger *l, struct db *db, const struct ledger_ask *ask, struct ledger_grant *grant,
                          struct ledger_refusal *refusal, struct arena *a, struct span *pairs);

/* ---- ledger_ticket.c ---- */
struct ticket {
    struct audit_row row;  /* time and the caller's names */
    int64_t id, process, prompt_bound, output_bound, cost_bound, prompt_estimate, output_estimate, cost_estimate, attempts;
    struct pairs pairs;
};
/* *found false: there is none. Strings are the arena's. */
enum weir_err ticket_read(struct db *db, int64_t id, struct arena *a, struct ticket *out, bool *found);
/* Reads only time, attempts and pairs, and deletes it. (Cheaper by half than DELETE ... RETURNING all.) */
enum weir_err ticket_take(struct db *db, int64_t id, struct arena *a, struct ticket *out, bool *found);
struct attempt {
    int64_t number, sequence, time, tokens, cost, soft_tokens, soft_cost;
    bool ended;
    const char *provider;
    struct pairs pairs;
};
enum weir_err attempts_read(struct db *db, int64_t ticket, struct arena *a, struct attempt **out, int *count);
enum weir_err attempt_insert(struct db *db, int64_t ticket, const struct attempt *at, struct span pairs);
/* Ends an open attempt: lets go of and charges its provider's counters, in l->touch, and writes its row. */
enum weir_err attempt_close(struct ledger *l, struct db *db, int64_t ticket, struct arena *a, const struct attempt *at,
                            const struct ledger_use *use);
/* Replaces what pairs hold by what was used, in l->touch (which is not emptied). number and time: the ticket's, or the
 * attempt's sequence and time. */
struct actual { int64_t tokens, cost; bool give_back; };
struct charged {
    struct span counters; /* packed ids of those it was charged to */
    bool over;            /* a hard one held less */
};
enum weir_err pairs_settle(struct ledger *l, struct db *db, const struct pairs *pairs, int64_t number, int64_t time,
                           const struct actual *used, struct arena *a, struct charged *out);

/* Whether a charge of that instant still belongs to what the counter counts. */
bool touch_counts(const struct touch *t, int64_t number, int64_t time);

/* ---- rollup.c ---- */
enum weir_err rollup_add(struct ledger *l, struct db *db, const struct audit_row *row); /* to be written before the commit */
enum weir_err rollup_write(struct ledger *l, struct db *db);
void rollup_undo(struct ledger *l);   /* what was to be written was rolled back */
/* Rows may have been undone whose numbers are in memory. What others write does not matter: no row of sums is ever deleted,
 * nor a number given twice. */
void rollup_forget(struct ledger *l);
void rollup_free(struct ledger *l);

#endif
