/* One call of one target: what plain and streamed relaying share. Within the relay step only. */
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

struct attempt {
    const struct relay_tools *tools;
    const struct request *r;
    const struct chat *chat;
    const struct settings *settings;
    const struct ticket *ticket;
    const struct price *price;
    const struct target *target;
    const struct dialect *dialect;
    struct arena *memory;
    struct upstream *up;
    struct tap tap;
    struct outcome *out;
    int64_t started;      /* monotonic ms, as all below */
    int64_t first_by;     /* content must have come by then */
    int64_t total_by;
    int64_t idle_ms;
    bool provider_is_hard; /* its limits demand a maximum */
    bool unheard;         /* the client has gone and the stream is read on for its usage figure */
};

/* Collects the whole body into out->body and judges it: plain answers, and errors of any kind. */
enum verdict attempt_plain(struct attempt *a);
/* Relays a stream from its first event on. */
enum verdict attempt_stream(struct attempt *a);

/* Waits as upstream->ops->wait does, the client watched unless it is past caring. */
enum upstream_event attempt_wait(struct attempt *a, int64_t deadline);
/* The client has gone: true if the stream is to be read on all the same. */
bool attempt_reads_on(struct attempt *a);
/* Notes why this attempt failed, for the log, the audit row and the caller. reason is a short text, copied. */
enum verdict attempt_failed(struct attempt *a, enum weir_err err, const char *reason);
/* What a call that failed by itself is told as. */
enum weir_err attempt_breakage(const struct attempt *a);
/* Forgets what the upstream said if it quotes the key that it was sent: out->body and *fault. */
void attempt_hush(struct attempt *a, struct fault *fault);
/* Milliseconds since the request began. */
int64_t attempt_age(const struct attempt *a);

#endif
