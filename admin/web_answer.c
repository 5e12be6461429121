/* How the administrators' responder answers: CGI heads and what stands in every one of them. */
#include "admin/web_answer.h"

#include "fcgi/base/text.h"

#define HEAD_MAX 4096

static const char *reason_of(int status)
{
    static const struct { int status; const char *reason; } reasons[] = {
        {200, "OK"}, {201, "Created"}, {204, "No Content"}, {303, "See Other"}, {400, "Bad Request"},
            {401, "Unauthorized"}, {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"}, {411, "Length Required"}, {413, "Content Too Large"}, {415, "Unsupported Media Type"},
        {409, "Conflict"}, {429, "Too Many Requests"}, {500, "Internal Server Error"}, {503, "Service Unavailable"},
            {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return status < 500 ? "Refused" : "Failed";
}

/* What every answer has. x-request-id is of a form that fits into a header line (web_request.c). Pages have no script or
 * style but files of this site, send forms only here, and stand in nobody's frame. */
static void head_start(struct buf *head, const struct web_request *r, int status)
{
    buf_init(head, HEAD_MAX);
    buf_printf(head, "Status: %d %s\r\nx-request-id: %s\r\nCache-Control: no-store\r\n", status, reason_of(status), r->id);
    buf_str(head, "Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
                  "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n"
                  "X-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: same-origin\r\n"
                  "Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n");
}

static void head_more(struct buf *head, const struct web_head *h)
{
    buf_printf(head, "Content-Type: %s\r\n", h->type ? h->type : "application/json");
    if (h->location) buf_printf(head, "Location: %s\r\n", h->location);
    if (h->file) buf_printf(head, "Content-Disposition: attachment; filename=\"%s\"\r\n", h->file);
    if (h->retry_after_s) buf_printf(head, "Retry-After: %d\r\n", h->retry_after_s);
    for (int i = 0; i < COOKIES_MAX; i++)
        if (h->cookies[i]) buf_printf(head, "Set-Cookie: %s\r\n", h->cookies[i]);
}

static enum weir_err send_whole(const struct web_request *r, struct buf *head, struct span body)
{
    if (body.at) buf_printf(head, "Content-Length: %zu\r\n", body.len);
    buf_str(head, "\r\n");
    enum weir_err err = head->err;
    if (err != WEIR_OK) conn_write_no_memory(r->conn, r->id);
    if (err == WEIR_OK) err = conn_write(r->conn, buf_all(head));
    if (err == WEIR_OK && r->method != WEB_HEAD) err = conn_write(r->conn, body);
    buf_free(head);
    return err;
}

enum weir_err web_answer(const struct web_request *r, const struct web_head *h, struct span body)
{
    struct buf head;
    head_start(&head, r, h->status ? h->status : 200);
    head_more(&head, h);
    return send_whole(r, &head, body);
}

enum weir_err web_answer_start(const struct web_request *r, const struct web_head *h)
{
    struct buf head;
    head_start(&head, r, h->status ? h->status : 200);
    head_more(&head, h);
    return send_whole(r, &head, SPAN_NONE);
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
    buf_str(&head, "Content-Type: application/json\r\n");
    if (allow) buf_printf(&head, "Allow: %s\r\n", allow);
    if (p->retry_after_s) buf_printf(&head, "retry-after: %d\r\n", p->retry_after_s);
    if (info->final) buf_str(&head, "x-should-retry: false\r\n");
    enum weir_err err = send_whole(r, &head, buf_all(&body));
    buf_free(&body);
    return err;
}
