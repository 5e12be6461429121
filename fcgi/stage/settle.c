/* Last step: the audit row, and with it the ticket's settling, before the answer's last bytes leave. */
#include "fcgi/stage/settle.h"

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "fcgi/base/text.h"
#include "fcgi/stage/record.h"

#define TOUCH_MS 60000 /* last_used is kept to the minute */

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

/* An alias of 10 KB is somebody's mistake; its head is enough to see that. */
static const char *alias_of(const struct chat *chat, struct arena *a)
{
    if (!chat->alias.at) return NULL;
    size_t shown = chat->alias.len < BOUND_ALIAS ? chat->alias.len : text_cut(chat->alias, BOUND_ALIAS);
    return arena_str(a, (struct span){chat->alias.at, shown});
}

/* Nothing is free for want of a price: what has none is shown as unpriced, also where it used nothing. But who waited for
 * another's answer has asked nobody, whatever became of that. */
static int64_t cost_of(const struct request *r, const struct plan *plan, const struct outcome *o)
{
    if (r->cache && strcmp(r->cache, "joined") == 0) return 0;
    bool known = plan->priced || (plan->model && plan->model->price.known);
    bool priced = o->target ? o->target->price != NULL : known;
    int64_t cost = price_total(&o->cost); /* rounded up once, over all attempts */
    return o->unpriced || (!priced && !cost) ? -1 : cost;
}

/* A key's last use is written down once a minute. */
static int64_t touched_key(const struct request *r, const struct caller *c)
{
    return c->key.last_used < r->begun_wall_ms - TOUCH_MS ? c->key.id : 0;
}

static void log_late(const struct request *r, enum weir_err err)
{
    log_event(err == WEIR_BUSY ? LOG_WARN : LOG_ERROR, "audit_row_late", LOG_TEXT("request_id", r->id),
              LOG_TEXT("reason", weir_err_info(err)->text));
}

static void fill_row(struct audit_row *row, const struct settling *s)
{
    const struct request *r = s->r;
    const struct caller *c = s->caller;
    const struct outcome *o = s->out;
    *row = (struct audit_row){
        .time = r->begun_wall_ms, .request_id = r->id, .user = c->user, .team = c->team, .role = c->role,
        .rolegroup = c->rolegroup, .key = c->key.name, .ip = c->ip, .endpoint = s->endpoint,
        .alias = alias_of(s->chat, s->memory), .stream = s->chat->stream, .status = o->status,
        .outcome = outcome_name(o->end), .attempts = o->attempts,
        .cache = r->cache ? r->cache : "bypass", .prompt_tokens = o->usage.prompt, .cached_tokens = o->usage.cached,
        .cache_write_tokens = o->usage.cache_write, .completion_tokens = o->usage.completion,
        .usage_source = !o->usage.known ? "none" : o->estimated ? "estimated" : "provider",
        .cost = cost_of(r, s->plan, o), .first_byte_ms = o->first_byte_ms,
        .latency_ms = clock_mono_ms() - r->begun_mono_ms, .error = why(o), .context = r->context,
    };
    if (o->target) {
        row->provider = o->target->provider->name;
        row->model = o->target->model;
    }
}

/* What the caller has been given, and what is about to be: none of this is changed any more. */
static struct span told(const struct request *r, const struct outcome *o, struct arena *a, bool *cut)
{
    if (!o->begun) return o->end == END_CANCELLED || !o->body.len ? SPAN_NONE : buf_all(&o->body);
    if (!r->record) return SPAN_NONE;
    if (o->end != END_CANCELLED) record_take(r->record, buf_all(&o->tail));
    return record_json(r->record, a, cut);
}

/* Of what was refused before it was admitted, nothing is kept. */
static struct content content_of(const struct settling *s)
{
    const struct ledger_grant *g = &s->ticket->grant;
    enum content_kept kept = s->caller->snap->settings.content;
    if (kept == CONTENT_NONE || !g->ticket) return (struct content){.ticket = 0};
    struct content c = {.ticket = g->ticket, .time = g->time, .request_id = s->r->id, .prompt = s->chat->body};
    if (kept == CONTENT_ALL) c.answer = told(s->r, s->out, s->memory, &c.answer_cut);
    return c;
}

static void note_use(const struct settling *s)
{
    if (s->touched) store_key_used(s->book->store, &s->caller->hash, s->r->begun_wall_ms);
}

static void settled(void *arg, enum weir_err err)
{
    struct settling *s = arg;
    if (err == WEIR_OK) note_use(s);
    else log_late(s->r, err);
    if (s->then) s->then(s, err);
}

void settle(struct settling *s)
{
    struct audit_row row;
    const struct outcome *o = s->out;
    s->touched = touched_key(s->r, s->caller);
    fill_row(&row, s);
    const struct ledger_bill bill = {.ticket = s->ticket->grant.ticket, .now_ms = clock_wall_ms(), .row = &row,
                                     .give_back = !o->sent && !o->begun && o->end != END_OK,
                                     .uses = o->uses, .use_count = o->use_count};
    const struct content content = content_of(s);
    const struct book_then then = {settled, s};
    bool waits = !s->then; /* of s nothing may be left afterwards */
    enum weir_err err = book_settle(s->book, &bill, &s->ticket->estimate, s->touched, &content, waits ? NULL : &then);
    if (waits) settled(s, err);
}

static void settled_at_once(void *arg, enum weir_err err)
{
    struct settling *s = arg;
    if (err == WEIR_OK && s->ticket->grant.ticket) note_use(s);
    if (s->then) s->then(s, err);
}

enum weir_err settle_at_once(struct settling *s, const struct ledger_ask *ask, struct ledger_refusal *refusal)
{
    struct audit_row row;
    s->touched = touched_key(s->r, s->caller);
    fill_row(&row, s);
    const struct book_then then = {settled_at_once, s};
    bool waits = !s->then;
    enum weir_err err = book_at_once(s->book, ask, &row, s->touched, &s->ticket->grant, refusal, waits ? NULL : &then);
    if (waits) settled_at_once(s, err);
    return err;
}
