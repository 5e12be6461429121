/* Fifth step: one candidate after the other until one answers, the client leaves, a limit stops it, or nothing is left;
 * where the alias hedges, a second one beside the first. Retry and failover happen only while nothing has reached the
 * caller. */
#include "fcgi/stage/relay.h"

#include "fcgi/base/clock.h"
#include "fcgi/stage/queue.h"
#include "fcgi/stage/refusal.h"

#define CLIENT_GONE_STATUS 499 /* told to nobody; what web servers log for a request whose client left */
#define LINGER_MS 50           /* how long an upstream may take for the bytes behind its [DONE] */
#define LIVE_MOST 2
#define QUOTA_MS 300000        /* a key without credit rests so long where the provider does not say */

struct relay {
    const struct relay_tools *tools;
    const struct request *r;
    const struct chat *chat;
    const struct settings *settings;
    const struct plan *plan;
    const struct ticket *ticket;
    struct arena *memory;
    struct outcome *out;
    struct queue queue;
    bool larger;          /* the queue is that of the plan's larger models */
    int number;           /* of the last attempt that was booked */
    int64_t hedge_at;     /* when a second attempt may begin; INT64_MAX: not */
    enum trouble trouble; /* of the attempt that is told of */
    bool unheard;         /* the client has gone, and the answer was read on for its figure */
    struct live { struct attempt attempt; struct outcome part; int place; bool used, claimed, told, lost; } live[LIVE_MOST];
};

/* ---- outcomes ---- */

static void part_start(struct relay *l, struct outcome *part, const struct target *target)
{
    *part = (struct outcome){.end = END_FAILED, .first_byte_ms = -1, .target = target, .requests = l->out->requests,
                             .tokens = l->out->tokens};
    buf_init(&part->body, BOUND_ANSWER);
    buf_init(&part->tail, BOUND_ANSWER);
}

/* What the attempt used is the request's, whatever became of it. */
static void add_up(struct outcome *o, const struct outcome *part)
{
    o->sent |= part->sent;
    o->estimated |= part->estimated;
    o->unpriced |= part->unpriced;
    price_add_sum(&o->cost, &part->cost);
    o->usage.known |= part->usage.known;
    o->usage.prompt += part->usage.prompt;
    o->usage.cached += part->usage.cached;
    o->usage.cache_write += part->usage.cache_write;
    o->usage.completion += part->usage.completion;
    for (int i = 0; i < part->use_count && o->use_count < OUTCOME_USES; i++) o->uses[o->use_count++] = part->uses[i];
}

/* Of several attempts the one that is told of is the last, or the one that answered. */
static void adopt(struct outcome *o, struct outcome *part)
{
    buf_free(&o->body);
    buf_free(&o->tail);
    o->end = part->end;
    o->target = part->target;
    o->status = part->status;
    o->begun = part->begun;
    o->body = part->body;
    o->tail = part->tail;
    o->problem = part->problem;
    o->fault = part->fault;
    o->first_byte_ms = part->first_byte_ms;
    o->error = part->error;
    o->left_open = part->left_open;
}

/* ---- booking ---- */

enum booked { BOOKED, SKIPPED, STOPPED };

static void refuse(struct outcome *o, enum weir_err err, const struct ledger_refusal *refusal)
{
    if (err != WEIR_OK) problem_set(&o->problem, err, NULL, NULL);
    else refusal_problem(refusal, &o->problem);
    o->status = weir_err_info(o->problem.err)->status;
    o->end = o->status < 500 ? END_REFUSED : END_FAILED;
}

/* Before an attempt: holds what it may cost, on top of what the earlier ones did. The plan's first candidate was booked
 * with the admission. A refusal is told only if no attempt was made; else the last attempt's failure is. */
