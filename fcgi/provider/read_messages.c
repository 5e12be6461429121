/* Reads Anthropic's Messages into a conversation. Tools that run at Anthropic's, documents and what lies in its stores are
 * refused. What thinking may cost becomes an effort; earlier thinking is kept for who signed it. */
#include "fcgi/provider/translate.h"

#define EFFORT_LOW    4096  /* a budget of thinking tokens up to here is a low effort ... */
#define EFFORT_MEDIUM 16384 /* ... and up to here a medium one */

/* ---- blocks ---- */

static bool read_text_block(struct reader *r, struct jval v, struct part *part)
{
    enum { TEXT, CACHE };
    static const struct member known[] = {
        [TEXT] = {"text", A_STRING, USE_READ, NULL},
        [CACHE] = {"cache_control", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
        {"citations", 0, USE_NOTHING, NULL}, /* notes on an answer that clients send back */
    };
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[TEXT])) return reader_lacks(r, v, "text", "a string");
    part->text = quoted(at[TEXT]);
    part->cache_control = json_of(at[CACHE]);
    return true;
}

static bool read_source(struct reader *r, struct jval v, struct part *part)
{
    enum { MEDIA, BASE64, URL };
    static const struct member known[] = {
        [MEDIA] = {"media_type", A_STRING, USE_READ, NULL},
        [BASE64] = {"data", A_STRING, USE_READ, NULL},
        [URL] = {"url", A_STRING, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known], type = jscan_find(v, "type");
    if (type.kind != JSON_STRING) return reader_lacks(r, v, "type", "a string");
    bool address = jval_is(type, "url");
    if (!address && !jval_is(type, "base64")) return reader_untranslatable(r, type);
    if (!TAKE(r, v, known, at)) return false;
    if (address && !is_given(at[URL])) return reader_lacks(r, v, "url", "a string");
    if (address) return reader_image(r, at[URL], part);
    if (!is_given(at[MEDIA])) return reader_lacks(r, v, "media_type", "a string");
    if (!is_given(at[BASE64])) return reader_lacks(r, v, "data", "a string");
    part->kind = PART_IMAGE_DATA;
    part->media = quoted(at[MEDIA]);
    part->text = quoted(at[BASE64]);
    bool plain = part->media.len && !memchr(part->media.at, ',', part->media.len) &&
                 !memchr(part->media.at, ';', part->media.len);
    return plain || reader_must(r, at[MEDIA], "a media type like image/png"); /* it goes into a data: URL */
}

static bool read_image_block(struct reader *r, struct jval v, struct part *part)
{
    enum { SOURCE, CACHE };
    static const struct member known[] = {
        [SOURCE] = {"source", AN_OBJECT, USE_READ, NULL},
        [CACHE] = {"cache_control", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[SOURCE])) return reader_lacks(r, v, "source", "an object");
    part->cache_control = json_of(at[CACHE]);
    return read_source(r, at[SOURCE], part);
}

static bool read_thinking_block(struct reader *r, struct jval v, struct part *part)
{
    enum { THINKING, SIGNATURE };
    static const struct member known[] = {
        [THINKING] = {"thinking", A_STRING, USE_READ, NULL},
        [SIGNATURE] = {"signature", A_STRING, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[THINKING])) return reader_lacks(r, v, "thinking", "a string");
    part->text = quoted(at[THINKING]);
    part->signature = quoted(at[SIGNATURE]);
    return true;
}

static bool read_use_block(struct reader *r, struct jval v, struct part *part)
{
    enum { ID, NAME, INPUT, CACHE };
    static const struct member known[] = {
        [ID] = {"id", A_STRING, USE_READ, NULL},
        [NAME] = {"name", A_STRING, USE_READ, NULL},
        [INPUT] = {"input", AN_OBJECT, USE_READ, NULL},
        [CACHE] = {"cache_control", AN_OBJECT, USE_READ, NULL},
        {"caller", AN_OBJECT, USE_NOWHERE, "{\"type\":\"direct\"}"},
        {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[ID])) return reader_lacks(r, v, "id", "a string");
    if (!is_given(at[NAME])) return reader_lacks(r, v, "name", "a string");
    if (!is_given(at[INPUT])) return reader_lacks(r, v, "input", "an object");
    part->id = quoted(at[ID]);
    part->name = quoted(at[NAME]);
    part->json = at[INPUT].text;
    part->cache_control = json_of(at[CACHE]);
    return true;
}

static bool read_block(struct reader *r, struct jval v, unsigned allowed, struct part_list *to);

static bool read_result_block(struct reader *r, struct jval v, struct part *part)
{
    enum { ID, CONTENT, FAILED, CACHE };
    static const struct member known[] = {
        [ID] = {"tool_use_id", A_STRING, USE_READ, NULL},
        [CONTENT] = {"content", A_STRING | A_LIST, USE_READ, NULL},
        [FAILED] = {"is_error", A_BOOLEAN, USE_READ, NULL},
        [CACHE] = {"cache_control", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    struct part_list inside = {NULL, 0, 0};
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[ID])) return reader_lacks(r, v, "tool_use_id", "a string");
    if (is_given(at[CONTENT]) &&
        !reader_content(r, at[CONTENT], KIND(PART_TEXT) | KIND(PART_IMAGE_URL), read_block, &inside)) return false;
    part->id = quoted(at[ID]);
    part->failed = at[FAILED].kind == JSON_TRUE;
    part->cache_control = json_of(at[CACHE]);
    part->inside = inside.at;
    part->inside_count = inside.count;
    return true;
}

static bool read_block(struct reader *r, struct jval v, unsigned allowed, struct part_list *to)
{
    static const struct part_type types[] = {
        {"text", PART_TEXT, read_text_block},
        {"image", PART_IMAGE_URL, read_image_block},
        {"tool_use", PART_TOOL_CALL, read_use_block},
        {"tool_result", PART_TOOL_RESULT, read_result_block},
        {"thinking", PART_REASONING, read_thinking_block},
        {"redacted_thinking", PART_REASONING, NULL}, /* sealed: only Anthropic could read it */
        {NULL, PART_TEXT, NULL},
    };
    return reader_typed_part(r, v, allowed, types, to);
}

/* ---- messages ---- */

static bool read_message(struct reader *r, struct jval v)
{
    enum { ROLE, CONTENT };
    static const struct member known[] = {
        [ROLE] = {"role", A_STRING, USE_READ, NULL},
        [CONTENT] = {"content", A_STRING | A_LIST, USE_READ, NULL},
    };
    static const unsigned of_user = KIND(PART_TEXT) | KIND(PART_IMAGE_URL) | KIND(PART_TOOL_RESULT);
    static const unsigned of_assistant = KIND(PART_TEXT) | KIND(PART_TOOL_CALL) | KIND(PART_REASONING);
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[ROLE])) return reader_lacks(r, v, "role", "a string");
    bool user = jval_is(at[ROLE], "user");
    if (!user && !jval_is(at[ROLE], "assistant")) return reader_must(r, at[ROLE], "\"user\" or \"assistant\"");
    if (!is_given(at[CONTENT])) return reader_lacks(r, v, "content", "a string or an array of blocks");
    return reader_message(r, user ? SPEAKER_USER : SPEAKER_ASSISTANT) &&
           reader_content(r, at[CONTENT], user ? of_user : of_assistant, read_block, &r->open);
}

