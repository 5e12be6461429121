/* One streamed answer: held back until its first content, passed on event by event, and ended honestly. Its last event
 * stays in out->tail until the audit row is written. */
#include "fcgi/base/clock.h"
#include "fcgi/base/sse.h"
#include "fcgi/stage/answer.h"
#include "fcgi/stage/attempt.h"
#include "fcgi/stage/keep.h"

struct stream {
    struct attempt *a;
    struct sse sse;
    struct buf event;    /* the present one as it goes out, where that is not as it came */
    struct buf held;     /* events before the first content */
    struct buf early;    /* the same as the upstream sent them, where they are kept */
    bool content;        /* the first content has come: there is no failover any more */
    bool over;           /* verdict holds */
    enum verdict verdict;
    int64_t heard, spoke; /* when bytes last came, and last went out */
};

/* ---- to the caller ---- */

static void over(struct stream *s, enum verdict verdict)
{
    s->over = true;
    s->verdict = verdict;
}

static void gone(struct stream *s)
{
    if (!attempt_reads_on(s->a)) over(s, VERDICT_GONE);
}

static void put(struct stream *s, struct span bytes)
{
    s->spoke = clock_mono_ms();
    if (!s->a->unheard && answer_stream_part(s->a->r, bytes) != WEIR_OK) gone(s);
}

static void flush(struct stream *s)
{
    if (s->content) keep_flush(s->a->r->keep);
    if (s->content && !s->over && !s->a->unheard && conn_flush(s->a->r->conn) != WEIR_OK) gone(s);
}

static void begin(struct stream *s)
{
    struct outcome *o = s->a->out;
    s->content = true;
    attempt_shown(s->a);
    if (!s->a->unheard) {
        o->begun = true;
        o->status = 200;
        o->first_byte_ms = attempt_age(s->a);
        if (answer_stream_begin(s->a->r, o) != WEIR_OK) gone(s);
    }
    keep_begin(s->a->r->keep, s->a->target, true);
    keep_take(s->a->r->keep, buf_all(&s->early));
    if (!s->over) put(s, buf_all(&s->held));
    buf_free(&s->early);
    buf_free(&s->held);
}

/* ---- ends ---- */

/* Before the first content it is a failed attempt; after it the caller is told in the stream, and there is no [DONE]. */
static void fail(struct stream *s, enum weir_err err, const char *reason, const struct fault *fault)
{
    struct attempt *a = s->a;
    attempt_failed(a, err, reason);
    if (!s->content) {
        if (fault) a->out->fault = *fault;
        over(s, VERDICT_FAILED);
        return;
    }
    a->trouble = TROUBLE_NONE; /* only what comes before the content counts against a target */
    a->out->status = 200;
    a->out->end = END_TRUNCATED;
    problem_set(&a->out->problem, err, NULL, err == WEIR_UNAVAILABLE ? "The gateway is stopping; the answer is not whole."
                                                                     : "The provider's answer broke off; it is not whole.");
    attempt_error_event(a, fault, &a->out->tail);
    over(s, VERDICT_ANSWERED);
}

/* last: the upstream's own last event. */
static void done(struct stream *s, struct span last)
{
    struct attempt *a = s->a;
    if (!tap_is_finished(&a->tap)) {
        fail(s, WEIR_UPSTREAM, s->content ? "its stream ended without a finish_reason" : "its stream ended without content",
             NULL);
        return;
    }
    if (!s->content) begin(s); /* a response may be whole without a word */
    if (s->over) return;
    a->out->end = END_OK;
    if (a->translation) translate_end(a, &a->out->tail);
    else buf_span(&a->out->tail, last);
    if (a->out->tail.err) {
        fail(s, WEIR_UPSTREAM, "its answer is longer than 64 MB", NULL);
        return;
    }
    keep_end(a->r->keep, &a->tap, last);
    over(s, VERDICT_ANSWERED);
}

/* ---- events ---- */

