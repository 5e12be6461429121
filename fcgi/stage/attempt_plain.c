/* One plain answer, read to its end and judged as a whole; and every answer that is an error. */
#include <stdio.h>
#include <stdlib.h>

#include "fcgi/base/clock.h"
#include "fcgi/provider/embeddings.h"
#include "fcgi/stage/attempt.h"

#define RETRY_AFTER_MOST 60 /* seconds; some SDKs sleep through whatever they are told (WIRE.md 1) */

/* ---- errors ---- */

/* Seconds (RFC 9110 10.2.3); dates and nonsense are taken for none. */
static int retry_after(const struct upstream *up)
{
    struct span s = upstream_header(up, "retry-after");
    int64_t n = 0;
    if (!s.len) return 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') return 0;
        n = n > RETRY_AFTER_MOST ? n : n * 10 + (s.at[i] - '0');
    }
    return n > RETRY_AFTER_MOST ? RETRY_AFTER_MOST : (int)n;
}

/* The provider finds fault with our credentials or account: none of the caller's business, and its text may quote them. */
static bool is_ours(int status) { return status == 401 || status == 402 || status == 403; }

/* Statuses after which another target may do better (DESIGN.md, "Relaying", retry). */
static bool may_move_on(int status)
{
    return is_ours(status) || status == 404 || status == 408 || status == 429 || status >= 500;
}

static enum verdict judge_error(struct attempt *a)
{
    struct outcome *o = a->out;
    int status = a->up->status;
    char reason[700];
    bool whole = false;
    if (status < 400 || status > 599) {
        buf_free(&o->body);
        snprintf(reason, sizeof reason, "answered %d", status);
        return attempt_failed(a, WEIR_UPSTREAM, reason);
    }
    whole = a->dialect->read_error(&a->tap, buf_all(&o->body), &o->fault);
    attempt_hush(a, &o->fault);
    if (is_ours(status)) {
        o->fault = (struct fault){.message = ""};
        snprintf(reason, sizeof reason, "answered %d: it does not accept the gateway's key for it", status);
    } else {
        snprintf(reason, sizeof reason, "answered %d%s%s", status, *o->fault.message ? ": " : "", o->fault.message);
    }
    if (!whole || is_ours(status)) buf_free(&o->body);
    attempt_failed(a, WEIR_UPSTREAM, reason);
    if (!is_ours(status)) {
        if (!*o->fault.message) problem_set(&o->problem, WEIR_UPSTREAM, NULL,
                                            "The provider answered %d and gave no reason.", status);
        o->status = status;
        o->problem.retry_after_s = retry_after(a->up);
    }
    return may_move_on(status) ? VERDICT_FAILED : VERDICT_FINAL;
}

/* ---- answers ---- */

static enum verdict judge_answer(struct attempt *a)
{
    struct outcome *o = a->out;
    struct fault fault;
    bool answers = a->dialect->read_answer(&a->tap, buf_all(&o->body), &fault);
    if (answers && a->chat->stream) {
        buf_free(&o->body);
        a->tap.delivered = 0;
        return attempt_failed(a, WEIR_UPSTREAM, "answered whole where a stream was asked for");
    }
    if (!answers) {
        attempt_hush(a, &fault);
        buf_free(&o->body);
        o->fault = fault;
        return attempt_failed(a, WEIR_UPSTREAM, *fault.message ? fault.message : "answered 200 with what is no answer");
    }
    if (a->chat->wants_base64 && embeddings_to_base64(&o->body) != WEIR_OK) {
        buf_free(&o->body);
        return attempt_failed(a, WEIR_UPSTREAM, "answered embeddings that are no numbers");
    }
    o->end = END_OK;
    o->status = 200;
    if (!a->unheard) o->first_byte_ms = attempt_age(a);
    return VERDICT_ANSWERED;
}

static enum verdict judge(struct attempt *a)
{
    return a->up->status == 200 ? judge_answer(a) : judge_error(a);
}

/* ---- reading ---- */

/* False: the answer has more bytes than are read. */
static bool take_bytes(struct attempt *a)
{
    struct outcome *o = a->out;
    o->body.max = a->up->status == 200 ? BOUND_ANSWER : BOUND_UPSTREAM_ERROR;
    buf_span(&o->body, buf_all(&a->up->bytes));
    buf_clear(&a->up->bytes);
    return o->body.err == WEIR_OK;
}

static enum verdict too_long(struct attempt *a)
{
    if (a->up->status != 200) {
        a->out->body.err = WEIR_OK; /* what was read is enough to tell by */
        return judge_error(a);
    }
    buf_free(&a->out->body);
    return attempt_failed(a, WEIR_UPSTREAM, "its answer is longer than 64 MB");
}

static enum verdict late(struct attempt *a)
{
    buf_free(&a->out->body);
    return attempt_failed(a, WEIR_UPSTREAM_TIMEOUT, "did not answer in time");
}

enum verdict attempt_plain(struct attempt *a)
{
    int64_t deadline = a->first_by;
    for (;;) {
        switch (attempt_wait(a, deadline < a->total_by ? deadline : a->total_by)) {
        case UPSTREAM_HEAD: break;
        case UPSTREAM_BYTES:
            if (!take_bytes(a)) return too_long(a);
            break;
        case UPSTREAM_END: return judge(a);
        case UPSTREAM_FAILED:
            buf_free(&a->out->body);
            return attempt_failed(a, attempt_breakage(a), a->up->failure_text);
        case UPSTREAM_TIMEOUT: return late(a);
        case UPSTREAM_GONE:
            if (!attempt_reads_on(a)) return VERDICT_GONE;
            break;
        case UPSTREAM_STOP:
            buf_free(&a->out->body);
            return VERDICT_STOPPED;
        }
        if (clock_mono_ms() >= a->total_by) return late(a); /* bytes that never stop are no excuse */
        deadline = clock_mono_ms() + a->idle_ms;
    }
}
