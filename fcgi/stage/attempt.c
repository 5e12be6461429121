/* One attempt from its beginning to its end, and what plain and streamed ones share: waiting, and writing down how an
 * attempt failed. */
#include "fcgi/stage/attempt.h"

#include <unistd.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "fcgi/base/text.h"
#include "fcgi/provider/limit_headers.h"
#include "fcgi/stage/charge.h"
#include "fcgi/stage/keep.h"

/* ---- begin, step, end ---- */

static int64_t ms_or(int64_t set, int64_t standard) { return set ? set : standard; }

static int64_t earliest(int64_t a, int64_t b) { return a < b ? a : b; }

static void set_times(struct attempt *a, int64_t deadline)
{
    const struct provider_row *p = a->target->provider;
    int64_t total = ms_or(p->total_ms, TOTAL_MS_DEFAULT);
    a->started = clock_mono_ms();
    a->total_by = a->started + total;
    a->first_by = earliest(a->started + ms_or(p->first_byte_ms, a->chat->stream ? FIRST_BYTE_MS_DEFAULT : total), deadline);
    a->quiet_by = a->first_by;
    a->idle_ms = ms_or(p->idle_ms, IDLE_MS_DEFAULT);
}

/* Under hard limits a maximum always goes along, and never more than is held (DESIGN.md, "How much is held"). */
static int64_t maximum_of(const struct attempt *a)
{
    const struct ticket *t = a->ticket;
    bool hard = t->grant.hard_tokens || a->provider_is_hard;
    return hard && t->estimate.output_bound ? t->grant.output / t->estimate.samples : -1;
}

/* For the dialect that must be told one: what was held for an answer. */
static int64_t standard_maximum_of(const struct attempt *a)
{
    const struct estimate *e = &a->ticket->estimate;
    return e->samples > 0 && e->output_bound > 0 ? e->output_bound / e->samples : OUTPUT_UNKNOWN;
}

/* The caller's, if it can stand in a header. */
static const char *beta_of(const struct attempt *a)
{
    const char *beta = a->r->anthropic_beta;
    return beta && *beta && text_is_header_safe(span_of(beta)) ? beta : NULL;
}

static void free_sent(void *sent) { buf_free(sent); }

static enum weir_err open_call(struct attempt *a)
{
    a->sent = arena_alloc(a->memory, sizeof *a->sent);
    if (!a->sent) return WEIR_NOMEM;
    buf_init(a->sent, SIZE_MAX - 1);
    if (!translate_start(a) || (a->chat->stream && !stream_start(a))) return WEIR_NOMEM;
    const struct call call = {.pool = a->tools->pool, .stop_fd = a->tools->stop_fd, .chat = a->chat, .target = a->target,
                              .max_output = maximum_of(a), .default_max_output = standard_maximum_of(a), .beta = beta_of(a),
                              .http2 = a->settings->http2, .body = a->sent, .memory = a->memory};
    return a->dialect->open(&call, &a->up);
}

void attempt_begin(struct attempt *a, int64_t deadline)
{
    a->dialect = dialect_find(a->target->provider->dialect);
    tap_start(&a->tap, a->chat, a->target->asked);
    set_times(a, deadline);
    enum weir_err err = open_call(a);
    if (err != WEIR_OK) attempt_failed(a, err, weir_err_info(err)->text);
}

/* An answer that its own caller does not hear is read on for its figure, or while others wait for it. */
static bool is_wanted(const struct attempt *a)
{
    return !a->unheard || a->settings->drain_on_disconnect || keep_is_followed(a->r->keep);
}

void attempt_step(struct attempt *a, int64_t until)
{
    if (a->stream) attempt_stream(a, until);
    else attempt_plain(a, until);
    if (!a->over && !is_wanted(a)) attempt_over(a, VERDICT_GONE);
}

