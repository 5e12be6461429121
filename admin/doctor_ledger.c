/* Doctor's looks at the ledger: its time, what dead processes left open, limits that refuse for want of a price. */
#include "admin/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "sql/health.h"
#include "sql/limits.h"
#include "sql_ids.h"

#define AHEAD_MOST_MS 60000

static void check_time(struct doctor *d, struct db *db)
{
    struct stmt *s = db_stmt(db, SQL_LEDGER_STATE);
    bool row;
    enum weir_err err = stmt_step(s, &row);
    int64_t ahead = !err && row ? stmt_get_int(s, 0) - clock_wall_ms() : 0;

    stmt_reset(s);
    if (err)
        doctor_tell(d, FINDING_FAIL, "ledger clock", "cannot be read: %s", db_message(db));
    else if (ahead > AHEAD_MOST_MS)
        doctor_tell(d, FINDING_WARN, "ledger clock",
                    "the last stamp lies %lld s ahead of the clock: until the clock is there, no window moves and no bucket "
                    "refills; set the clock, or if it stood wrong before, `weir limit reset` the limits that matter",
                    (long long)(ahead / 1000));
    else
        doctor_tell(d, FINDING_OK, "ledger clock", "the last stamp is not ahead of the clock");
}

/* Is that process gone? Its lock is only tried, not taken: a shared one is let go at once, and the file stays. */
static bool is_dead(const struct doctor *d, struct span lock)
{
    char path[4200];
    int n = snprintf(path, sizeof path, "%s/proc/%.*s", d->w->data_dir, (int)lock.len, lock.at), fd;
    bool dead;

    if (n < 0 || n >= (int)sizeof path || memchr(lock.at, '/', lock.len)) return false;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno == ENOENT;
    dead = flock(fd, LOCK_SH | LOCK_NB) == 0;
    close(fd);
    return dead;
}

static void check_tickets(struct doctor *d, struct db *db)
{
    struct stmt *s = db_stmt(db, SQL_PROCESS_TICKETS);
    int64_t left = 0, open = 0, living = 0;
    bool row;
    enum weir_err err;

    while ((err = stmt_step(s, &row)) == WEIR_OK && row) {
        bool dead = is_dead(d, stmt_get_text(s, 0));

        living += !dead;
        *(dead ? &left : &open) += stmt_get_int(s, 1);
    }
    stmt_reset(s);
    if (err)
        doctor_tell(d, FINDING_FAIL, "open tickets", "cannot be read: %s", db_message(db));
    else if (left && !living)
        doctor_tell(d, FINDING_WARN, "open tickets",
                    "%lld of processes that are gone, and no gateway that could settle them has served a request: start it, "
                    "or run `weir tick` (by cron under CGI)",
                    (long long)left);
    else if (left)
        doctor_tell(d, FINDING_OK, "open tickets",
                    "%lld of processes that are gone; the gateway settles them within seconds", (long long)left);
    else
        doctor_tell(d, FINDING_OK, "open tickets", "%lld, of requests in flight", (long long)open);
}

static void note_cost_limit(const struct limit_rule *l, void *arg)
{
    if (strcmp(l->metric, "cost") == 0 && strcmp(l->mode, "observe") != 0) ++*(int *)arg;
}

static void check_prices(struct doctor *d, struct db *db, const struct snapshot *now)
{
    const char *first = NULL;
    int limits = 0, unpriced = 0;
    enum weir_err err = limits_each(db, note_cost_limit, &limits);

    for (int i = 0; i < now->model_count; i++) {
        if (now->models[i].price.known) continue;
        if (!first) first = now->models[i].alias;
        unpriced++;
    }
    if (err)
        doctor_tell(d, FINDING_FAIL, "prices", "the limits cannot be read: %s", db_message(db));
    else if (limits && unpriced)
        doctor_tell(d, FINDING_WARN, "prices",
                    "%d alias%s without a price (%s%s), and %d limit%s on cost: whom these apply to is refused there "
                    "(model_price_unknown); see `weir prices`",
                    unpriced, unpriced == 1 ? "" : "es", first, unpriced > 1 ? " ..." : "", limits, limits == 1 ? "" : "s");
    else
        doctor_tell(d, FINDING_OK, "prices", "%d of %d aliases have one; limits on cost: %d", now->model_count - unpriced,
                    now->model_count, limits);
}

/* Whoever wonders why an upstream is not asked. */
static void check_breakers(struct doctor *d, struct db *db, const struct snapshot *now)
{
    struct health_map *health = NULL;
    int64_t clock = clock_wall_ms();
    int found = 0;

    if (health_load(db, &health)) {
        doctor_tell(d, FINDING_FAIL, "breakers", "cannot be read: %s", db_message(db));
        return;
    }
    for (int i = 0; i < health->count; i++) {
        const struct health_row *r = &health->rows[i];
        bool open = r->breaker.state != BREAKER_CLOSED, resting = clock < r->cool_until;
        char what[80 + BOUND_NAME];

        if (!snapshot_provider(now, span_of(r->provider)) || (!open && !resting && !r->disabled && !r->forced)) continue;
        snprintf(what, sizeof what, "upstream %s", r->provider);
        found++;
        if (r->forced) doctor_tell(d, FINDING_WARN, what, "was %s by hand; `weir provider auto` undoes that",
                                   r->forced == FORCED_OPEN ? "switched off" : "set to be asked whatever its breakers say");
        else doctor_tell(d, FINDING_WARN, what, "%s %s %s: %s", r->kind == HEALTH_KEY ? "key" : "model", r->name,
                         r->disabled ? "is not used any more"
                                     : open ? "has an open breaker" : "rests, for its limit is reached",
                         r->error ? r->error : "no reason is known");
    }
    if (!found) doctor_tell(d, FINDING_OK, "breakers", "none is open, and every key is in use");
    health_release(health);
}

void doctor_ledger(struct doctor *d, struct db *db, const struct snapshot *now)
{
    check_time(d, db);
    check_tickets(d, db);
    check_prices(d, db, now);
    check_breakers(d, db, now);
}