static void pass(struct stream *s, struct span raw)
{
    if (s->over) return;
    if (s->content) put(s, raw);
    else if (buf_span(&s->held, raw) != WEIR_OK) fail(s, WEIR_UPSTREAM, "its stream has no content for too long", NULL);
}

static void keep(struct stream *s, struct span raw)
{
    if (!s->a->r->keep) return;
    if (s->content) keep_take(s->a->r->keep, raw);
    else if (buf_span(&s->early, raw) != WEIR_OK) fail(s, WEIR_UPSTREAM, "its stream has no content for too long", NULL);
}

/* The event as its provider should have sent it. False: it is dropped. */
static bool mend(struct stream *s, struct sse_event *ev, struct buf *data)
{
    struct attempt *a = s->a;
    if (!ev->data.at || !a->dialect->mend_event || a->target->asked != FACE_CHAT) return true;
    switch (a->dialect->mend_event(&a->mend, ev->data, data)) {
    case MEND_NOTHING: return true;
    case MEND_DROPPED: return false;
    case MEND_REWRITTEN: break;
    }
    buf_clear(&s->event);
    sse_data(&s->event, buf_all(data));
    *ev = (struct sse_event){buf_all(&s->event), SPAN_NONE, buf_all(data)};
    if (data->err || s->event.err) fail(s, WEIR_UPSTREAM, "sent an event longer than 4 MB", NULL);
    return true;
}

/* What the caller gets for the event. One that cannot be told whole ends the attempt. */
static struct span shown(struct stream *s, const struct sse_event *ev)
{
    if (!s->a->translation) return ev->raw;
    buf_clear(&s->event);
    translate_event(s->a, ev->data, &s->event);
    if (s->over || !s->event.err) return buf_all(&s->event);
    fail(s, s->event.err == WEIR_NOMEM ? WEIR_NOMEM : WEIR_UPSTREAM, "sent what is too long to be translated", NULL);
    return SPAN_NONE;
}

static void take_event(struct stream *s, const struct sse_event *ev)
{
    struct attempt *a = s->a;
    struct fault fault;
    struct span out;
    enum event_kind kind = ev->data.at ? tap_read_event(&a->tap, ev->data, &fault) : EVENT_EMPTY;
    switch (kind) {
    case EVENT_EMPTY: break; /* comments, and events that some SDKs choke on (WIRE.md 1) */
    case EVENT_CONTENT:
        keep(s, ev->raw);
        out = shown(s, ev);
        if (!s->content && !s->over) begin(s);
        if (!s->over && out.len) put(s, out);
        break;
    case EVENT_USAGE:
        keep(s, ev->raw);
        if (a->translation || a->chat->wants_usage) pass(s, shown(s, ev));
        break;
    case EVENT_HEAD:
        keep(s, ev->raw);
        pass(s, shown(s, ev));
        break;
    case EVENT_DONE: done(s, ev->raw); break;
    case EVENT_ERROR:
        attempt_hush(a, ev->data, &fault);
        fail(s, WEIR_UPSTREAM, *fault.message ? fault.message : "sent an error event", &fault);
        break;
    case EVENT_GARBAGE: fail(s, WEIR_UPSTREAM, "sent an event that is none", NULL); break;
    }
}

static void take_events(struct stream *s)
{
    struct sse_event ev;
    struct buf data;
    buf_init(&data, BOUND_SSE_EVENT);
    while (!s->over && sse_next(&s->sse, &ev)) {
        buf_clear(&data);
        if (mend(s, &ev, &data) && !s->over) take_event(s, &ev);
    }
    buf_free(&data);
}

static void take_bytes(struct stream *s)
{
    struct upstream *up = s->a->up;
    s->heard = clock_mono_ms();
    enum weir_err err = sse_feed(&s->sse, buf_all(&up->bytes).at, up->bytes.len);
    buf_clear(&up->bytes);
    take_events(s);
    flush(s);
    if (!s->over && err != WEIR_OK) fail(s, WEIR_UPSTREAM, "sent an event longer than 4 MB", NULL);
}