static enum booked book_next(struct relay *l, const struct target *target, bool first, bool *is_hard)
{
    struct outcome *o = l->out;
    const struct ticket *t = l->ticket;
    struct ledger_refusal refusal = t->skipped;
    enum ledger_may may = t->first;
    enum weir_err err = WEIR_OK;
    const struct ledger_try next = {
        .ticket = t->grant.ticket, .now_ms = clock_wall_ms(), .number = l->number + 1,
        .provider = target->provider->name, .prompt_bound = t->estimate.prompt_bound,
        .output_bound = t->grant.output, .prompt_estimate = t->estimate.prompt_estimate,
        .output_estimate = t->estimate.output_estimate,
        .price = tariff_ceiling(&t->tariff, target, t->estimate.prompt_bound),
        .price_estimate = tariff_estimate(&t->tariff, target, t->estimate.prompt_estimate),
    };
    *is_hard = t->first_is_hard;
    if (!first) err = book_attempt(&l->tools->book, o->uses, o->use_count, &next, &may, is_hard, &refusal);
    if (err == WEIR_OK && may == LEDGER_GO) {
        l->number++;
        if (!first) o->use_count = 0;
        return BOOKED;
    }
    if (!o->attempts) refuse(o, err, &refusal);
    return err == WEIR_OK && may == LEDGER_SKIP_TARGET ? SKIPPED : STOPPED;
}

/* ---- attempts side by side ---- */

static int live_count(const struct relay *l) { return l->live[0].used + l->live[1].used; }

static struct live *only_live(struct relay *l) { return l->live[0].used ? &l->live[0] : &l->live[1]; }

static int64_t begin_by(const struct relay *l) { return l->r->begun_mono_ms + l->settings->deadline_ms; }

/* As things stand now, which may not be as they stood when the plan was made. A half-open breaker lets one through. */
static bool may_ask(struct relay *l, const struct target *t, bool *claimed)
{
    struct health_map *map = pulse_hold(l->tools->pulse);
    const char *key = t->key ? t->key->name : NULL;
    int64_t until;
    enum health_may may = health_may(map, t->provider->name, t->model, key, clock_wall_ms(), &until);
    health_release(map);
    *claimed = (may == HEALTH_CLAIM || may == HEALTH_RESORT) &&
               pulse_claim(l->tools->pulse, t->provider->name, t->model, key);
    return may == HEALTH_GO || *claimed;
}

/* A target without a price for what is asked is passed over where a limit on cost applies. */
static bool is_priced(struct relay *l, const struct target *t)
{
    const struct tariff *asked = &l->ticket->tariff;
    if (!l->ticket->grant.priced_only || (t->price && !price_lacks(t->price, asked->asks.needs))) return true;
    if (!l->out->attempts) refuse(l->out, WEIR_UNPRICED, NULL);
    return false;
}

/* The probe that was claimed is not made. */
static void give_back(struct relay *l, const struct target *t)
{
    pulse_tell(l->tools->pulse, &(struct pulse_report){.provider = t->provider->name, .model = t->model, .claimed = true,
                                                       .key = t->key ? t->key->name : NULL, .word = PULSE_NOTHING});
}

/* It was booked with the admission, and is not made after all. */
static void pass_over_first(struct relay *l, const struct target *t)
{
    struct outcome *o = l->out;
    if (l->ticket->first != LEDGER_GO) return;
    l->number = 1;
    o->uses[o->use_count++] = (struct ledger_use){.number = 1, .provider = t->provider->name};
}