void attempt_end(struct attempt *a)
{
    struct outcome *o = a->out;
    stream_end(a);
    translate_free(a);
    charge_attempt(a, a->verdict == VERDICT_ANSWERED);
    if (a->up && a->chat->stream && a->verdict == VERDICT_ANSWERED && o->end == END_OK) o->left_open = a->up;
    else if (a->up) a->up->ops->close(a->up);
    a->up = NULL;
    if (!a->sent) return;
    if (o->left_open && arena_defer(a->memory, free_sent, a->sent)) return;
    if (o->left_open) o->left_open->ops->close(o->left_open);
    o->left_open = NULL;
    buf_free(a->sent);
}

/* ---- what both kinds share ---- */

/* A key that is nearly out of its provider's limit stands behind the others from now on, before it is told 429. */
static void spare_key(const struct attempt *a)
{
    const struct estimate *e = &a->ticket->estimate;
    const struct target *t = a->target;
    struct limit_headers h;
    a->dialect->read_limits(a->up, clock_wall_ms(), &h);
    int64_t ms = limits_spare_ms(&h, e->prompt_estimate, e->output_estimate);
    if (ms) pulse_spare(a->tools->pulse, t->provider->name, t->key ? t->key->name : NULL, a->head_at + ms);
}

enum upstream_event attempt_wait(struct attempt *a, int64_t deadline)
{
    enum upstream_event event = a->up->ops->wait(a->up, a->unheard ? -1 : conn_watch_fd(a->r->conn), deadline);
    if (event == UPSTREAM_HEAD) {
        a->head_at = clock_mono_ms();
        spare_key(a);
    }
    if (event != UPSTREAM_STOP || !a->tools->is_cgi) return event;
    /* A web server ends the CGI program whose client has left. Heard once, that is all it means. */
    uint64_t times;
    while (read(a->tools->stop_fd, &times, sizeof times) > 0) continue;
    return UPSTREAM_GONE;
}

bool attempt_reads_on(struct attempt *a)
{
    a->unheard = a->settings->drain_on_disconnect || keep_is_followed(a->r->keep);
    return a->unheard;
}

int64_t attempt_age(const struct attempt *a)
{
    return clock_mono_ms() - a->r->begun_mono_ms;
}

void attempt_hush(struct attempt *a, struct span said, struct fault *fault)
{
    const struct secret *key = a->target->key ? a->target->key->secret : NULL;
    const char *const texts[] = {fault->message, fault->type, fault->code, fault->param};
    bool quoted = secret_is_quoted(key, said);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) quoted |= secret_is_quoted(key, span_of(texts[i]));
    if (!quoted) return;
    buf_free(&a->out->body);
    *fault = (struct fault){.message = "The provider's error quoted the gateway's key and is not repeated."};
}

void attempt_shown(struct attempt *a)
{
    if (!a->shown) a->shown_at = clock_mono_ms();
    a->shown = true;
}

void attempt_over(struct attempt *a, enum verdict verdict)
{
    a->over = true;
    a->verdict = verdict;
}

static enum trouble trouble_of(const struct attempt *a, enum weir_err err)
{
    if (!a->up || err == WEIR_NOMEM || a->up->failure == FAILURE_OURS) return TROUBLE_OURS;
    return a->head_at ? TROUBLE_BROKEN : TROUBLE_UNREACHED;
}

void attempt_failed(struct attempt *a, enum weir_err err, const char *reason)
{
    struct outcome *o = a->out;
    o->status = weir_err_info(err)->status;
    problem_set(&o->problem, err, NULL, NULL);
    o->error = arena_printf(a->memory, "%s: %s", a->target->provider->name, reason);
    log_event(LOG_WARN, "attempt_failed", LOG_TEXT("request_id", a->r->id), LOG_TEXT("provider", a->target->provider->name),
              LOG_TEXT("model", a->target->model), LOG_TEXT("reason", reason));
    a->trouble = trouble_of(a, err);
    attempt_over(a, VERDICT_FAILED);
}

enum weir_err attempt_breakage(const struct attempt *a)
{
    return a->up->failure == FAILURE_CONNECT_TIMEOUT ? WEIR_UPSTREAM_TIMEOUT : WEIR_UPSTREAM;
}
