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

static void fill_row(struct audit_row *row, const struct request *r, const struct caller *c, const char *endpoint,
                     const struct chat *chat, const struct plan *plan, const struct outcome *o, struct arena *a)
{
    *row = (struct audit_row){
        .time = r->begun_wall_ms, .request_id = r->id, .user = c->user, .team = c->team, .role = c->role,
        .rolegroup = c->rolegroup, .key = c->key.name, .ip = c->ip, .endpoint = endpoint, .alias = alias_of(chat, a),
        .stream = chat->stream, .status = o->status, .outcome = outcome_name(o->end), .attempts = o->attempts,
        .cache = r->cache ? r->cache : "bypass", .prompt_tokens = o->usage.prompt, .cached_tokens = o->usage.cached,
        .cache_write_tokens = o->usage.cache_write, .completion_tokens = o->usage.completion,
        .usage_source = !o->usage.known ? "none" : o->estimated ? "estimated" : "provider",
        .cost = cost_of(r, plan, o), .first_byte_ms = o->first_byte_ms,
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
static struct content content_of(const struct request *r, enum content_kept kept, const struct chat *chat,
                                 const struct ticket *t, const struct outcome *o, struct arena *a)
{
    if (kept == CONTENT_NONE || !t->grant.ticket) return (struct content){.ticket = 0};
    struct content c = {.ticket = t->grant.ticket, .time = t->grant.time, .request_id = r->id, .prompt = chat->body};
    if (kept == CONTENT_ALL) c.answer = told(r, o, a, &c.answer_cut);
    return c;
}

void settle(const struct book *b, const struct request *r, const struct caller *c, const char *endpoint,
            const struct chat *chat,
            const struct plan *plan, const struct ticket *t, const struct outcome *o, struct arena *a)
{
    struct audit_row row;
    int64_t touched = touched_key(r, c);
    fill_row(&row, r, c, endpoint, chat, plan, o, a);
    const struct ledger_bill bill = {.ticket = t->grant.ticket, .now_ms = clock_wall_ms(), .row = &row,
                                     .give_back = !o->sent && !o->begun && o->end != END_OK,
                                     .uses = o->uses, .use_count = o->use_count};
    const struct content content = content_of(r, c->snap->settings.content, chat, t, o, a);
    enum weir_err err = book_settle(b, &bill, &t->estimate, touched, &content);
    if (err == WEIR_OK && touched) store_key_used(b->store, &c->hash, r->begun_wall_ms);
    if (err != WEIR_OK) log_late(r, err);
}

enum weir_err settle_at_once(const struct book *b, const struct request *r, const struct caller *c, const char *endpoint,
                             const struct chat *chat, const struct plan *plan, const struct ledger_ask *ask,
                             const struct outcome *o, struct arena *a, struct ledger_grant *grant,
                             struct ledger_refusal *refusal)
{
    struct audit_row row;
    int64_t touched = touched_key(r, c);
    fill_row(&row, r, c, endpoint, chat, plan, o, a);
    enum weir_err err = book_at_once(b, ask, &row, touched, grant, refusal);
    if (err == WEIR_OK && grant->ticket && touched) store_key_used(b->store, &c->hash, r->begun_wall_ms);
    return err;
}
