/* What plain and streamed attempts share: waiting, and writing down how an attempt failed. */
#include "fcgi/stage/attempt.h"

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"

enum upstream_event attempt_wait(struct attempt *a, int64_t deadline)
{
    enum upstream_event event = a->up->ops->wait(a->up, a->unheard ? -1 : conn_watch_fd(a->r->conn), deadline);
    return event == UPSTREAM_STOP && a->tools->is_cgi ? UPSTREAM_GONE : event;
}

bool attempt_reads_on(struct attempt *a)
{
    a->unheard = a->settings->drain_on_disconnect && !a->tools->is_cgi;
    return a->unheard;
}

int64_t attempt_age(const struct attempt *a)
{
    return clock_mono_ms() - a->r->begun_mono_ms;
}

void attempt_hush(struct attempt *a, struct fault *fault)
{
    const struct secret *key = a->target->key ? a->target->key->secret : NULL;
    const char *const texts[] = {fault->message, fault->type, fault->code, fault->param};
    bool quoted = secret_is_quoted(key, buf_all(&a->out->body));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) quoted |= secret_is_quoted(key, span_of(texts[i]));
    if (!quoted) return;
    buf_free(&a->out->body);
    *fault = (struct fault){.message = "The provider's error quoted the gateway's key and is not repeated."};
}

enum verdict attempt_failed(struct attempt *a, enum weir_err err, const char *reason)
{
    struct outcome *o = a->out;
    o->status = weir_err_info(err)->status;
    problem_set(&o->problem, err, NULL, NULL);
    o->error = arena_printf(a->memory, "%s: %s", a->target->provider->name, reason);
    log_event(LOG_WARN, "attempt_failed", LOG_TEXT("request_id", a->r->id), LOG_TEXT("provider", a->target->provider->name),
              LOG_TEXT("model", a->target->model), LOG_TEXT("reason", reason));
    return VERDICT_FAILED;
}

enum weir_err attempt_breakage(const struct attempt *a)
{
    return a->up->failure == FAILURE_CONNECT_TIMEOUT ? WEIR_UPSTREAM_TIMEOUT : WEIR_UPSTREAM;
}
