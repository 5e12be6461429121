/* One plain answer, read to its end and judged as a whole; and every answer that is an error. */
#include <stdio.h>
#include <stdlib.h>

#include "fcgi/base/clock.h"
#include "fcgi/provider/embeddings.h"
#include "fcgi/stage/attempt.h"
#include "fcgi/stage/keep.h"

#define RETRY_AFTER_MOST 60       /* seconds told; some SDKs sleep through whatever they are told (WIRE.md 1) */
#define RETRY_AFTER_BELIEVED 86400 /* seconds heard; Azure has asked for a day (WIRE.md 3) */

/* ---- errors ---- */

/* Seconds (RFC 9110 10.2.3); dates and nonsense are taken for none. */
static int64_t retry_after_s(const struct upstream *up)
{
    struct span s = upstream_header(up, "retry-after");
    int64_t n = 0;
    if (!s.len) return 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9') return 0;
        n = n > RETRY_AFTER_BELIEVED ? n : n * 10 + (s.at[i] - '0');
    }
    return n > RETRY_AFTER_BELIEVED ? RETRY_AFTER_BELIEVED : n;
}

/* The provider finds fault with our credentials or account: none of the caller's business, and its text may quote them. */
static bool is_ours(int status, enum trouble t)
{
    return t == TROUBLE_KEY || status == 401 || status == 402 || status == 403;
}

/* Does the upstream's error body stand in the caller's form? All faces of a family have the same. */
static bool is_family(const struct attempt *a)
{
    return (a->target->asked == FACE_MESSAGES) == (a->chat->face == FACE_MESSAGES);
}

static void judge_error(struct attempt *a)
{
    struct outcome *o = a->out;
    int status = a->up->status;
    char reason[700];
    if (status < 400 || status > 599) {
        buf_free(&o->body);
        snprintf(reason, sizeof reason, "answered %d", status);
        attempt_failed(a, WEIR_UPSTREAM, reason);
        return;
    }
    bool whole = tap_read_error(&a->tap, buf_all(&o->body), &o->fault) && is_family(a);
    enum trouble trouble = a->dialect->classify(status, &o->fault);
    bool ours = is_ours(status, trouble);
    attempt_hush(a, buf_all(&o->body), &o->fault);
    int64_t wait_s = retry_after_s(a->up);
    if (ours) {
        o->fault = (struct fault){.message = ""};
        snprintf(reason, sizeof reason, "answered %d: it does not accept the gateway's key for it", status);
    } else {
        snprintf(reason, sizeof reason, "answered %d%s%s", status, *o->fault.message ? ": " : "", o->fault.message);
    }
    if (!whole || ours) buf_free(&o->body);
    attempt_failed(a, WEIR_UPSTREAM, reason);
    a->trouble = trouble;
    a->retry_after_ms = wait_s * 1000;
    if (!ours) {
        if (!*o->fault.message) problem_set(&o->problem, WEIR_UPSTREAM, NULL,
                                            "The provider answered %d and gave no reason.", status);
        o->status = status;
        o->problem.retry_after_s = (int)(wait_s > RETRY_AFTER_MOST ? RETRY_AFTER_MOST : wait_s);
    }
    if (!trouble_may_move_on(trouble)) attempt_over(a, VERDICT_FINAL);
}

/* ---- answers ---- */

/* As it came, but for embeddings: those are kept as they are told, packing them is work. */
static void keep_answer(struct attempt *a)
{
    keep_begin(a->r->keep, a->target, false);
    keep_end(a->r->keep, &a->tap, buf_all(&a->out->body));
}

static void judge_answer(struct attempt *a)
{
    struct outcome *o = a->out;
    struct fault fault;
    bool answers = tap_read_answer(&a->tap, buf_all(&o->body), &fault);
    if (answers && a->chat->stream) {
        buf_free(&o->body);
        a->tap.delivered = a->tap.sounded = 0;
        attempt_failed(a, WEIR_UPSTREAM, "answered whole where a stream was asked for");
        return;
    }
    if (!answers) {
        attempt_hush(a, buf_all(&o->body), &fault);
        buf_free(&o->body);
        o->fault = fault;
        attempt_failed(a, WEIR_UPSTREAM, *fault.message ? fault.message : "answered 200 with what is no answer");
        return;
    }
    if (a->translation) keep_answer(a);
    if (a->translation && !translate_answer(a)) {
        buf_free(&o->body);
        attempt_failed(a, WEIR_UPSTREAM, "answered 200 with what cannot be translated");
        return;
    }
    if (a->chat->wants_base64 && embeddings_to_base64(&o->body) != WEIR_OK) {
        buf_free(&o->body);
        attempt_failed(a, WEIR_UPSTREAM, "answered embeddings that are no numbers");
        return;
    }
    if (!a->translation) keep_answer(a);
    o->end = END_OK;
    o->status = 200;
    if (!a->unheard) o->first_byte_ms = attempt_age(a);
    attempt_over(a, VERDICT_ANSWERED);
}

static void judge(struct attempt *a)
{
    if (a->up->status == 200) judge_answer(a);
    else judge_error(a);
}

/* ---- reading ---- */

/* False: the answer has more bytes than are read. */
static bool take_bytes(struct attempt *a)
{
    struct outcome *o = a->out;
    o->body.max = a->up->status == 200 ? BOUND_ANSWER : BOUND_UPSTREAM_ERROR;
    buf_span(&o->body, buf_all(&a->up->bytes));
    buf_clear(&a->up->bytes);
    if (a->up->status == 200) attempt_shown(a);
    return o->body.err == WEIR_OK;
}

static void too_long(struct attempt *a)
{
    if (a->up->status != 200) {
        a->out->body.err = WEIR_OK; /* what was read is enough to tell by */
        judge_error(a);
        return;
    }
    buf_free(&a->out->body);
    attempt_failed(a, WEIR_UPSTREAM, "its answer is longer than 64 MB");
}

static void late(struct attempt *a)
{
    buf_free(&a->out->body);
    attempt_failed(a, WEIR_UPSTREAM_TIMEOUT, "did not answer in time");
}

void attempt_plain(struct attempt *a, int64_t until)
{
    int64_t deadline = a->quiet_by < a->total_by ? a->quiet_by : a->total_by;
    switch (attempt_wait(a, until < deadline ? until : deadline)) {
    case UPSTREAM_HEAD: break;
    case UPSTREAM_BYTES:
        if (!take_bytes(a)) too_long(a);
        break;
    case UPSTREAM_END: judge(a); break;
    case UPSTREAM_FAILED:
        buf_free(&a->out->body);
        attempt_failed(a, attempt_breakage(a), a->up->failure_text);
        break;
    case UPSTREAM_TIMEOUT:
        if (clock_mono_ms() >= deadline) late(a);
        return;
    case UPSTREAM_GONE:
        if (!attempt_reads_on(a)) attempt_over(a, VERDICT_GONE);
        break;
    case UPSTREAM_STOP:
        buf_free(&a->out->body);
        attempt_over(a, VERDICT_STOPPED);
        break;
    }
    if (a->over) return;
    int64_t now = clock_mono_ms();
    if (now >= a->total_by) late(a); /* bytes that never stop are no excuse */
    a->quiet_by = now + a->idle_ms;
}