static bool read_system(struct reader *r, struct jval v)
{
    if (!is_given(v)) return true;
    return reader_message(r, SPEAKER_SYSTEM) && reader_content(r, v, KIND(PART_TEXT), read_block, &r->open);
}

/* ---- tools ---- */

static bool read_tool(struct reader *r, struct jval v, struct tool *tool)
{
    enum { NAME, DESCRIPTION, SCHEMA, STRICT, CACHE };
    static const struct member known[] = {
        [NAME] = {"name", A_STRING, USE_READ, NULL},
        [DESCRIPTION] = {"description", A_STRING, USE_READ, NULL},
        [SCHEMA] = {"input_schema", AN_OBJECT, USE_READ, NULL},
        [STRICT] = {"strict", A_BOOLEAN, USE_READ, NULL},
        [CACHE] = {"cache_control", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
        {"eager_input_streaming", 0, USE_NOTHING, NULL}, /* only how soon the pieces come */
        {"defer_loading", A_BOOLEAN, USE_NOWHERE, "false"},
        {"input_examples", A_LIST, USE_NOWHERE, "[]"},
        {"allowed_callers", A_LIST, USE_NOWHERE, "[\"direct\"]"},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!reader_type(r, v, "custom") || !TAKE(r, v, known, at)) return false;
    if (!is_given(at[NAME])) return reader_lacks(r, v, "name", "a string");
    if (!is_given(at[SCHEMA])) return reader_lacks(r, v, "input_schema", "an object");
    *tool = (struct tool){.name = quoted(at[NAME]), .description = quoted(at[DESCRIPTION]), .schema = json_of(at[SCHEMA]),
                          .strict = at[STRICT].kind == JSON_TRUE, .cache_control = json_of(at[CACHE])};
    return true;
}

static bool read_tool_choice(struct reader *r, struct jval v)
{
    enum { NAME, SERIAL };
    static const struct member known[] = {
        [NAME] = {"name", A_STRING, USE_READ, NULL},
        [SERIAL] = {"disable_parallel_tool_use", A_BOOLEAN, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    static const char *const types[] = {"auto", "none", "any", "tool", NULL};
    static const enum tool_choice means[] = {CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED, CHOICE_NAMED};
    struct jval at[sizeof known / sizeof *known];
    if (!is_given(v)) return true;
    if (!TAKE(r, v, known, at)) return false;
    struct jval type = jscan_find(v, "type");
    if (type.kind != JSON_STRING) return reader_lacks(r, v, "type", "a string");
    int i = word_of(type, types);
    if (i < 0) return reader_must(r, type, "\"auto\", \"any\", \"tool\" or \"none\"");
    r->out->choice = means[i];
    r->out->chosen = quoted(at[NAME]);
    if (means[i] == CHOICE_NAMED && !is_given(at[NAME])) return reader_lacks(r, v, "name", "a string");
    if (means[i] != CHOICE_NAMED && is_given(at[NAME])) return reader_untranslatable(r, at[NAME]);
    if (is_given(at[SERIAL])) r->out->parallel = at[SERIAL].kind == JSON_TRUE ? SAID_NO : SAID_YES;
    return true;
}

/* ---- how to answer ---- */

static bool read_output_config(struct reader *r, struct jval v)
{
    enum { EFFORT, FORMAT };
    static const struct member known[] = {
        [EFFORT] = {"effort", A_STRING, USE_READ, NULL},
        [FORMAT] = {"format", AN_OBJECT, USE_READ, NULL},
    };
    static const struct member of_format[] = {{"schema", AN_OBJECT, USE_READ, NULL}, {"type", 0, USE_NOTHING, NULL}};
    struct jval at[sizeof known / sizeof *known], schema[sizeof of_format / sizeof *of_format];
    struct conversation *c = r->out;
    if (!is_given(v)) return true;
    if (!TAKE(r, v, known, at)) return false;
    if (is_given(at[EFFORT])) c->effort = quoted(at[EFFORT]);
    if (!is_given(at[FORMAT])) return true;
    if (!reader_type(r, at[FORMAT], "json_schema") || !TAKE(r, at[FORMAT], of_format, schema)) return false;
    if (!is_given(schema[0])) return reader_lacks(r, at[FORMAT], "schema", "an object");
    c->format = FORMAT_SCHEMA;
    c->format_at = at[FORMAT].text;
    c->format_schema = schema[0].text;
    c->format_strict = true; /* as Anthropic's always is */
    return true;
}

/* A budget is a share of the answer's tokens and an effort is a word: the nearest one that every OpenAI model knows. */
static bool read_thinking(struct reader *r, struct jval v)
{
    enum { BUDGET, DISPLAY };
    static const struct member known[] = {
        [BUDGET] = {"budget_tokens", A_NUMBER, USE_READ, NULL},
        [DISPLAY] = {"display", A_STRING, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    enum { DISABLED, ENABLED, ADAPTIVE };
    static const char *const types[] = {"disabled", "enabled", "adaptive", NULL};
    struct jval at[sizeof known / sizeof *known];
    int64_t budget;
    if (!is_given(v)) return true;
    if (!TAKE(r, v, known, at)) return false;
    struct jval type = jscan_find(v, "type");
    if (type.kind != JSON_STRING) return reader_lacks(r, v, "type", "a string");
    int i = word_of(type, types);
    if (i < 0) return reader_untranslatable(r, type);
    r->out->wants_reasoning = i != DISABLED && !jval_is(at[DISPLAY], "omitted");
    if (i != ENABLED) return true;
    if (!is_given(at[BUDGET])) return reader_lacks(r, v, "budget_tokens", "a whole number");
    if (!jval_int(at[BUDGET], &budget)) return reader_must(r, at[BUDGET], "a whole number");
    r->out->effort = budget <= EFFORT_LOW ? SPAN("low") : budget <= EFFORT_MEDIUM ? SPAN("medium") : SPAN("high");
    return true;
}

static bool read_metadata(struct reader *r, struct jval v)
{
    static const struct member known[] = {{"user_id", A_STRING, USE_READ, NULL}};
    struct jval at[1];
    if (!is_given(v)) return true;
    if (!TAKE(r, v, known, at)) return false;
    r->out->user = quoted(at[0]);
    return true;
}

/* To clear earlier thinking is no more than is done anyway; to clear anything else is Anthropic's own art. */
static bool read_context(struct reader *r, struct jval v)
{
    static const struct member known[] = {{"edits", A_LIST, USE_READ, NULL}};
    struct jval at[1], edit;
    struct span key;
    if (!is_given(v)) return true;
    if (!TAKE(r, v, known, at)) return false;
    struct jiter it = jscan_iter(at[0]);
    while (jscan_next(&it, &key, &edit)) {
        struct jval type = jscan_find(edit, "type");
        if (type.kind != JSON_STRING) return reader_lacks(r, edit, "type", "a string");
        if (!span_starts(quoted(type), "clear_thinking_")) return reader_untranslatable(r, type);
    }
    return true;
}

/* ---- the whole ---- */

bool read_messages(struct reader *r)
{
    enum { MESSAGES, SYSTEM, TOOLS, CHOICE, METADATA, STOPS, TEMPERATURE, TOP_P, TOP_K, THINKING, OUTPUT, CONTEXT };
    static const struct member known[] = {
        [MESSAGES] = {"messages", A_LIST, USE_READ, NULL},
        [SYSTEM] = {"system", A_STRING | A_LIST, USE_READ, NULL},
        [TOOLS] = {"tools", A_LIST, USE_READ, NULL},
        [CHOICE] = {"tool_choice", AN_OBJECT, USE_READ, NULL},
        [METADATA] = {"metadata", AN_OBJECT, USE_READ, NULL},
        [STOPS] = {"stop_sequences", A_LIST, USE_READ, NULL},
        [TEMPERATURE] = {"temperature", A_NUMBER, USE_READ, NULL},
        [TOP_P] = {"top_p", A_NUMBER, USE_READ, NULL},
        [TOP_K] = {"top_k", A_NUMBER, USE_READ, NULL},
        [THINKING] = {"thinking", AN_OBJECT, USE_READ, NULL},
        [OUTPUT] = {"output_config", AN_OBJECT, USE_READ, NULL},
        [CONTEXT] = {"context_management", AN_OBJECT, USE_READ, NULL},
        /* read by the parse stage */
        {"model", 0, USE_NOTHING, NULL}, {"stream", 0, USE_NOTHING, NULL}, {"max_tokens", 0, USE_NOTHING, NULL},
        {"cache_control", 0, USE_NOTHING, NULL}, /* marks the last block by itself */
        {"service_tier", A_STRING, USE_NOWHERE, "\"auto\""},
        {"mcp_servers", A_LIST, USE_NOWHERE, "[]"},
        {"container", A_STRING | AN_OBJECT, USE_NOWHERE, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    struct conversation *c = r->out;
    struct span key;
    struct jval v;
    if (!TAKE(r, r->chat->root, known, at) || !read_system(r, at[SYSTEM])) return false;
    struct jiter it = jscan_iter(at[MESSAGES]);
    while (jscan_next(&it, &key, &v))
        if (!read_message(r, v)) return false;
    c->temperature = json_of(at[TEMPERATURE]);
    c->top_p = json_of(at[TOP_P]);
    c->top_k = json_of(at[TOP_K]);
    return reader_tools(r, at[TOOLS], read_tool) && read_tool_choice(r, at[CHOICE]) && read_metadata(r, at[METADATA]) &&
           read_thinking(r, at[THINKING]) && read_output_config(r, at[OUTPUT]) && /* an effort in words comes last */
           read_context(r, at[CONTEXT]) && reader_strings(r, at[STOPS], &c->stops, &c->stop_count);
}