/* Asks the candidate at `place`. SKIPPED, STOPPED: it was not asked. */
static enum booked start(struct relay *l, int place)
{
    const struct target *target = &l->queue.targets[place];
    struct live *v = l->live[0].used ? &l->live[1] : &l->live[0];
    bool first = !l->number && target == &l->plan->targets[0], is_hard;
    bool claimed;
    if (!is_priced(l, target) || !may_ask(l, target, &claimed)) {
        if (first) pass_over_first(l, target);
        return SKIPPED;
    }
    enum booked booked = book_next(l, target, first, &is_hard);
    if (booked != BOOKED) {
        if (claimed) give_back(l, target);
        return booked;
    }
    *v = (struct live){.used = true, .place = place, .claimed = claimed};
    v->attempt = (struct attempt){.tools = l->tools, .r = l->r, .chat = l->chat, .settings = l->settings,
                                  .ticket = l->ticket, .target = target, .memory = l->memory, .number = l->number,
                                  .out = &v->part, .provider_is_hard = is_hard};
    part_start(l, &v->part, target);
    pulse_begin(l->tools->pulse, target->provider->name, target->key ? target->key->name : NULL);
    l->out->attempts++;
    l->out->target = target;
    for (int i = 0; i < LIVE_MOST; i++) l->live[i].part.attempts = l->out->attempts;
    attempt_begin(&v->attempt, begin_by(l));
    return BOOKED;
}

/* What an attempt says of the target and the key that it asked. Only what comes before the first content counts. */
static enum pulse_word word_of(enum trouble trouble)
{
    switch (trouble) {
    case TROUBLE_NONE: case TROUBLE_LENGTH: case TROUBLE_REQUEST: return PULSE_GOOD;
    case TROUBLE_UNREACHED: case TROUBLE_BROKEN: case TROUBLE_UNKNOWN: return PULSE_BAD;
    case TROUBLE_LIMITED: case TROUBLE_QUOTA: return PULSE_LIMITED;
    case TROUBLE_KEY: return PULSE_REFUSED;
    case TROUBLE_OURS: break;
    }
    return PULSE_NOTHING;
}

static void tell_pulse(struct relay *l, struct live *v)
{
    const struct attempt *a = &v->attempt;
    const struct target *t = a->target;
    bool quota = a->trouble == TROUBLE_QUOTA;
    struct pulse_report r = {
        .provider = t->provider->name, .model = t->model, .key = t->key ? t->key->name : NULL,
        .unnamed = !t->alias->id, .word = word_of(a->trouble), .unreached = a->trouble == TROUBLE_UNREACHED,
        .whole_key = quota, .claimed = v->claimed,
        .cool_ms = quota && !a->retry_after_ms ? QUOTA_MS : a->retry_after_ms,
        .latency_ms = a->shown_at ? a->shown_at - a->started : -1, .error = v->part.error};
    if (v->told) return;
    /* Cancelled, or the client has gone before there was anything to judge by. */
    if (!a->shown && (a->verdict == VERDICT_GONE || a->verdict == VERDICT_STOPPED || v->lost)) r.word = PULSE_NOTHING;
    v->told = true;
    pulse_tell(l->tools->pulse, &r);
}

/* Takes from an attempt that is over what it used and, if it is the one to tell of, all it says. */
static void take_back(struct relay *l, struct live *v, bool tell)
{
    const struct target *t = v->attempt.target;
    attempt_end(&v->attempt);
    tell_pulse(l, v);
    pulse_end(l->tools->pulse, t->provider->name, t->key ? t->key->name : NULL);
    add_up(l->out, &v->part);
    queue_note(&l->queue, v->place, v->attempt.trouble, v->attempt.retry_after_ms);
    l->unheard |= v->attempt.unheard;
    v->used = false;
    if (tell) {
        l->trouble = v->attempt.trouble;
        adopt(l->out, &v->part);
        return;
    }
    buf_free(&v->part.body);
    buf_free(&v->part.tail);
}

/* Somebody else has won, or nobody is to any more. */
static void cancel_others(struct relay *l, const struct live *winner)
{
    for (int i = 0; i < LIVE_MOST; i++) {
        if (!l->live[i].used || &l->live[i] == winner) continue;
        attempt_over(&l->live[i].attempt, VERDICT_FAILED);
        l->live[i].lost = true;
        take_back(l, &l->live[i], false);
    }
}

