/* How answers go out: CGI heads, JSON bodies, errors with their status. */
#include "fcgi/stage/answer.h"

#include "fcgi/base/text.h"
#include "fcgi/stage/cors.h"
#include "fcgi/stage/record.h"

#define HEAD_MAX   8192
#define HEAD_USUAL 1024 /* bytes of most heads */
/* Where a stream's end could not be kept. */
#define NO_MEMORY_EVENT "data: {\"error\":{\"message\":\"The gateway is out of memory.\",\"type\":\"server_error\"," \
                        "\"param\":null,\"code\":\"internal_error\"}}\n\n"
#define NO_MEMORY_MESSAGE "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"," \
                          "\"message\":\"The gateway is out of memory.\"}}\n\n"

/* ---- heads ---- */

static const char *reason_of(int status)
{
    static const struct { int status; const char *reason; } reasons[] = {
        {200, "OK"}, {204, "No Content"}, {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"},
        {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
        {411, "Length Required"}, {413, "Content Too Large"}, {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"}, {429, "Too Many Requests"},
        {500, "Internal Server Error"}, {502, "Bad Gateway"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return status < 500 ? "Refused" : "Failed";
}

/* A value that does not fit into a header line (an alias of any characters) is percent-encoded where it must be. */
static void header(struct buf *head, const char *name, struct span value)
{
    bool safe = text_is_header_safe(value);
    buf_str(head, name);
    buf_str(head, ": ");
    if (safe) buf_span(head, value);
    for (size_t i = 0; !safe && i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if (c >= ' ' && c < 0x7F && c != '%') buf_char(head, (char)c);
        else buf_printf(head, "%%%02X", c);
    }
    buf_str(head, "\r\n");
}

static void number(struct buf *head, const char *name, int64_t value)
{
    buf_str(head, name);
    buf_str(head, ": ");
    buf_int(head, value);
    buf_str(head, "\r\n");
}

static void head_start(struct buf *head, const struct request *r, int status, const char *type)
{
    buf_str(head, "Status: ");
    buf_int(head, status);
    buf_char(head, ' ');
    buf_str(head, reason_of(status));
    buf_str(head, "\r\n");
    if (type) header(head, "Content-Type", span_of(type));
    header(head, "x-request-id", span_of(r->id));
    if (r->is_anthropic) header(head, "request-id", span_of(r->id));
    buf_str(head, "X-Content-Type-Options: nosniff\r\n");
    cors_headers(r, head);
}

/* "12ms", "1.5s", "6m0s": Go's durations, as OpenAI has them. */
static void duration(struct buf *head, int64_t ms)
{
    int64_t s = ms / 1000;
    if (ms < 1000) {
        buf_printf(head, "%lldms", (long long)ms);
        return;
    }
    if (s >= 3600) buf_printf(head, "%lldh", (long long)(s / 3600));
    if (s >= 60) buf_printf(head, "%lldm", (long long)(s / 60 % 60));
    buf_printf(head, ms % 1000 ? "%lld.%03llds" : "%llds", (long long)(s % 60), (long long)(ms % 1000));
}

static void head_tight(struct buf *head, const char *metric, const struct ledger_tight *t)
{
    if (!t->known) return;
    buf_printf(head, "x-ratelimit-limit-%s: %lld\r\nx-ratelimit-remaining-%s: %lld\r\n", metric, (long long)t->limit, metric,
               (long long)t->remaining);
    if (t->reset_ms < 0) return;
    buf_printf(head, "x-ratelimit-reset-%s: ", metric);
    duration(head, t->reset_ms);
    buf_str(head, "\r\n");
}

static void head_outcome(struct buf *head, const struct request *r, const struct outcome *o)
{
    if (r->context) header(head, "x-weir-context", span_of(r->context));
    if (!o) return;
    head_tight(head, "requests", &o->requests);
    head_tight(head, "tokens", &o->tokens);
    if (!o->target) return;
    header(head, "x-weir-provider", span_of(o->target->provider->name));
    header(head, "x-weir-model", span_of(o->target->model));
    number(head, "x-weir-attempts", o->attempts);
    header(head, "x-weir-cache", span_of(r->cache ? r->cache : "bypass"));
    if (r->cache && r->cache_age_s >= 0) number(head, "Age", r->cache_age_s);
}

static enum weir_err send_whole(const struct request *r, struct buf *head, struct span body)
{
    buf_str(head, "\r\n");
    enum weir_err err = head->err;
    if (err != WEIR_OK) conn_write_no_memory(r->conn, r->id);
    if (err == WEIR_OK) err = conn_write(r->conn, buf_all(head));
    if (err == WEIR_OK && r->method != METHOD_HEAD) err = conn_write(r->conn, body);
    buf_free(head);
    return err;
}

enum weir_err answer_json(const struct request *r, int status, struct span body, const struct outcome *o, const char *allow)
{
    struct buf head;
    char room[HEAD_USUAL];
    buf_init_in(&head, room, sizeof room, HEAD_MAX);
    head_start(&head, r, status, "application/json");
    number(&head, "Content-Length", (int64_t)body.len);
    buf_str(&head, "Cache-Control: no-store\r\n");
    if (allow) header(&head, "Allow", span_of(allow));
    head_outcome(&head, r, o);
    return send_whole(r, &head, body);
}

enum weir_err answer_options(const struct request *r, const char *allow)
{
    struct buf head;
    char room[HEAD_USUAL];
    buf_init_in(&head, room, sizeof room, HEAD_MAX);
    head_start(&head, r, 204, NULL);
    header(&head, "Allow", span_of(allow));
    cors_preflight(r, allow, &head);
    return send_whole(r, &head, SPAN_NONE);
}

enum weir_err answer_stream_begin(const struct request *r, const struct outcome *o)
{
    struct buf head;
    char room[HEAD_USUAL];
    buf_init_in(&head, room, sizeof room, HEAD_MAX);
    head_start(&head, r, 200, "text/event-stream; charset=utf-8");
    buf_str(&head, "Cache-Control: no-cache\r\n");
    head_outcome(&head, r, o);
    return send_whole(r, &head, SPAN_NONE);
}

enum weir_err answer_stream_part(const struct request *r, struct span events)
{
    enum weir_err err = conn_write(r->conn, events);
    if (r->record && err == WEIR_OK) record_take(r->record, events);
    return err;
}

/* ---- errors ---- */

static enum weir_err send_error(const struct request *r, int status, const struct problem *p, const struct fault *f,
                                const struct outcome *o, const char *allow)
{
    struct buf head, body;
    struct span raw = o && o->body.len ? buf_all(&o->body) : SPAN_NONE;
    char room[HEAD_USUAL];
    buf_init_in(&head, room, sizeof room, HEAD_MAX);
    buf_init(&body, HEAD_MAX);
    answer_error_body(r->is_anthropic, r->id, p, f, &body);
    if (!raw.at) raw = buf_all(&body);
    if (body.err) head.err = body.err;
    head_start(&head, r, status, "application/json");
    number(&head, "Content-Length", (int64_t)raw.len);
    buf_str(&head, "Cache-Control: no-store\r\n");
    if (p->retry_after_s) number(&head, "retry-after", p->retry_after_s);
    bool final = f && *f->message ? strcmp(f->code, "insufficient_quota") == 0 || strcmp(f->type, "insufficient_quota") == 0
                                  : weir_err_info(p->err)->final;
    if (final) buf_str(&head, "x-should-retry: false\r\n");
    if (allow) header(&head, "Allow", span_of(allow));
    head_outcome(&head, r, o);
    enum weir_err err = send_whole(r, &head, raw);
    buf_free(&body);
    return err;
}

enum weir_err answer_problem(const struct request *r, const struct problem *p, const char *allow)
{
    return send_error(r, weir_err_info(p->err)->status, p, NULL, NULL, allow);
}

enum weir_err answer_outcome(const struct request *r, const struct outcome *o)
{
    struct span lost = r->is_anthropic ? SPAN(NO_MEMORY_MESSAGE) : SPAN(NO_MEMORY_EVENT);
    if (o->begun) return conn_write(r->conn, o->tail.err ? lost : buf_all(&o->tail));
    if (o->end == END_OK) return answer_json(r, o->status, buf_all(&o->body), o, NULL);
    return send_error(r, o->status, &o->problem, &o->fault, o, NULL);
}
