/* Fifth step: one target after the other until one answers, the client leaves, a limit stops it, or nothing is left. Retry
 * and failover happen only while nothing has reached the caller. */
#include "fcgi/stage/relay.h"

#include "fcgi/base/clock.h"
#include "fcgi/stage/charge.h"
#include "fcgi/stage/refusal.h"

#define CLIENT_GONE_STATUS 499 /* told to nobody; what web servers log for a request whose client left */
#define LINGER_MS 50           /* how long an upstream may take for the bytes behind its [DONE] */

/* ---- one attempt ---- */

static int64_t ms_or(int64_t set, int64_t standard) { return set ? set : standard; }

static void set_times(struct attempt *a)
{
    const struct provider_row *p = a->target->provider;
    int64_t total = ms_or(p->total_ms, TOTAL_MS_DEFAULT);
    a->started = clock_mono_ms();
    a->first_by = a->started + ms_or(p->first_byte_ms, a->chat->stream ? FIRST_BYTE_MS_DEFAULT : total);
    a->total_by = a->started + total;
    a->idle_ms = ms_or(p->idle_ms, IDLE_MS_DEFAULT);
}

/* Under hard limits a maximum always goes along, and never more than is held (DESIGN.md, "How much is held"). */
static int64_t maximum_of(const struct attempt *a)
{
    const struct ticket *t = a->ticket;
    bool hard = t->grant.hard_tokens || a->provider_is_hard;
    return hard && t->estimate.output_bound ? t->grant.output / t->estimate.samples : -1;
}

static void free_sent(void *sent) { buf_free(sent); }

static enum verdict run_attempt(struct attempt *a, const struct relay_tools *tools)
{
    struct buf *sent = arena_alloc(a->memory, sizeof *sent);
    enum verdict verdict;
    if (!sent) return attempt_failed(a, WEIR_NOMEM, "memory is out");
    buf_init(sent, SIZE_MAX - 1);
    const struct call call = {.pool = tools->pool, .stop_fd = tools->stop_fd, .chat = a->chat, .target = a->target,
                              .max_output = maximum_of(a), .http2 = a->settings->http2, .body = sent,
                              .memory = a->memory};
    tap_start(&a->tap, a->chat);
    set_times(a);
    enum weir_err err = a->dialect->open(&call, &a->up);
    if (err == WEIR_OK) verdict = a->chat->stream ? attempt_stream(a) : attempt_plain(a);
    else verdict = attempt_failed(a, err, weir_err_info(err)->text);
    charge_attempt(a, verdict == VERDICT_ANSWERED);
    if (a->up && verdict == VERDICT_ANSWERED && a->out->end == END_OK) a->out->left_open = a->up;
    else if (a->up) a->up->ops->close(a->up);
    if (!a->out->left_open) buf_free(sent);
    else arena_defer(a->memory, free_sent, sent);
    return verdict;
}

/* ---- booking ---- */

enum booked { BOOKED, SKIPPED, STOPPED };

/* Before an attempt: holds what it may cost, on top of what the earlier ones did. The plan's first target was booked
 * with the admission. A refusal is told only if no attempt was made; else the last attempt's failure is. */
static enum booked book_next(struct attempt *a, bool first)
{
    struct outcome *o = a->out;
    const struct ticket *t = a->ticket;
    struct ledger_refusal refusal = t->skipped;
    enum ledger_may may = t->first;
    a->provider_is_hard = t->first_is_hard;
    const struct ledger_try next = {
        .ticket = t->grant.ticket, .now_ms = clock_wall_ms(), .number = o->attempts + 1,
        .provider = a->target->provider->name, .prompt_bound = t->estimate.prompt_bound,
        .output_bound = t->grant.output, .prompt_estimate = t->estimate.prompt_estimate,
        .output_estimate = t->estimate.output_estimate, .price = *a->price,
    };
    enum weir_err err = first ? WEIR_OK : book_attempt(&a->tools->book, o->attempts ? &o->last : NULL, &next, &may,
                                                       &a->provider_is_hard, &refusal);
    if (err == WEIR_OK && may == LEDGER_GO) return BOOKED;
    if (!o->attempts) {
        if (err != WEIR_OK) problem_set(&o->problem, err, NULL, NULL);
        else refusal_problem(&refusal, &o->problem);
        o->status = weir_err_info(o->problem.err)->status;
        o->end = o->status < 500 ? END_REFUSED : END_FAILED;
    }
    return err == WEIR_OK && may == LEDGER_SKIP_TARGET ? SKIPPED : STOPPED;
}

/* ---- all of them ---- */

/* What an attempt that failed has left is of no use to the next, but for what it used. */
static void forget(struct outcome *o)
{
    buf_free(&o->body);
    o->fault = (struct fault){.message = ""};
    o->problem = (struct problem){.err = WEIR_OK};
    o->error = NULL;
    o->end = END_FAILED;
}

static void conclude(struct outcome *o, enum verdict verdict, bool unheard)
{
    switch (verdict) {
    case VERDICT_ANSWERED:
    case VERDICT_FAILED:
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

/* One target; *verdict stays as it is if a limit of its provider refuses. */
static void ask_target(struct attempt *a, const struct target *target, bool first, enum verdict *verdict)
{
    a->target = target;
    switch (book_next(a, first)) {
    case SKIPPED: return;
    case STOPPED: *verdict = VERDICT_REFUSED; return;
    case BOOKED: break;
    }
    forget(a->out);
    a->out->attempts++;
    a->out->target = target;
    a->dialect = dialect_find(target->provider->dialect);
    a->up = NULL;
    *verdict = run_attempt(a, a->tools);
}

void relay_run(const struct relay_tools *tools, const struct request *r, const struct caller *caller,
               const struct chat *chat,
               const struct plan *plan, const struct ticket *ticket, struct arena *memory, struct outcome *out)
{
    enum verdict verdict = VERDICT_FAILED;
    struct attempt a = {.tools = tools, .r = r, .chat = chat, .settings = &caller->snap->settings, .ticket = ticket,
                        .price = &plan->model->price, .memory = memory, .out = out};
    *out = (struct outcome){.end = END_FAILED, .first_byte_ms = -1, .requests = ticket->grant.requests,
                              .tokens = ticket->grant.tokens};
    buf_init(&out->body, BOUND_ANSWER);
    buf_init(&out->tail, BOUND_SSE_EVENT + 4);
    for (int i = 0; i < plan->count && verdict == VERDICT_FAILED && !a.unheard; i++) {
        if (http_client_is_gone(conn_watch_fd(r->conn))) verdict = VERDICT_GONE;
        else ask_target(&a, &plan->targets[i], i == 0, &verdict);
    }
    conclude(out, verdict, a.unheard);
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
