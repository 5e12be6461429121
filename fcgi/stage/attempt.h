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

struct stream;
struct translation;

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
    struct mend mend;
    struct translation *translation; /* NULL: the answer's bytes are the caller's */
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
    bool unheard;         /* the client has gone and the answer is read on, for its usage figure or for those who follow */
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

/* Into the caller's face, where the target is asked in another. False: memory is out. */
bool translate_start(struct attempt *a);
void translate_free(struct attempt *a); /* may be called twice */
/* What the caller gets for one event's data, and for a stream's good end, behind what is in *out. */
void translate_event(struct attempt *a, struct span data, struct buf *out);
void translate_end(struct attempt *a, struct buf *out);
/* Replaces out->body, a plain answer. False: it is none that could be read. */
bool translate_answer(struct attempt *a);
/* out->problem as an event of the caller's face; fault: the upstream's own words, or NULL. */
void attempt_error_event(struct attempt *a, const struct fault *fault, struct buf *out);

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
/* Forgets what the upstream said if it quotes the key that it was sent: out->body and *fault. said: all of it, for *fault
 * may hold the key's beginning alone. */
void attempt_hush(struct attempt *a, struct span said, struct fault *fault);
/* Milliseconds since the request began. */
int64_t attempt_age(const struct attempt *a);

#endif
