/* The values that requests of several faces have alike: content, images, tool arguments, lists of strings, tools, and the
 * forms that OpenAI's faces share. */
#include "fcgi/provider/translate.h"

#define ARGUMENTS_DEPTH 56 /* of a tool call: a request's own brackets go around them */

bool reader_content(struct reader *r, struct jval content, unsigned allowed, part_reader *read, struct part_list *to)
{
    struct span key;
    struct jval v;
    if (content.kind == JSON_STRING) {
        struct part *part = reader_part(r, to, PART_TEXT);
        if (part) part->text = quoted(content);
        return part;
    }
    if (content.kind != JSON_ARRAY) return reader_must(r, content, "a string or an array of parts");
    struct jiter it = jscan_iter(content);
    while (jscan_next(&it, &key, &v))
        if (!read(r, v, allowed, to)) return false;
    return true;
}

bool reader_typed_part(struct reader *r, struct jval v, unsigned allowed, const struct part_type *types,
                       struct part_list *to)
{
    if (v.kind != JSON_OBJECT) return reader_must(r, v, "an object");
    struct jval type = jscan_find(v, "type");
    if (type.kind != JSON_STRING) return reader_lacks(r, v, "type", "a string");
    while (types->name && !jval_is(type, types->name)) types++;
    if (!types->name || !(allowed & KIND(types->kind))) return reader_untranslatable(r, type);
    if (!types->read) return true;
    struct part *part = reader_part(r, to, types->kind);
    return part && types->read(r, v, part);
}

bool reader_refusal(struct reader *r, struct jval v, struct part *part)
{
    static const struct member known[] = {{"refusal", A_STRING, USE_READ, NULL}, {"type", 0, USE_NOTHING, NULL}};
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[0])) return reader_lacks(r, v, "refusal", "a string");
    part->text = quoted(at[0]);
    return true;
}

bool reader_tools(struct reader *r, struct jval v, tool_reader *read)
{
    struct span key;
    struct jval one;
    if (!is_given(v)) return true;
    struct tool *tools = reader_pieces(r, v, jscan_count(v), sizeof *tools);
    if (!tools) return false;
    r->out->tools = tools;
    struct jiter it = jscan_iter(v);
    while (jscan_next(&it, &key, &one))
        if (!read(r, one, &tools[r->out->tool_count++])) return false;
    return true;
}

static const char *find(struct span in, const char *what)
{
    return in.len ? memmem(in.at, in.len, what, strlen(what)) : NULL;
}

/* RFC 2397, the base64 form; a slash of the type or the data may be escaped and stays so. */
bool reader_image(struct reader *r, struct jval url, struct part *part)
{
    struct span text = quoted(url);
    part->kind = PART_IMAGE_URL;
    part->text = text;
    if (text.len < 5 || strncasecmp(text.at, "data:", 5) != 0) return true;
    const char *comma = memchr(text.at, ',', text.len);
    struct span head = {text.at + 5, comma ? (size_t)(comma - text.at) - 5 : 0};
    if (!comma || head.len < 7 || strncasecmp(comma - 7, ";base64", 7) != 0 || *head.at == ';')
        return reader_must(r, url, "an address, or data:TYPE;base64,DATA");
    const char *parameters = find(head, ";");
    part->kind = PART_IMAGE_DATA;
    part->media = (struct span){head.at, (size_t)(parameters - head.at)};
    part->text = (struct span){comma + 1, (size_t)(text.at + text.len - comma) - 1};
    return true;
}

/* The string's meaning, in the request's memory if it has escapes. */
static bool meaning_of(struct reader *r, struct jval text, struct span *out)
{
    struct buf plain;
    *out = quoted(text);
    if (!memchr(out->at, '\\', out->len)) return true;
    buf_init(&plain, text.text.len); /* no escape is shorter than what it stands for */
    if (jval_string(text, &plain) == WEIR_OK) *out = (struct span){arena_str(r->arena, buf_all(&plain)), plain.len};
    else out->at = NULL;
    buf_free(&plain);
    return out->at || reader_nomem(r);
}

bool reader_arguments(struct reader *r, struct jval text, struct part *call)
{
    struct span plain;
    struct jval root = {JSON_ABSENT, SPAN_NONE};
    struct jfault fault;
    if (!meaning_of(r, text, &plain)) return false;
    if (plain.len == 0) {
        call->json = SPAN("{}");
        return true;
    }
    if (jscan_check(plain, ARGUMENTS_DEPTH, &root, &fault) != WEIR_OK || root.kind != JSON_OBJECT)
        return reader_must(r, text, "a JSON object, written as a string");
    call->json = root.text;
    return true;
}

bool reader_strings(struct reader *r, struct jval v, const struct span **at, int *count)
{
    struct span key;
    struct jval one;
    if (!is_given(v)) return true;
    size_t n = v.kind == JSON_STRING ? 1 : jscan_count(v);
    struct span *to = reader_pieces(r, v, n, sizeof *to);
    if (!to) return false;
    *at = to;
    *count = (int)n;
    if (v.kind == JSON_STRING) *to = quoted(v);
    struct jiter it = jscan_iter(v);
    while (jscan_next(&it, &key, &one)) {
        if (one.kind != JSON_STRING) return reader_must(r, one, "a string");
        *to++ = quoted(one);
    }
    return true;
}

bool reader_stream_options(struct reader *r, struct jval options)
{
    static const struct member known[] = {
        {"include_usage", 0, USE_NOTHING, NULL},       /* read by the parse stage */
        {"include_obfuscation", 0, USE_NOTHING, NULL}, /* padding of events that are Weir's own here */
    };
    struct jval at[sizeof known / sizeof *known];
    return !is_given(options) || TAKE(r, options, known, at);
}

bool reader_tool_choice_word(struct reader *r, struct jval choice)
{
    static const char *const words[] = {"auto", "none", "required", NULL};
    static const enum tool_choice means[] = {CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED};
    int i = word_of(choice, words);
    if (i < 0) return reader_must(r, choice, "\"auto\", \"none\", \"required\" or an object");
    r->out->choice = means[i];
    return true;
}

bool reader_json_schema(struct reader *r, struct jval object)
{
    enum { NAME, DESCRIPTION, SCHEMA, STRICT };
    static const struct member known[] = {
        [NAME] = {"name", A_STRING, USE_READ, NULL},
        [DESCRIPTION] = {"description", A_STRING, USE_READ, NULL},
        [SCHEMA] = {"schema", AN_OBJECT, USE_READ, NULL},
        [STRICT] = {"strict", A_BOOLEAN, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL}, /* known: it led here */
    };
    struct jval at[sizeof known / sizeof *known];
    struct conversation *c = r->out;
    if (!TAKE(r, object, known, at)) return false;
    if (!is_given(at[NAME])) return reader_lacks(r, object, "name", "a string");
    if (!is_given(at[SCHEMA])) return reader_lacks(r, object, "schema", "an object");
    c->format = FORMAT_SCHEMA;
    c->format_name = quoted(at[NAME]);
    c->format_description = quoted(at[DESCRIPTION]);
    c->format_schema = json_of(at[SCHEMA]);
    c->format_strict = at[STRICT].kind == JSON_TRUE;
    return true;
}
