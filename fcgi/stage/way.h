/* What each step of a request's way leaves for the later ones: plain structs, filled by one stage, then only read.
 * accept -> request -> authenticate -> parse -> plan -> admit -> relay -> settle */
#ifndef WEIR_STAGE_WAY_H
#define WEIR_STAGE_WAY_H

#include "fcgi/base/arena.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"
#include "fcgi/door/fastcgi.h"
#include "fcgi/provider/provider.h"
#include "fcgi/stage/book.h"
#include "fcgi/stage/estimate.h"
#include "fcgi/stage/tariff.h"
#include "sql/cache.h"

struct record; /* record.h */
struct keep;   /* keep.h */

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_OPTIONS, METHOD_OTHER };

/* By request: what was asked, before anything of it is believed. */
struct request {
    struct conn *conn;
    struct record *record; /* what the caller is told in a stream is kept there; NULL: it is not kept */
    struct keep *keep;     /* the same of what the upstream says, for the cache and for who waits for it; NULL: not */
    enum method method;
    struct span path;      /* decoded, below the mount prefix, begins with '/'; terminated */
    bool path_is_bad;      /* could not be decoded */
    char id[BOUND_REQUEST_ID + 1];
    const char *peer;      /* REMOTE_ADDR, "" if the web server says none; a caller's address is struct caller's */
    const char *content_type; /* NULL: none */
    const char *length;    /* CONTENT_LENGTH, NULL: none */
    /* Credentials and identity headers with how often each was given; a value is of the last. */
    struct header_seen { const char *value; int times; } api_key, authorization, user, team, role, rolegroup;
    const char *context;   /* by trim: what was done to make the conversation fit, for x-weir-context; NULL: nothing */
    const char *cache;     /* for x-weir-cache: "hit", "miss", "stale", "joined"; NULL: "bypass" */
    int64_t cache_age_s;   /* of a hit or a stale answer */
    const char *cache_control, *cache_wish, *cache_ttl; /* cache-control, x-weir-cache, x-weir-cache-ttl; NULL: not given */
    const char *anthropic_version, *anthropic_beta; /* NULL: not given */
    bool is_anthropic;     /* by the route: errors are told in Anthropic's form */
    struct header_seen forwarded_for, forwarded; /* what proxies say: X-Forwarded-For, Forwarded */
    const char *origin, *preflight_method, *preflight_headers; /* CORS; NULL: none */
    const char *reader;    /* by cors: the origin whose pages may read the answer ("*": any); NULL: none */
    int64_t begun_wall_ms, begun_mono_ms;
};

/* By authenticate: who asks. Strings NULL where absent. */
struct caller {
    bool known;            /* the credential is good: whatever follows leaves an audit row */
    struct key key;        /* of a token, or of nobody: without id and name */
    struct client_hash hash;
    char ip[IP_TEXT];      /* the caller's address, "" if nobody says it */
    bool ip_is_vague;      /* that is a proxy's: what it says of the caller's cannot be believed */
    const char *user, *team, *role, *rolegroup;
    struct snapshot *snap; /* the configuration this request is served by; held for the request */
};

/* By cache: may an answer be another's too, and is there one? */
struct reuse {
    bool stores;               /* what comes is kept */
    bool looks;                /* what is kept is taken, and what is on its way waited for */
    struct cache_name name;
    int64_t ttl_ms, most_age_ms, stale_ms;
    bool found;                /* entry holds: fresh, or to be used if all else fails */
    bool fresh;
    struct cache_entry entry;
};

/* By plan: whom to ask, in order. Each key of each target is a candidate of its own. */
struct plan {
    const struct model_row *model;
    struct target *targets;
    int count;
    struct target *larger; /* to be asked instead where the request does not fit the model's context */
    int larger_count;
    bool priced;           /* some target has a price */
};

/* By admit: what is held. grant.ticket > 0: it has to be settled. */
struct ticket {
    struct estimate estimate;
    struct tariff tariff;          /* what it asks for that has a price of its own */
    struct ledger_grant grant;
    enum ledger_may first;         /* may the plan's first target be asked? */
    bool first_is_hard;            /* its provider's limits demand a maximum */
    struct ledger_refusal skipped; /* if not, why */
};

#define OUTCOME_USES 4 /* two attempts at a time, and what was booked but not made */

enum end { END_OK, END_REFUSED, END_FAILED, END_CANCELLED, END_TRUNCATED };

/* By relay: how it went. What still has to be sent when the audit row is written stands in body or tail. */
struct outcome {
    enum end end;
    const struct target *target; /* the one that answered, or the last that was asked; NULL: none */
    int attempts;
    int status;                  /* to tell, or told */
    bool begun;                  /* a stream's head has gone out */
    struct buf body;             /* a plain answer, or an upstream's own error body */
    struct buf tail;             /* the end of a stream */
    struct problem problem;      /* what to tell where there is no body */
    struct fault fault;          /* its message, type, code and param where the upstream had any */
    struct usage usage;          /* of all attempts together */
    bool estimated;              /* some of it, or all, is an estimate */
    bool sent;                   /* something went upstream */
    struct price_sum cost;       /* of all attempts, each by its target's price */
    bool unpriced;               /* tokens were used that have no price */
    struct ledger_use uses[OUTCOME_USES]; /* of attempts that have ended, but whose end is not booked yet */
    int use_count;
    int64_t first_byte_ms;       /* since the request began; -1: nothing was sent */
    const char *error;           /* a short reason for the audit row, NULL: none; the arena's */
    struct ledger_tight requests, tokens; /* for x-ratelimit-*: the tightest limits */
    struct upstream *left_open;  /* of a stream: to be closed once the answer is out */
};

#endif
