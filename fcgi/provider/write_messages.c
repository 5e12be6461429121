/* Writes a conversation as a Messages request, Anthropic's: system first and by itself, the speakers in turn (neighbours
 * of the same speaker become one message, tool results first in it), and never a text that is only white space. */
#include "fcgi/provider/translate.h"

#include "fcgi/base/text.h"

/* ---- system ---- */

static bool next_system(const struct conversation *c, int *message, int *part, const struct part **out)
{
    for (; *message < c->message_count; ++*message, *part = 0) {
        const struct message *m = &c->messages[*message];
        while (m->speaker == SPEAKER_SYSTEM && *part < m->part_count) {
            *out = &m->parts[(*part)++];
            if (says_something(*out)) return true;
        }
    }
    return false;
}

/* One text, joined by line ends; blocks only where one of them bears a mark for the cache. */
static void put_system(const struct conversation *c, struct buf *out)
{
    const struct part *part;
    bool first = true, marked = false;
    for (int m = 0, k = 0; next_system(c, &m, &k, &part);) marked |= part->cache_control.at != NULL;
    for (int m = 0, k = 0; next_system(c, &m, &k, &part); first = false) {
        if (first) buf_str(out, marked ? ",\"system\":[{\"type\":\"text\",\"text\":\"" : ",\"system\":\"");
        else buf_str(out, marked ? ",{\"type\":\"text\",\"text\":\"\\n" : "\\n");
        buf_span(out, part->text);
        if (!marked) continue;
        buf_char(out, '"');
        put_json(out, "cache_control", part->cache_control);
        buf_char(out, '}');
    }
    if (!first) buf_char(out, marked ? ']' : '"');
}

/* ---- blocks ---- */

static void put_image(const struct part *part, struct buf *out)
{
    if (part->kind == PART_IMAGE_URL) {
        buf_str(out, "{\"type\":\"image\",\"source\":{\"type\":\"url\"");
        put_text(out, "url", part->text);
    } else {
        buf_str(out, "{\"type\":\"image\",\"source\":{\"type\":\"base64\"");
        put_text(out, "media_type", part->media);
        put_text(out, "data", part->text);
    }
    buf_char(out, '}');
}

static void put_result(const struct part *result, struct buf *out);

static void put_block(const struct part *part, struct buf *out, bool *first)
{
    put_comma(out, first);
    switch (part->kind) {
    case PART_TEXT:
    case PART_REFUSAL: /* what was said, to who has no other word for it */
        buf_str(out, "{\"type\":\"text\"");
        put_text(out, "text", part->text);
        break;
    case PART_REASONING:
        buf_str(out, "{\"type\":\"thinking\"");
        put_text(out, "thinking", part->text);
        put_text(out, "signature", part->signature);
        break;
    case PART_IMAGE_DATA:
    case PART_IMAGE_URL:
        put_image(part, out);
        break;
    case PART_TOOL_CALL:
        buf_str(out, "{\"type\":\"tool_use\"");
        put_text(out, "id", part->id);
        put_text(out, "name", part->name);
        put_json(out, "input", part->json);
        break;
    case PART_TOOL_RESULT:
        put_result(part, out);
        break;
    }
    put_json(out, "cache_control", part->cache_control);
    buf_char(out, '}');
}

static void put_result(const struct part *result, struct buf *out)
{
    bool first = true;
    buf_str(out, "{\"type\":\"tool_result\"");
    put_text(out, "tool_use_id", result->id);
    if (result->failed) buf_str(out, ",\"is_error\":true");
    for (int i = 0; i < result->inside_count; i++) {
        if (!says_something(&result->inside[i])) continue;
        if (first) buf_str(out, ",\"content\":[");
        put_block(&result->inside[i], out, &first);
    }
    if (!first) buf_char(out, ']');
}

/* ---- messages ---- */

static bool takes_part(const struct message *m)
{
    for (int i = 0; m->speaker != SPEAKER_SYSTEM && i < m->part_count; i++)
        if (says_something(&m->parts[i])) return true;
    return false;
}

/* The end of the run that begins at `from`, a message that says something: all of one speaker, and those between them
 * that say nothing. */
static int run_end(const struct conversation *c, int from)
{
    int i = from;
    while (i < c->message_count &&
           (c->messages[i].speaker == c->messages[from].speaker || !takes_part(&c->messages[i]))) i++;
    return i;
}

static void put_blocks(const struct conversation *c, int from, int end, bool results, struct buf *out, bool *first)
{
    for (int i = from; i < end; i++) {
        const struct message *m = &c->messages[i];
        for (int k = 0; m->speaker != SPEAKER_SYSTEM && k < m->part_count; k++)
            if ((m->parts[k].kind == PART_TOOL_RESULT) == results && says_something(&m->parts[k]))
                put_block(&m->parts[k], out, first);
    }
}

