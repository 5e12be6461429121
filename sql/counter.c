/* One counter of one limit: refill, sliding, periods, room and waiting. Arithmetic only: integers, products in 128
 * bits, nothing that drifts and nothing that gains from a clock that steps back. */
#include <string.h>
#include "sql/counter.h"

typedef __int128 wide;

const char *const metric_names[] = {"requests", "tokens", "cost", "concurrency"};
const char *const shape_names[] = {"none", "total", "bucket", "window", "calendar"};
const char *const mode_names[] = {"hard", "soft", "observe"};
const char *const calendar_names[] = {"hour", "day", "week", "month"};

static int find(const char *const *names, int count, const char *name)
{
    for (int i = 0; name && i < count; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

bool rule_words(struct rule *r, const char *metric, const char *shape, const char *period, const char *mode)
{
    int m = find(metric_names, METRIC_COUNT, metric), s = find(shape_names, SHAPE_COUNT, shape),
        o = find(mode_names, MODE_COUNT, mode);
    if (m < 0 || s < 0 || o < 0 || (m == METRIC_CONCURRENCY) != (s == SHAPE_NONE)) return false;
    r->metric = (enum metric)m;
    r->shape = (enum shape)s;
    r->mode = (enum mode)o;
    return s != SHAPE_CALENDAR || calendar_parse(period, &r->unit);
}

/* ---- windows ---- */

static wide floor_wide(wide a, wide b) { return a / b - (a % b < 0); }

int64_t window_slot(int64_t seconds, int64_t ms)
{
    return (int64_t)floor_wide((wide)ms * WINDOW_SLOTS, (wide)seconds * 1000);
}

int64_t window_edge(int64_t seconds, int64_t ms) { return window_slot(seconds, ms) - WINDOW_SLOTS; }

int64_t window_leaves(int64_t seconds, int64_t slot)
{
    return (int64_t)-floor_wide(-((wide)slot + 1 + WINDOW_SLOTS) * seconds * 1000, WINDOW_SLOTS);
}

/* ---- time ---- */

/* A bucket's refill is a billionth of a unit a second, and a nano-dollar a second under cost: so many parts of a
 * millisecond's refill make a unit. */
static wide parts(const struct rule *r) { return r->metric == METRIC_COST ? 1000 : (wide)1000 * 1000000000; }

static void refill(const struct rule *r, struct counter *c, int64_t ms)
{
    wide got = (wide)r->refill * ms + c->rem, units = got / parts(r);
    if (units >= c->used) {
        if (c->used > 0) c->used = 0;
        c->rem = 0;
        return;
    }
    c->used -= (int64_t)units;
    c->rem = (int64_t)(got % parts(r));
}

static bool is_above(const struct rule *r, int64_t used, int64_t percent)
{
    return (wide)used * 100 >= (wide)r->amount * percent;
}

/* A bucket has no period: its warning is armed again when it has come down to half of the threshold. */
static void rearm(const struct rule *r, struct counter *c, int64_t now)
{
    bool over = !is_above(r, c->used, r->warn_percent);
    if (r->shape == SHAPE_WINDOW) over = over && now - c->warned >= r->seconds * 1000;
    if (r->shape == SHAPE_BUCKET) over = !is_above(r, c->used, (r->warn_percent + 1) / 2);
    if (over) c->warned = 0;
}

struct counter counter_new(const struct rule *r, int64_t now, int64_t next_ticket)
{
    struct counter c = {.first = next_ticket, .at = now};
    if (r->shape == SHAPE_CALENDAR) c.mark = calendar_period(r->unit, r->utc_offset_min, now).end;
    if (r->shape == SHAPE_WINDOW) c.mark = WINDOW_EMPTY;
    return c;
}

void counter_roll(const struct rule *r, struct counter *c, int64_t now, int64_t next_ticket, int64_t left)
{
    if (now <= c->at) return;
    if (r->shape == SHAPE_BUCKET) refill(r, c, now - c->at);
    if (r->shape == SHAPE_WINDOW) c->used -= left;
    if (r->shape == SHAPE_CALENDAR && now >= c->mark) {
        c->mark = calendar_period(r->unit, r->utc_offset_min, now).end;
        c->first = next_ticket;
        c->used = c->carry = c->warned = 0;
    }
    c->at = now;
    if (c->warned) rearm(r, c, now);
}

/* ---- room ---- */

static int64_t narrow(wide n) { return n > INT64_MAX ? INT64_MAX : n < INT64_MIN ? INT64_MIN : (int64_t)n; }

int64_t counter_room(const struct rule *r, const struct counter *c)
{
    return narrow((wide)r->amount - c->used - c->held);
}

static int64_t add_up_to_most(int64_t *to, int64_t n)
{
    int64_t most = *to > 0 ? INT64_MAX - *to : INT64_MAX;
    if (n > most) n = most;
    *to += n;
    return n;
}

int64_t counter_hold(struct counter *c, int64_t n) { return add_up_to_most(&c->held, n); }
int64_t counter_charge(struct counter *c, int64_t n) { return add_up_to_most(&c->used, n); }

void counter_give_back(const struct rule *r, struct counter *c, int64_t n, int64_t then)
{
    wide back = parts(r) * n - (wide)r->refill * (c->at - then);
    if (back <= 0) return;
    wide used = parts(r) * c->used - c->rem - back;
    if (used < 0) used = 0;
    wide units = (used + parts(r) - 1) / parts(r);
    c->rem = (int64_t)(units * parts(r) - used);
    c->used = (int64_t)units;
}

bool counter_warns(const struct rule *r, struct counter *c, int64_t now)
{
    if (c->warned || r->warn_percent <= 0 || !is_above(r, c->used, r->warn_percent)) return false;
    c->warned = now > 0 ? now : 1;
    return true;
}

/* ---- waiting ---- */

/* Milliseconds until `units` more have refilled. */
static int64_t refill_ms(const struct rule *r, const struct counter *c, int64_t units)
{
    if (r->refill <= 0) return WAIT_NEVER;
    wide ms = (parts(r) * units - c->rem + r->refill - 1) / r->refill;
    return ms < 0 ? 0 : ms >= WAIT_NEVER ? WAIT_NEVER : (int64_t)ms;
}

int64_t counter_wait(const struct rule *r, const struct counter *c, int64_t excess)
{
    if (excess > c->used) return WAIT_NEVER;
    if (r->shape == SHAPE_BUCKET) return refill_ms(r, c, excess);
    if (r->shape == SHAPE_CALENDAR) return c->mark - c->at;
    return WAIT_NEVER;
}

int64_t counter_reset_ms(const struct rule *r, const struct counter *c)
{
    int64_t ms = WAIT_NEVER;
    if (r->shape == SHAPE_CALENDAR) return c->mark - c->at;
    if (r->shape == SHAPE_WINDOW) return window_leaves(r->seconds, window_slot(r->seconds, c->at)) - c->at;
    if (r->shape == SHAPE_BUCKET) ms = c->used > 0 ? refill_ms(r, c, c->used) : 0;
    return ms == WAIT_NEVER ? -1 : ms;
}
