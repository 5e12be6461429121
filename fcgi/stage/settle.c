/* Last step: one audit row, in one job of the group-commit writer. The job owns copies of all it writes, for it may
 * outlive the request when the database is busy. */
#include "fcgi/stage/settle.h"

#include <stdlib.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "fcgi/base/text.h"
#include "sql/audit.h"

#define WAIT_MS   2000
#define TOUCH_MS  60000 /* last_used is kept to the minute */

struct settle_job {
    struct job job; /* first */
    struct audit_row row;
    int64_t key_id; /* to be marked as used; 0: it was, lately */
    struct arena strings;
};

static enum weir_err run(struct job *j, struct db *db)
{
    struct settle_job *s = (struct settle_job *)j;
    enum weir_err err = audit_insert(db, &s->row);
    if (err == WEIR_OK && s->key_id) err = keys_touch(db, s->key_id, s->row.time);
    return err;
}

static void dispose(struct job *j)
{
    struct settle_job *s = (struct settle_job *)j;
    arena_end(&s->strings);
    free(s);
}

/* ---- what it cost ---- */

#define CHARACTERS_A_TOKEN 4 /* WIRE.md 4 */
#define PER_PRICE 1000000    /* prices are for so many tokens */

static int64_t estimate(int64_t characters)
{
    return (characters + CHARACTERS_A_TOKEN - 1) / CHARACTERS_A_TOKEN;
}

/* The provider's figures where it gave any; else what was delivered, and the prompt that led to it. */
static void count_usage(struct audit_row *row, const struct chat *chat, const struct outcome *o)
{
    row->usage_source = "none";
    if (o->usage.known) {
        row->usage_source = "provider";
        row->prompt_tokens = o->usage.prompt;
        row->cached_tokens = o->usage.cached;
        row->cache_write_tokens = o->usage.cache_write;
        row->completion_tokens = o->usage.completion;
    } else if (o->end == END_OK || o->delivered) {
        row->usage_source = "estimated";
        row->prompt_tokens = estimate(chat->prompt_bytes);
        row->completion_tokens = estimate(o->delivered);
    }
}

/* Nano-dollars, rounded up; -1: the model has no price. */
static int64_t cost_of(const struct price *price, const struct audit_row *row)
{
    if (!price || !price->known) return -1;
    __int128 plain = row->prompt_tokens - row->cached_tokens - row->cache_write_tokens;
    __int128 sum = plain * price->input + (__int128)row->cached_tokens * price->cached_input +
                   (__int128)row->cache_write_tokens * price->cache_write + (__int128)row->completion_tokens * price->output;
    __int128 cost = (sum + PER_PRICE - 1) / PER_PRICE;
    return cost > INT64_MAX ? INT64_MAX : (int64_t)cost;
}

/* ---- the row ---- */

static const char *copy(struct settle_job *s, const char *text)
{
    return text ? arena_str(&s->strings, span_of(text)) : NULL;
}

static const char *outcome_name(enum end end)
{
    static const char *const names[] = {[END_OK] = "ok", [END_REFUSED] = "refused", [END_FAILED] = "failed",
                                        [END_CANCELLED] = "cancelled", [END_TRUNCATED] = "truncated"};
    return names[end];
}

static const char *why(const struct outcome *o)
{
    if (o->error) return o->error;
    if (o->end == END_OK || o->end == END_CANCELLED) return NULL;
    const struct weir_err_info *info = weir_err_info(o->problem.err);
    return info->code ? info->code : info->type;
}

static void fill_row(struct settle_job *s, const struct request *r, const struct caller *c, const char *endpoint,
                     const struct chat *chat, const struct plan *plan, const struct outcome *o)
{
    s->row = (struct audit_row){
        .time = r->begun_wall_ms, .request_id = copy(s, r->id), .user = copy(s, c->user), .team = copy(s, c->team),
        .role = copy(s, c->role), .rolegroup = copy(s, c->rolegroup), .key = copy(s, c->key.name), .ip = copy(s, r->ip),
        .endpoint = endpoint, .stream = chat->stream, .status = o->status, .outcome = outcome_name(o->end),
        .attempts = o->attempts, .cache = "bypass", .first_byte_ms = o->first_byte_ms,
        .latency_ms = clock_mono_ms() - r->begun_mono_ms, .error = copy(s, why(o)),
    };
    /* An alias of 10 KB is somebody's mistake; its head is enough to see that. */
    size_t shown = chat->alias.len < BOUND_ALIAS ? chat->alias.len : text_cut(chat->alias, BOUND_ALIAS);
    if (chat->alias.at) s->row.alias = arena_str(&s->strings, (struct span){chat->alias.at, shown});
    if (o->target) {
        s->row.provider = copy(s, o->target->provider->name);
        s->row.model = copy(s, o->target->model);
    }
    count_usage(&s->row, chat, o);
    s->row.cost = cost_of(plan->model ? &plan->model->price : NULL, &s->row);
}

enum weir_err settle_is_possible(struct store *store, struct problem *p)
{
    return writer_is_able(store_writer(store)) ? WEIR_OK : problem_set(p, WEIR_STORAGE, NULL, NULL);
}

void settle(struct store *store, const struct request *r, const struct caller *c, const char *endpoint, const struct chat *chat,
            const struct plan *plan, const struct outcome *o)
{
    struct settle_job *s = calloc(1, sizeof *s);
    enum weir_err err = WEIR_NOMEM;
    if (s) {
        s->job = (struct job){.run = run, .dispose = dispose};
        arena_init(&s->strings);
        fill_row(s, r, c, endpoint, chat, plan, o);
        if (c->key.last_used < r->begun_wall_ms - TOUCH_MS) s->key_id = c->key.id;
        bool touches = s->key_id != 0;
        err = writer_run(store_writer(store), &s->job, WAIT_MS, true);
        job_release(&s->job);
        if (err == WEIR_OK && touches) store_key_used(store, &c->hash, r->begun_wall_ms);
    }
    if (err != WEIR_OK)
        log_event(err == WEIR_BUSY ? LOG_WARN : LOG_ERROR, "audit_row_late", LOG_TEXT("request_id", r->id),
                  LOG_TEXT("reason", weir_err_info(err)->text));
}
