/* The order of attempts of one request. (DESIGN.md, "Relaying", retry) */
#include "fcgi/stage/queue.h"

#include "fcgi/base/clock.h"

#define BACKOFF_MS      500   /* full jitter: anything from 0 to this, doubled with every retry */
#define BACKOFF_MOST_MS 8000
#define WAIT_MOST_MS    8000  /* who is told to wait longer is told so, instead of being kept */

bool queue_start(struct queue *q, const struct target *targets, int count, int64_t retries, int64_t deadline,
                 struct arena *a)
{
    *q = (struct queue){.targets = targets, .count = count, .retries = retries, .deadline = deadline};
    q->turns = arena_alloc(a, sizeof *q->turns * (size_t)(count + 1));
    for (int i = 0; q->turns && i < count; i++) q->turns[i] = (struct turn){.tried = 0};
    return q->turns != NULL;
}

/* Anything from 0 to `most`. */
static int64_t jitter(int64_t most)
{
    uint64_t bits;
    secret_random(&bits, sizeof bits);
    return (int64_t)(bits % (uint64_t)(most + 1));
}

static int fresh(const struct queue *q)
{
    for (int i = 0; i < q->count; i++)
        if (!q->turns[i].tried && !q->turns[i].out) return i;
    return -1;
}

bool queue_has_fresh(const struct queue *q) { return fresh(q) >= 0; }

/* The one asked least often, of those the one that may be asked soonest. */
static int again(const struct queue *q)
{
    int best = -1;
    for (int i = 0; i < q->count; i++) {
        const struct turn *t = &q->turns[i], *b = &q->turns[best < 0 ? 0 : best];
        if (t->out || !t->may_repeat) continue;
        if (best < 0 || t->tried < b->tried || (t->tried == b->tried && t->not_before < b->not_before)) best = i;
    }
    return best;
}

int queue_next(struct queue *q, int64_t *pause_ms)
{
    int64_t now = clock_mono_ms(), backoff = BACKOFF_MS << (q->retried < 10 ? q->retried : 10);
    int i = now < q->deadline ? fresh(q) : -1;
    *pause_ms = 0;
    if (i < 0 && q->retries > 0 && (i = again(q)) >= 0) {
        int64_t asked = q->turns[i].not_before - now;
        *pause_ms = jitter(backoff < BACKOFF_MOST_MS ? backoff : BACKOFF_MOST_MS);
        if (*pause_ms < asked) *pause_ms = asked;
        if (*pause_ms > WAIT_MOST_MS || now + *pause_ms >= q->deadline) return -1;
        q->retries--;
        q->retried++;
    }
    if (i >= 0) q->turns[i].tried++;
    return i;
}

static bool is_key(const struct target *a, const struct target *b)
{
    return a->provider == b->provider && a->key == b->key;
}

void queue_note(struct queue *q, int i, enum trouble trouble, int64_t retry_after_ms)
{
    struct turn *t = &q->turns[i];
    t->may_repeat = trouble == TROUBLE_UNREACHED || trouble == TROUBLE_BROKEN || trouble == TROUBLE_LIMITED;
    t->not_before = clock_mono_ms() + retry_after_ms;
    /* A key that is refused, or has no credit, is so for every model. */
    bool whole_key = trouble == TROUBLE_KEY || trouble == TROUBLE_QUOTA;
    for (int k = 0; whole_key && k < q->count; k++) q->turns[k].out |= is_key(&q->targets[k], &q->targets[i]);
}

void queue_drop(struct queue *q, int i) { q->turns[i].out = true; }