/* The upstream's body is over, as it should be or not. */
static void take_end(struct stream *s, enum upstream_event event)
{
    sse_end(&s->sse);
    take_events(s);
    if (s->over) return;
    if (event == UPSTREAM_END || tap_is_finished(&s->a->tap)) {
        done(s, tap_last_event(&s->a->tap));
        return;
    }
    fail(s, attempt_breakage(s->a), s->a->up->failure_text, NULL);
}

/* ---- time ---- */

static int64_t earliest(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t deadline_of(const struct stream *s)
{
    const struct attempt *a = s->a;
    if (!s->content) return earliest(a->first_by, a->total_by);
    int64_t silence = earliest(s->heard + a->idle_ms, a->unheard ? INT64_MAX : s->spoke + a->settings->keepalive_ms);
    return earliest(silence, a->total_by);
}

/* Also after bytes: those that never stop are no excuse. */
static void look_at_clock(struct stream *s)
{
    const struct attempt *a = s->a;
    int64_t now = clock_mono_ms();
    if (now >= a->total_by) {
        fail(s, WEIR_UPSTREAM_TIMEOUT, "took longer than its whole time", NULL);
    } else if (!s->content) {
        if (now >= a->first_by) fail(s, WEIR_UPSTREAM_TIMEOUT, "did not answer in time", NULL);
    } else if (now >= s->heard + a->idle_ms) {
        fail(s, WEIR_UPSTREAM_TIMEOUT, "fell silent in the middle of its stream", NULL);
    } else if (!a->unheard && now >= s->spoke + a->settings->keepalive_ms) {
        put(s, SPAN(": keep-alive\n\n"));
        flush(s);
    }
}

/* ---- the whole ---- */

/* Not a stream but an answer or an error in one piece, whatever its status. */
static bool is_json(const struct upstream *up)
{
    struct span type = upstream_header(up, "content-type");
    return span_is_nocase(span_trim((struct span){type.at, type.at ? strcspn(type.at, ";\n") : 0}), "application/json");
}

/* Responses repeat their request before the first content, twice, and its characters as escapes perhaps. */
static size_t most_held(const struct chat *c)
{
    size_t most = BOUND_HELD_HEAD + (c->face == FACE_RESPONSES ? 6 * c->body.len : 0);
    return most < BOUND_ANSWER ? most : BOUND_ANSWER;
}

bool stream_start(struct attempt *a)
{
    struct stream *s = arena_alloc(a->memory, sizeof *s);
    if (!s) return false;
    *s = (struct stream){.a = a, .heard = a->started, .spoke = a->started};
    sse_init(&s->sse, BOUND_SSE_EVENT);
    buf_init(&s->event, BOUND_ANSWER);
    buf_init(&s->held, most_held(a->chat));
    buf_init(&s->early, most_held(a->chat));
    a->stream = s;
    return true;
}

void stream_end(struct attempt *a)
{
    if (!a->stream) return;
    sse_free(&a->stream->sse);
    buf_free(&a->stream->held);
    buf_free(&a->stream->early);
    buf_free(&a->stream->event);
    a->stream = NULL;
}

void attempt_stream(struct attempt *a, int64_t until)
{
    struct stream *s = a->stream;
    enum upstream_event event = attempt_wait(a, earliest(until, deadline_of(s)));
    switch (event) {
    case UPSTREAM_HEAD:
        s->heard = clock_mono_ms();
        if (a->up->status != 200 || is_json(a->up)) stream_end(a); /* the rest is read in one piece */
        return;
    case UPSTREAM_BYTES:
        take_bytes(s);
        if (!s->over) look_at_clock(s);
        break;
    case UPSTREAM_END:
    case UPSTREAM_FAILED: take_end(s, event); break;
    case UPSTREAM_TIMEOUT: look_at_clock(s); break;
    case UPSTREAM_GONE: gone(s); break;
    case UPSTREAM_STOP:
        if (s->content) fail(s, WEIR_UNAVAILABLE, "the gateway is stopping", NULL);
        else over(s, VERDICT_STOPPED);
        break;
    }
    if (s->over) attempt_over(a, s->verdict);
}
