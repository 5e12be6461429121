/* Whom to ask next: each candidate of the plan once, in its order; then, while retries are left, those again that may do
 * better a second time, after a pause. Within the relay step only; asks nobody and waits for nothing itself. */
#ifndef WEIR_STAGE_QUEUE_H
#define WEIR_STAGE_QUEUE_H

#include "fcgi/stage/attempt.h"

struct queue {
    const struct target *targets;
    struct turn { int tried; bool out, may_repeat; int64_t not_before; } *turns; /* one a target */
    int count;
    int64_t retries;      /* left */
    int retried;
    int64_t deadline;     /* monotonic ms: nothing begins from then on */
};

/* turns: memory is the arena's. False: there is none. */
bool queue_start(struct queue *q, const struct target *targets, int count, int64_t retries, int64_t deadline,
                 struct arena *a);
/* The next candidate's place, -1 if none is left, and how long to wait before it is asked (ms). It counts as asked. */
int queue_next(struct queue *q, int64_t *pause_ms);
/* Is there one that has not been asked yet? */
bool queue_has_fresh(const struct queue *q);
/* What became of the candidate at i: says who is out of question for this request. */
void queue_note(struct queue *q, int i, enum trouble trouble, int64_t retry_after_ms);
/* The candidate at i was not asked, and will not be. */
void queue_drop(struct queue *q, int i);

#endif
