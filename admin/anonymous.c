/* Whoever opens the door to everybody gets limits with it; those that are there already stay as they are. */
#include "admin/anonymous.h"

#include "sql/keys.h"
#include "sql/limits.h"

#define SCOPE "user/" ANONYMOUS

static void look_for_scope(const struct limit_rule *l, void *arg)
{
    if (strcmp(l->scope, SCOPE) == 0) *(bool *)arg = true;
}

enum weir_err anonymous_limits(struct db *db, const struct setting_def *d, struct span value, int64_t now_ms, bool *made)
{
    const struct limit_rule rules[] = {
        {.scope = SCOPE, .metric = "requests", .shape = "window", .seconds = 60, .amount = 10, .created = now_ms,
         .mode = "hard", .period = "", .warn_percent = 80},
        {.scope = SCOPE, .metric = "tokens", .shape = "calendar", .period = "day", .amount = 100000, .created = now_ms,
         .mode = "hard", .warn_percent = 80},
    };
    bool there = false;
    enum weir_err err;

    *made = false;
    if (strcmp(d->name, "anonymous") != 0 || !span_is(value, "true")) return WEIR_OK;
    err = limits_each(db, look_for_scope, &there);
    if (err || there) return err;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && !err; i++) err = limit_put(db, &rules[i]);
    *made = !err;
    return err;
}