/* The first is silent: a second candidate is asked beside it, if there is one that has not been asked. */
static void hedge(struct relay *l)
{
    int64_t pause;
    int place = queue_has_fresh(&l->queue) ? queue_next(&l->queue, &pause) : -1;
    l->hedge_at = INT64_MAX;
    if (place >= 0 && start(l, place) != BOOKED) queue_drop(&l->queue, place);
}

/* Waits for either, then lets each take what there is for it, until one has won or is over: what the other has for the
 * caller must not go out behind it. */
static void step_both(struct relay *l)
{
    struct upstream *const calls[] = {l->live[0].attempt.up, l->live[1].attempt.up};
    int64_t now;
    enum upstream_event event = upstream_pause(calls, LIVE_MOST, conn_watch_fd(l->r->conn), l->tools->stop_fd,
                                               clock_mono_ms() + 1000);
    now = clock_mono_ms();
    /* The one that is left sees it too. */
    if (event == UPSTREAM_GONE || event == UPSTREAM_STOP) cancel_others(l, &l->live[0]);
    for (int i = 0; i < LIVE_MOST; i++) {
        struct live *v = &l->live[i];
        if (!v->used || v->attempt.over) continue;
        attempt_step(&v->attempt, now);
        if (v->attempt.over || v->part.begun) return;
    }
}

static void step(struct relay *l)
{
    struct live *v = only_live(l);
    if (live_count(l) == LIVE_MOST) {
        step_both(l);
        return;
    }
    attempt_step(&v->attempt, v->attempt.shown ? INT64_MAX : l->hedge_at);
    const struct attempt *a = &v->attempt;
    if (!a->over && !a->shown && !a->unheard && clock_mono_ms() >= l->hedge_at) hedge(l);
}

/* The first of the live ones that is over, or whose content has begun to go out: then the others have lost. */
static struct live *decided(struct relay *l)
{
    for (int i = 0; i < LIVE_MOST; i++)
        if (l->live[i].used && l->live[i].part.begun) tell_pulse(l, &l->live[i]);
    for (int i = 0; i < LIVE_MOST; i++) {
        struct live *v = &l->live[i];
        if (v->used && v->part.begun && live_count(l) > 1) cancel_others(l, v);
    }
    for (int i = 0; i < LIVE_MOST; i++)
        if (l->live[i].used && l->live[i].attempt.over) return &l->live[i];
    return NULL;
}

/* The request is at fault by one target's word, but another is still thinking. The same with another key knows no better. */
static bool may_be_answered(const struct relay *l, const struct live *v)
{
    const struct live *other = &l->live[v == l->live];
    const struct target *a = v->attempt.target, *b = other->attempt.target;
    if (v->attempt.verdict != VERDICT_FINAL || !other->used) return false;
    return a->provider != b->provider || strcmp(a->model, b->model) != 0;
}

/* Until the candidate at `place`, and the one that hedges for it, are done with. */
static enum verdict ask(struct relay *l, int place)
{
    enum verdict verdict = VERDICT_FAILED;
    int64_t hedge_after = l->plan->model->hedge_after_ms;
    switch (start(l, place)) {
    case SKIPPED: queue_drop(&l->queue, place); return VERDICT_FAILED;
    case STOPPED: return VERDICT_REFUSED;
    case BOOKED: break;
    }
    l->hedge_at = hedge_after ? clock_mono_ms() + hedge_after : INT64_MAX;
    while (live_count(l)) {
        struct live *v = decided(l);
        if (!v) {
            step(l);
            continue;
        }
        enum verdict now = v->attempt.verdict;
        bool faulted = verdict == VERDICT_FINAL && now == VERDICT_FAILED; /* the fault is told, not what failed beside it */
        if (now != VERDICT_FAILED && !may_be_answered(l, v)) cancel_others(l, v);
        take_back(l, v, !faulted && (now == VERDICT_FINAL || live_count(l) == 1));
        if (!faulted) verdict = now;
    }
    return verdict;
}

/* ---- all of them ---- */

