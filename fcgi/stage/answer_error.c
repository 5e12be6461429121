/* The forms of errors: OpenAI's and Anthropic's (INTERFACE.md), as bodies and as events. */
#include "fcgi/base/sse.h"
#include "fcgi/base/text.h"
#include "fcgi/stage/answer.h"

#define OBJECT_MAX 8192

/* Types that only Anthropic has, and what OpenAI calls the same. Both call a faulty request and a rate alike. */
static const struct { const char *anthropic, *openai; } types[] = {
    {"authentication_error", "invalid_request_error"}, {"billing_error", "insufficient_quota"},
    {"permission_error", "invalid_request_error"}, {"not_found_error", "invalid_request_error"},
    {"conflict_error", "invalid_request_error"}, {"request_too_large", "invalid_request_error"},
    {"api_error", "server_error"}, {"timeout_error", "server_error"}, {"overloaded_error", "server_error"},
};

static bool is_common(const char *type)
{
    return strcmp(type, "invalid_request_error") == 0 || strcmp(type, "rate_limit_error") == 0;
}

/* An upstream's type in the words of the caller's family; NULL: it says nothing there. */
static const char *type_for(bool anthropic, const char *type)
{
    if (is_common(type)) return type;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(type, types[i].anthropic) == 0) return anthropic ? type : types[i].openai;
    if (!anthropic) return *type ? type : NULL;
    if (strcmp(type, "insufficient_quota") == 0) return "rate_limit_error";
    return strstr(type, "unavailable") || strstr(type, "overloaded") ? "overloaded_error" : NULL;
}

struct error_words answer_error_words(bool anthropic, const struct problem *p, const struct fault *f)
{
    const struct weir_err_info *info = weir_err_info(p->err);
    const char *standard = anthropic ? info->anthropic : info->type;
    if (!f || !*f->message)
        return (struct error_words){*p->text ? p->text : info->text, standard, p->param, info->code};
    const char *type = type_for(anthropic, f->type);
    return (struct error_words){f->message, type ? type : standard, f->param, f->code};
}

static void text_or_null(struct buf *out, const char *lead, const char *text)
{
    buf_str(out, lead);
    json_string(out, text && *text ? span_of(text) : SPAN_NONE);
}

static void openai_object(const struct error_words *w, struct buf *out)
{
    text_or_null(out, "{\"message\":", w->message);
    text_or_null(out, ",\"type\":", w->type);
    text_or_null(out, ",\"param\":", w->param);
    text_or_null(out, ",\"code\":", w->code);
    buf_char(out, '}');
}

/* The field at fault has no member of its own there; our sentences name it. */
static void anthropic_body(const struct error_words *w, const char *request_id, struct buf *out)
{
    text_or_null(out, "{\"type\":\"error\",\"error\":{\"type\":", w->type);
    text_or_null(out, ",\"message\":", w->message);
    text_or_null(out, "},\"request_id\":", request_id);
    buf_char(out, '}');
}

void answer_error_body(bool anthropic, const char *request_id, const struct problem *p, const struct fault *f,
                       struct buf *out)
{
    const struct error_words w = answer_error_words(anthropic, p, f);
    if (anthropic) {
        anthropic_body(&w, request_id, out);
        return;
    }
    buf_str(out, "{\"error\":");
    openai_object(&w, out);
    buf_char(out, '}');
}

/* Flat as the event is specified, and with the object besides that the SDKs look for when they raise. */
static void responses_event(const struct error_words *w, int64_t sequence, struct buf *out)
{
    buf_printf(out, "{\"type\":\"error\",\"sequence_number\":%lld", (long long)sequence + 1);
    text_or_null(out, ",\"code\":", w->code);
    text_or_null(out, ",\"message\":", w->message);
    text_or_null(out, ",\"param\":", w->param);
    buf_str(out, ",\"error\":");
    openai_object(w, out);
    buf_char(out, '}');
}

void answer_error_event(enum face face, const char *request_id, const struct problem *p, const struct fault *f,
                        int64_t sequence, struct buf *out)
{
    const struct error_words w = answer_error_words(face == FACE_MESSAGES, p, f);
    struct buf object;
    buf_init(&object, OBJECT_MAX);
    if (face == FACE_RESPONSES) responses_event(&w, sequence, &object);
    else answer_error_body(face == FACE_MESSAGES, request_id, p, f, &object);
    if (object.err) out->err = object.err;
    if (face == FACE_RESPONSES || face == FACE_MESSAGES) sse_event_data(out, "error", buf_all(&object));
    else sse_data(out, buf_all(&object));
    buf_free(&object);
}
