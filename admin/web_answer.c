/* How the administrators' responder answers: CGI heads, JSON bodies, errors in OpenAI's form. */
#include "admin/web_answer.h"

#include "fcgi/base/text.h"

#define HEAD_MAX 4096

static const char *reason_of(int status)
{
    static const struct { int status; const char *reason; } reasons[] = {
        {200, "OK"}, {204, "No Content"}, {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"}, {411, "Length Required"}, {413, "Content Too Large"}, {415, "Unsupported Media Type"},
        {500, "Internal Server Error"}, {503, "Service Unavailable"}, {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return status < 500 ? "Refused" : "Failed";
}

/* What every answer has. x-request-id is of a form that fits into a header line (web_request.c). */
static void head_start(struct buf *head, const struct web_request *r, int status)
{
    buf_init(head, HEAD_MAX);
    buf_printf(head, "Status: %d %s\r\nx-request-id: %s\r\nCache-Control: no-store\r\n", status, reason_of(status), r->id);
}

static enum weir_err send_whole(const struct web_request *r, struct buf *head, struct span body)
{
    if (body.at) buf_printf(head, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.len);
    buf_str(head, "\r\n");
    enum weir_err err = head->err;
    if (err != WEIR_OK) conn_write_no_memory(r->conn, r->id);
    if (err == WEIR_OK) err = conn_write(r->conn, buf_all(head));
    if (err == WEIR_OK && r->method != WEB_HEAD) err = conn_write(r->conn, body);
    buf_free(head);
    return err;
}

enum weir_err web_answer_json(const struct web_request *r, struct span body)
{
    struct buf head;
    head_start(&head, r, 200);
    return send_whole(r, &head, body);
}

enum weir_err web_answer_options(const struct web_request *r, const char *allow)
{
    struct buf head;
    head_start(&head, r, 204);
    buf_printf(&head, "Allow: %s\r\n", allow);
    return send_whole(r, &head, SPAN_NONE);
}

static void text_or_null(struct buf *out, const char *lead, const char *text)
{
    buf_str(out, lead);
    json_string(out, text && *text ? span_of(text) : SPAN_NONE);
}

enum weir_err web_answer_problem(const struct web_request *r, const struct problem *p, const char *allow)
{
    const struct weir_err_info *info = weir_err_info(p->err);
    struct buf head, body;
    buf_init(&body, HEAD_MAX);
    text_or_null(&body, "{\"error\":{\"message\":", *p->text ? p->text : info->text);
    text_or_null(&body, ",\"type\":", info->type);
    text_or_null(&body, ",\"param\":", p->param);
    text_or_null(&body, ",\"code\":", info->code);
    buf_str(&body, "}}");
    head_start(&head, r, info->status);
    if (body.err) head.err = body.err;
    if (allow) buf_printf(&head, "Allow: %s\r\n", allow);
    if (p->retry_after_s) buf_printf(&head, "retry-after: %d\r\n", p->retry_after_s);
    if (info->final) buf_str(&head, "x-should-retry: false\r\n");
    enum weir_err err = send_whole(r, &head, buf_all(&body));
    buf_free(&body);
    return err;
}