static enum verdict rest(struct relay *l, int64_t ms)
{
    if (ms <= 0) return http_client_is_gone(conn_watch_fd(l->r->conn)) ? VERDICT_GONE : VERDICT_FAILED;
    switch (upstream_pause(NULL, 0, conn_watch_fd(l->r->conn), l->tools->stop_fd, clock_mono_ms() + ms)) {
    case UPSTREAM_GONE: return VERDICT_GONE;
    case UPSTREAM_STOP: return l->tools->is_cgi ? VERDICT_GONE : VERDICT_STOPPED;
    default: return VERDICT_FAILED;
    }
}

/* The request does not fit the model: those with more room are asked instead, once. */
static bool turn_to_larger(struct relay *l)
{
    if (l->trouble != TROUBLE_LENGTH || l->larger || !l->plan->larger_count) return false;
    l->larger = true;
    return queue_start(&l->queue, l->plan->larger, l->plan->larger_count, l->queue.retries, begin_by(l), l->memory);
}

static enum verdict ask_all(struct relay *l)
{
    enum verdict verdict = VERDICT_FAILED;
    int64_t pause;
    for (int place; verdict == VERDICT_FAILED && !l->unheard && (place = queue_next(&l->queue, &pause)) >= 0;) {
        verdict = rest(l, pause);
        if (verdict == VERDICT_FAILED) verdict = ask(l, place);
        if (verdict == VERDICT_FINAL && turn_to_larger(l)) verdict = VERDICT_FAILED;
    }
    return verdict;
}

static void conclude(struct outcome *o, enum verdict verdict, bool unheard)
{
    switch (verdict) {
    case VERDICT_FAILED:
        if (o->attempts || o->status) break;
        refuse(o, WEIR_UNAVAILABLE, NULL); /* since the plan was made all have failed, or others have claimed them */
        o->problem.retry_after_s = 1;
        break;
    case VERDICT_ANSWERED:
    case VERDICT_REFUSED: break; /* the outcome says it */
    case VERDICT_FINAL: o->end = END_FAILED; break;
    case VERDICT_GONE: o->end = END_CANCELLED; break;
    case VERDICT_STOPPED:
        o->end = END_FAILED;
        o->error = "the gateway is stopping";
        o->status = problem_set(&o->problem, WEIR_UNAVAILABLE, NULL, "The gateway is stopping.") ? 503 : 0;
        break;
    }
    if (unheard) o->end = END_CANCELLED;
    if (o->end == END_CANCELLED && !o->begun) o->status = CLIENT_GONE_STATUS;
}

void relay_run(const struct relay_tools *tools, const struct request *r, const struct caller *caller,
               const struct chat *chat,
               const struct plan *plan, const struct ticket *ticket, struct arena *memory, struct outcome *out)
{
    struct relay l = {.tools = tools, .r = r, .chat = chat, .settings = &caller->snap->settings, .plan = plan,
                      .ticket = ticket, .memory = memory, .out = out, .hedge_at = INT64_MAX};
    *out = (struct outcome){.end = END_FAILED, .first_byte_ms = -1, .requests = ticket->grant.requests,
                              .tokens = ticket->grant.tokens};
    buf_init(&out->body, BOUND_ANSWER);
    buf_init(&out->tail, BOUND_ANSWER);
    if (!queue_start(&l.queue, plan->targets, plan->count, l.settings->retries, begin_by(&l), memory)) {
        refuse(out, WEIR_NOMEM, NULL);
        return;
    }
    enum verdict verdict = ask_all(&l);
    conclude(out, verdict, l.unheard);
}

void relay_end(struct outcome *out)
{
    struct upstream *up = out->left_open;
    if (up) {
        int64_t until = clock_mono_ms() + LINGER_MS;
        while (up->ops->wait(up, -1, until) == UPSTREAM_BYTES && clock_mono_ms() < until) buf_clear(&up->bytes);
        up->ops->close(up);
    }
    out->left_open = NULL;
    buf_free(&out->body);
    buf_free(&out->tail);
}