static void put_messages(const struct conversation *c, struct buf *out)
{
    bool first = true;
    buf_str(out, ",\"messages\":[");
    for (int i = 0, end; i < c->message_count; i = end) {
        end = i + 1;
        if (!takes_part(&c->messages[i])) continue;
        end = run_end(c, i);
        bool first_block = true;
        put_comma(out, &first);
        buf_str(out, c->messages[i].speaker == SPEAKER_USER ? "{\"role\":\"user\",\"content\":["
                                                            : "{\"role\":\"assistant\",\"content\":[");
        put_blocks(c, i, end, true, out, &first_block);
        put_blocks(c, i, end, false, out, &first_block);
        buf_str(out, "]}");
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
        buf_str(out, i ? ",{\"name\":\"" : "{\"name\":\"");
        buf_span(out, t->name);
        buf_char(out, '"');
        put_text(out, "description", t->description);
        put_json(out, "input_schema", t->schema.at ? t->schema : SPAN("{\"type\":\"object\",\"properties\":{}}"));
        if (t->strict) buf_str(out, ",\"strict\":true");
        put_json(out, "cache_control", t->cache_control);
        buf_char(out, '}');
    }
    buf_char(out, ']');
}

/* Without tools there is nothing to choose from: what then asks for none of them is left out. */
static void put_tool_choice(const struct conversation *c, struct buf *out)
{
    static const char *const types[] = {[CHOICE_UNSET] = "auto", [CHOICE_AUTO] = "auto", [CHOICE_NONE] = "none",
                                        [CHOICE_REQUIRED] = "any", [CHOICE_NAMED] = "tool"};
    bool forced = c->choice == CHOICE_REQUIRED || c->choice == CHOICE_NAMED;
    bool one_by_one = c->parallel == SAID_NO && c->choice != CHOICE_NONE;
    if (!forced && !c->tool_count) return;
    if (c->choice == CHOICE_UNSET && !one_by_one) return;
    buf_str(out, ",\"tool_choice\":{\"type\":\"");
    buf_str(out, types[c->choice]);
    buf_char(out, '"');
    if (c->choice == CHOICE_NAMED) put_text(out, "name", c->chosen);
    if (one_by_one) buf_str(out, ",\"disable_parallel_tool_use\":true");
    buf_char(out, '}');
}

static void put_stops(const struct conversation *c, struct buf *out)
{
    bool first = true;
    for (int i = 0; i < c->stop_count; i++) {
        if (is_blank_text(c->stops[i])) continue;
        buf_str(out, first ? ",\"stop_sequences\":[\"" : ",\"");
        first = false;
        buf_span(out, c->stops[i]);
        buf_char(out, '"');
    }
    if (!first) buf_char(out, ']');
}

/* No effort at all is, to Anthropic, not to think. */
static void put_output_config(const struct conversation *c, struct buf *out)
{
    bool none = span_is(c->effort, "none"), effort = c->effort.at && !none, schema = c->format == FORMAT_SCHEMA;
    if (none) buf_str(out, ",\"thinking\":{\"type\":\"disabled\"}");
    if (!effort && !schema) return;
    buf_str(out, ",\"output_config\":{");
    if (effort) {
        buf_str(out, "\"effort\":\"");
        buf_span(out, c->effort);
        buf_str(out, schema ? "\"," : "\"");
    }
    if (schema) {
        buf_str(out, "\"format\":{\"type\":\"json_schema\"");
        put_json(out, "schema", c->format_schema);
        buf_char(out, '}');
    }
    buf_char(out, '}');
}

void write_messages(const struct conversation *c, const struct write_options *o, struct buf *out)
{
    buf_str(out, "{\"model\":");
    json_string(out, span_of(o->model));
    buf_str(out, ",\"max_tokens\":");
    buf_int(out, o->max_output >= 0 ? o->max_output : o->default_max_output);
    put_system(c, out);
    put_messages(c, out);
    put_tools(c, out);
    put_tool_choice(c, out);
    put_output_config(c, out);
    put_stops(c, out);
    put_json(out, "temperature", c->temperature);
    put_json(out, "top_p", c->top_p);
    put_json(out, "top_k", c->top_k);
    if (c->user.at) {
        buf_str(out, ",\"metadata\":{\"user_id\":\"");
        buf_span(out, c->user);
        buf_str(out, "\"}");
    }
    if (o->stream) buf_str(out, ",\"stream\":true");
    buf_char(out, '}');
}
