/* Writes a conversation as a chat completion request, OpenAI's. A tool's results become messages of role tool, each right
 * behind the call's; the images that chat's results have no place for follow as the user's. */
#include "fcgi/provider/translate.h"

#include "fcgi/base/text.h"

#define TEXTS  (KIND(PART_TEXT) | KIND(PART_REFUSAL))
#define IMAGES (KIND(PART_IMAGE_DATA) | KIND(PART_IMAGE_URL))

static void put_image(const struct part *part, struct buf *out)
{
    buf_str(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":\"");
    if (part->kind == PART_IMAGE_DATA) {
        buf_str(out, "data:");
        buf_span(out, part->media);
        buf_str(out, ";base64,");
    }
    buf_span(out, part->text);
    buf_char(out, '"');
    put_text(out, "detail", part->detail);
    buf_str(out, "}}");
}

static void put_part(const struct part *part, struct buf *out, bool *first)
{
    put_comma(out, first);
    if (KIND(part->kind) & IMAGES) {
        put_image(part, out);
        return;
    }
    buf_str(out, part->kind == PART_REFUSAL ? "{\"type\":\"refusal\"" : "{\"type\":\"text\"");
    put_text(out, part->kind == PART_REFUSAL ? "refusal" : "text", part->text);
    buf_char(out, '}');
}

static int count_parts(const struct part *parts, int count, unsigned kinds, const struct part **last)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (!(kinds & KIND(parts[i].kind))) continue;
        *last = &parts[i];
        n++;
    }
    return n;
}

/* The plain form where it is possible: not every compatible server knows parts for every role. */
static void put_content(const struct part *parts, int count, unsigned kinds, struct buf *out)
{
    const struct part *last = NULL;
    int n = count_parts(parts, count, kinds, &last);
    bool first = true;
    if (n == 0 || (n == 1 && last->kind == PART_TEXT)) {
        put_text(out, "content", n ? last->text : SPAN(""));
        return;
    }
    buf_str(out, ",\"content\":[");
    for (int i = 0; i < count; i++)
        if (kinds & KIND(parts[i].kind)) put_part(&parts[i], out, &first);
    buf_char(out, ']');
}

/* ---- messages ---- */

/* Chat has no mark for a call that failed: it is said in words. */
static void put_failure(const struct part *result, struct buf *out)
{
    buf_str(out, ",\"content\":\"Error:");
    for (int i = 0; i < result->inside_count; i++) {
        if (result->inside[i].kind != PART_TEXT) continue;
        buf_str(out, i ? "\\n" : " ");
        buf_span(out, result->inside[i].text);
    }
    buf_char(out, '"');
}

static void put_result(const struct part *result, struct buf *out, bool *first)
{
    put_comma(out, first);
    buf_str(out, "{\"role\":\"tool\"");
    put_text(out, "tool_call_id", result->id);
    if (result->failed) put_failure(result, out);
    else put_content(result->inside, result->inside_count, KIND(PART_TEXT), out);
    buf_char(out, '}');
}

static bool result_has_image(const struct part *result)
{
    const struct part *last;
    return result->kind == PART_TOOL_RESULT && count_parts(result->inside, result->inside_count, IMAGES, &last) > 0;
}

static void put_result_images(const struct message *m, struct buf *out, bool *first)
{
    for (int i = 0; i < m->part_count; i++)
        for (int k = 0; k < m->parts[i].inside_count; k++)
            if (IMAGES & KIND(m->parts[i].inside[k].kind)) put_part(&m->parts[i].inside[k], out, first);
}

static void put_user(const struct message *m, struct buf *out, bool *first)
{
    int results = 0, with_image = 0;
    bool first_part = true;
    for (int i = 0; i < m->part_count; i++) {
        if (m->parts[i].kind != PART_TOOL_RESULT) continue;
        put_result(&m->parts[i], out, first);
        results++;
        with_image += result_has_image(&m->parts[i]);
    }
    if (results && results == m->part_count && !with_image) return;
    put_comma(out, first);
    buf_str(out, "{\"role\":\"user\"");
    put_text(out, "name", m->name);
    if (!with_image) {
        put_content(m->parts, m->part_count, TEXTS | IMAGES, out);
    } else {
        buf_str(out, ",\"content\":[");
        put_result_images(m, out, &first_part);
        for (int i = 0; i < m->part_count; i++)
            if (m->parts[i].kind != PART_TOOL_RESULT) put_part(&m->parts[i], out, &first_part);
        buf_char(out, ']');
    }
    buf_char(out, '}');
}

static void put_call(const struct part *call, struct buf *out)
{
    buf_str(out, "{\"type\":\"function\"");
    put_text(out, "id", call->id);
    buf_str(out, ",\"function\":{\"name\":\"");
    buf_span(out, call->name);
    buf_str(out, "\",\"arguments\":");
    json_string(out, call->json);
    buf_str(out, "}}");
}

