/* The rules of the circuit breaker. Every change of its state goes through here. */
#include "sql/breaker.h"

#include <string.h>

/* A time that no rule of ours can have set: the clock has stepped back since. */
static bool is_due(int64_t until, int64_t most, int64_t now) { return now >= until || until - now > most; }

static int64_t most_of(const struct breaker *b) { return b->state == BREAKER_OPEN ? BREAKER_MOST_MS : BREAKER_PROBE_MS; }

enum breaker_may breaker_may(const struct breaker *b, int64_t now)
{
    if (b->state == BREAKER_CLOSED) return BREAKER_GO;
    if (is_due(b->until, most_of(b), now)) return BREAKER_CLAIM;
    bool rested = b->state == BREAKER_OPEN && is_due(b->recent[0] + BREAKER_RESORT_MS, BREAKER_RESORT_MS, now);
    return rested ? BREAKER_RESORT : BREAKER_WAIT;
}

bool breaker_claim(struct breaker *b, int64_t now)
{
    switch (breaker_may(b, now)) {
    case BREAKER_CLAIM:
        b->state = BREAKER_HALF_OPEN;
        b->until = now + BREAKER_PROBE_MS;
        return true;
    case BREAKER_RESORT:
        b->recent[0] = now;
        return true;
    case BREAKER_GO: case BREAKER_WAIT: break;
    }
    return false;
}

void breaker_unclaim(struct breaker *b, int64_t now)
{
    if (b->state == BREAKER_HALF_OPEN) b->until = now;
}

static void open_up(struct breaker *b, int64_t now)
{
    int64_t ms = BREAKER_OPEN_MS << (b->opens < 8 ? b->opens : 8);
    b->state = BREAKER_OPEN;
    b->until = now + (ms < BREAKER_MOST_MS ? ms : BREAKER_MOST_MS);
    b->opens++;
    memset(b->recent, 0, sizeof b->recent);
    b->recent[0] = now;
}

static void close_up(struct breaker *b)
{
    b->state = BREAKER_CLOSED;
    b->failures = 0;
    b->until = 0;
    memset(b->recent, 0, sizeof b->recent);
}

/* What was begun before it opened proves nothing. */
bool breaker_good(struct breaker *b, int64_t now, bool claimed)
{
    if (!claimed && b->state == BREAKER_OPEN && breaker_may(b, now) != BREAKER_CLAIM) return false;
    if (b->state == BREAKER_CLOSED && !b->failures && !b->opens) return false;
    close_up(b);
    b->opens = 0;
    return true;
}

bool breaker_trial(struct breaker *b, int64_t now)
{
    if (b->state == BREAKER_CLOSED) return false;
    close_up(b);
    b->until = now;
    return true;
}

static int recent_ones(const struct breaker *b, int64_t now)
{
    int n = 0;
    for (int i = 0; i < BREAKER_FAILURES - 1; i++)
        n += b->recent[i] && b->recent[i] <= now && now - b->recent[i] <= BREAKER_WITHIN_MS;
    return n;
}

bool breaker_bad(struct breaker *b, int64_t now)
{
    if (b->state == BREAKER_OPEN) return false;
    b->failures++;
    /* Of a trial nothing is left to be remembered after a while. */
    if (b->state == BREAKER_CLOSED && b->opens && is_due(b->until + BREAKER_MOST_MS, BREAKER_MOST_MS, now)) b->opens = 0;
    if (b->state == BREAKER_HALF_OPEN || b->opens || recent_ones(b, now) + 1 >= BREAKER_FAILURES) {
        open_up(b, now);
        return true;
    }
    memmove(b->recent + 1, b->recent, sizeof b->recent - sizeof *b->recent);
    b->recent[0] = now;
    return true;
}
