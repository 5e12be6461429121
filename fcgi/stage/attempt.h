/* One call of one target, taken step by step, so that two can run side by side. Within the relay step only.
 * attempt_begin, attempt_step until a->over, attempt_end. What it has to tell stands in its own outcome; the relay takes
 * from there what counts. */
#ifndef WEIR_STAGE_ATTEMPT_H
#define WEIR_STAGE_ATTEMPT_H

#include "fcgi/stage/relay.h"

enum verdict {
    VERDICT_ANSWERED, /* the outcome is complete, be it whole or truncated */
    VERDICT_FAILED,   /* nothing reached the caller: the next target may be asked */
    VERDICT_FINAL,    /* the provider faults the request itself: no other is asked */
    VERDICT_REFUSED,  /* a limit of the caller's refuses a further attempt */
    VERDICT_GONE,     /* the client has gone */
    VERDICT_STOPPED   /* the process must end */
};

/* What was wrong with whom, for the breakers and for what is tried next. */
enum trouble {
    TROUBLE_NONE,      /* it answered */
    TROUBLE_UNREACHED, /* no HTTP answer: no connection, or no word in time */
    TROUBLE_BROKEN,    /* it answered, but not as it should: 5xx, 408, what is no answer */
    TROUBLE_LIMITED,   /* the key's limit: 429, 498 */
    TROUBLE_QUOTA,     /* the key's account is used up: 402, insufficient_quota; waiting does not help soon */
    TROUBLE_KEY,       /* the key is refused: 401, 403 */
    TROUBLE_UNKNOWN,   /* 404: the target does not know what was asked for */
    TROUBLE_LENGTH,    /* the request is longer than the model's context */
    TROUBLE_REQUEST,   /* the request is at fault */
    TROUBLE_OURS       /* memory, configuration */
};

struct stream;

struct attempt {
    const struct relay_tools *tools;
    const struct request *r;
    const struct chat *chat;
    const struct settings *settings;
    const struct ticket *ticket;
    const struct target *target;
    const struct dialect *dialect;
    struct arena *memory;
    int number;           /* 1 for the request's first */
    struct upstream *up;
    struct buf *sent;     /* the body that goes out, where the dialect makes one */
    struct tap tap;
    struct outcome *out;  /* its own */
    struct stream *stream; /* NULL: it is read as one piece */
    int64_t started;      /* monotonic ms, as all below */
    int64_t first_by;     /* content must have come by then */
    int64_t total_by;
    int64_t idle_ms;
    int64_t quiet_by;     /* plain: the next bytes must have come by then */
    int64_t head_at;      /* when the head came; 0: not yet */
    int64_t shown_at;     /* when `shown` became true */
    bool provider_is_hard; /* its limits demand a maximum */
    bool unheard;         /* the client has gone and the stream is read on for its usage figure */
    bool shown;           /* the beginning of a good answer has come */
    bool over;            /* verdict holds */
    enum verdict verdict;
    enum trouble trouble;
    int64_t retry_after_ms; /* asked for by the upstream; 0: not */
};

/* Opens the call. deadline: content must have come by then, whatever the provider's own times are. */
void attempt_begin(struct attempt *a, int64_t deadline);
/* Waits for one event, no longer than `until`, and acts on it. */
void attempt_step(struct attempt *a, int64_t until);
/* Closes the call (or leaves it open in the outcome, if its last bytes may still be on the way) and charges it. */
void attempt_end(struct attempt *a);

/* One step of an answer in one piece (plain answers, and errors of any kind), collected in out->body and judged; and one
 * of a stream. Each as attempt_step. */
void attempt_plain(struct attempt *a, int64_t until);
void attempt_stream(struct attempt *a, int64_t until);
/* A stream's own memory: taken before its first step, let go after its last. False: memory is out. */
bool stream_start(struct attempt *a);
void stream_end(struct attempt *a);

/* Waits as upstream->ops->wait does, the client watched unless it is past caring. */
enum upstream_event attempt_wait(struct attempt *a, int64_t deadline);
/* The client has gone: true if the stream is to be read on all the same. */
bool attempt_reads_on(struct attempt *a);
void attempt_over(struct attempt *a, enum verdict verdict);
void attempt_shown(struct attempt *a); /* the beginning of a good answer has come */
/* Notes why this attempt failed, for the log, the audit row and the caller, what trouble that is by the state of the call,
 * and that the attempt is over. reason: short, copied. */
void attempt_failed(struct attempt *a, enum weir_err err, const char *reason);
/* What a call that failed by itself is told as. */
enum weir_err attempt_breakage(const struct attempt *a);
/* Forgets what the upstream said if it quotes the key that it was sent: out->body and *fault. */
void attempt_hush(struct attempt *a, struct fault *fault);
/* Milliseconds since the request began. */
int64_t attempt_age(const struct attempt *a);

#endif