static void put_assistant(const struct message *m, struct buf *out, bool *first)
{
    const struct part *last;
    int calls = count_parts(m->parts, m->part_count, KIND(PART_TOOL_CALL), &last);
    bool first_call = true;
    put_comma(out, first);
    buf_str(out, "{\"role\":\"assistant\"");
    put_text(out, "name", m->name);
    if (calls && !count_parts(m->parts, m->part_count, TEXTS, &last)) buf_str(out, ",\"content\":null");
    else put_content(m->parts, m->part_count, TEXTS, out);
    if (calls) buf_str(out, ",\"tool_calls\":[");
    for (int i = 0; calls && i < m->part_count; i++) {
        if (m->parts[i].kind != PART_TOOL_CALL) continue;
        put_comma(out, &first_call);
        put_call(&m->parts[i], out);
    }
    buf_str(out, calls ? "]}" : "}");
}

static void put_messages(const struct conversation *c, struct buf *out)
{
    bool first = true;
    buf_str(out, ",\"messages\":[");
    for (int i = 0; i < c->message_count; i++) {
        const struct message *m = &c->messages[i];
        switch (m->speaker) {
        case SPEAKER_USER: put_user(m, out, &first); break;
        case SPEAKER_ASSISTANT: put_assistant(m, out, &first); break;
        case SPEAKER_SYSTEM:
            put_comma(out, &first);
            buf_str(out, "{\"role\":\"system\"");
            put_text(out, "name", m->name);
            put_content(m->parts, m->part_count, TEXTS, out);
            buf_char(out, '}');
            break;
        }
    }
    buf_char(out, ']');
}

/* ---- tools and options ---- */

static void put_tools(const struct conversation *c, struct buf *out)
{
    if (!c->tool_count) return;
    buf_str(out, ",\"tools\":[");
    for (int i = 0; i < c->tool_count; i++) {
        const struct tool *t = &c->tools[i];
        if (i) buf_char(out, ',');
        buf_str(out, "{\"type\":\"function\",\"function\":{\"name\":\"");
        buf_span(out, t->name);
        buf_char(out, '"');
        put_text(out, "description", t->description);
        put_json(out, "parameters", t->schema);
        if (t->strict) buf_str(out, ",\"strict\":true");
        buf_str(out, "}}");
    }
    buf_char(out, ']');
}

static void put_tool_choice(const struct conversation *c, struct buf *out)
{
    switch (c->choice) {
    case CHOICE_UNSET: break;
    case CHOICE_AUTO: buf_str(out, ",\"tool_choice\":\"auto\""); break;
    case CHOICE_NONE: buf_str(out, ",\"tool_choice\":\"none\""); break;
    case CHOICE_REQUIRED: buf_str(out, ",\"tool_choice\":\"required\""); break;
    case CHOICE_NAMED:
        buf_str(out, ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"");
        buf_span(out, c->chosen);
        buf_str(out, "\"}}");
        break;
    }
    if (c->parallel != SAID_NOTHING && c->tool_count)
        put_json(out, "parallel_tool_calls", c->parallel == SAID_YES ? SPAN("true") : SPAN("false"));
}

static void put_format(const struct conversation *c, struct buf *out)
{
    switch (c->format) {
    case FORMAT_UNSET: break;
    case FORMAT_TEXT: buf_str(out, ",\"response_format\":{\"type\":\"text\"}"); break;
    case FORMAT_OBJECT: buf_str(out, ",\"response_format\":{\"type\":\"json_object\"}"); break;
    case FORMAT_SCHEMA: /* Anthropic's schemas have no name, and chat's must */
        buf_str(out, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"");
        buf_span(out, c->format_name.at ? c->format_name : SPAN("answer"));
        buf_char(out, '"');
        put_text(out, "description", c->format_description);
        put_json(out, "schema", c->format_schema);
        buf_str(out, c->format_strict ? ",\"strict\":true}}" : "}}");
        break;
    }
}

static void put_stops(const struct conversation *c, struct buf *out)
{
    if (!c->stop_count) return;
    buf_str(out, ",\"stop\":[\"");
    for (int i = 0; i < c->stop_count; i++) {
        if (i) buf_str(out, "\",\"");
        buf_span(out, c->stops[i]);
    }
    buf_str(out, "\"]");
}

void write_chat(const struct conversation *c, const struct write_options *o, struct buf *out)
{
    buf_str(out, "{\"model\":");
    json_string(out, span_of(o->model));
    put_messages(c, out);
    put_tools(c, out);
    put_tool_choice(c, out);
    put_format(c, out);
    put_stops(c, out);
    put_json(out, "temperature", c->temperature);
    put_json(out, "top_p", c->top_p);
    put_text(out, "reasoning_effort", c->effort);
    put_text(out, "user", c->user);
    for (int i = 0; i < c->extra_count; i++) put_json(out, c->extras[i].field, c->extras[i].value.text);
    if (o->max_output >= 0) {
        buf_str(out, ",\"");
        buf_str(out, o->maximum_name);
        buf_str(out, "\":");
        buf_int(out, o->max_output);
    }
    if (o->stream) buf_str(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    buf_char(out, '}');
}
