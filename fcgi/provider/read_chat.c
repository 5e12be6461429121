/* Reads a chat completion request, OpenAI's, into a conversation. */
#include "fcgi/provider/translate.h"

#define KINDS_OF_SYSTEM    KIND(PART_TEXT)
#define KINDS_OF_USER      (KIND(PART_TEXT) | KIND(PART_IMAGE_URL))
#define KINDS_OF_ASSISTANT (KIND(PART_TEXT) | KIND(PART_REFUSAL))

/* ---- parts ---- */

/* cache_control is no field of OpenAI's, but how clients of this face mark what Anthropic is to cache. */
static bool read_text_part(struct reader *r, struct jval v, struct part *part)
{
    enum { TEXT, CACHE };
    static const struct member known[] = {
        [TEXT] = {"text", A_STRING, USE_READ, NULL},
        [CACHE] = {"cache_control", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[TEXT])) return reader_lacks(r, v, "text", "a string");
    part->text = quoted(at[TEXT]);
    part->cache_control = json_of(at[CACHE]);
    return true;
}

static bool read_image_part(struct reader *r, struct jval v, struct part *part)
{
    enum { IMAGE, CACHE };
    static const struct member known[] = {
        [IMAGE] = {"image_url", AN_OBJECT, USE_READ, NULL},
        [CACHE] = {"cache_control", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    enum { URL, DETAIL };
    static const struct member of_image[] = {
        [URL] = {"url", A_STRING, USE_READ, NULL},
        [DETAIL] = {"detail", A_STRING, USE_READ, "\"auto\""},
    };
    struct jval at[sizeof known / sizeof *known], image[sizeof of_image / sizeof *of_image];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[IMAGE])) return reader_lacks(r, v, "image_url", "an object");
    if (!TAKE(r, at[IMAGE], of_image, image)) return false;
    if (!is_given(image[URL])) return reader_lacks(r, at[IMAGE], "url", "a string");
    part->cache_control = json_of(at[CACHE]);
    part->detail = quoted(image[DETAIL]);
    return reader_image(r, image[URL], part);
}

static bool read_part(struct reader *r, struct jval v, unsigned allowed, struct part_list *to)
{
    static const struct part_type types[] = {
        {"text", PART_TEXT, read_text_part},
        {"image_url", PART_IMAGE_URL, read_image_part},
        {"refusal", PART_REFUSAL, reader_refusal},
        {NULL, PART_TEXT, NULL},
    };
    return reader_typed_part(r, v, allowed, types, to);
}

/* ---- messages ---- */

enum { M_ROLE, M_CONTENT, M_NAME, M_REFUSAL, M_REASONING, M_REASONING_TOO, M_CALLS, M_CALL_ID };
static const struct member of_message[] = {
    [M_ROLE] = {"role", A_STRING, USE_READ, NULL},
    [M_CONTENT] = {"content", A_STRING | A_LIST, USE_READ, NULL},
    [M_NAME] = {"name", A_STRING, USE_READ, NULL},
    [M_REFUSAL] = {"refusal", A_STRING, USE_READ, NULL},
    [M_REASONING] = {"reasoning_content", A_STRING, USE_READ, NULL}, /* both de facto names: WIRE.md 1 */
    [M_REASONING_TOO] = {"reasoning", A_STRING, USE_READ, NULL},
    [M_CALLS] = {"tool_calls", A_LIST, USE_READ, "[]"},
    [M_CALL_ID] = {"tool_call_id", A_STRING, USE_READ, NULL},
    {"function_call", ANYTHING, USE_NOWHERE, NULL}, /* tool_calls replaced it */
    {"audio", ANYTHING, USE_NOWHERE, NULL},
    {"annotations", 0, USE_NOTHING, NULL}, /* notes on an answer that clients send back: no model reads them */
};
#define M_COUNT (sizeof of_message / sizeof *of_message)

static bool add_text(struct reader *r, enum part_kind kind, struct jval text)
{
    if (text.kind != JSON_STRING || text.text.len == 2) return true;
    struct part *part = reader_part(r, &r->open, kind);
    if (part) part->text = quoted(text);
    return part;
}

static bool read_call(struct reader *r, struct jval v)
{
    enum { ID, FUNCTION };
    static const struct member of_call[] = {
        [ID] = {"id", A_STRING, USE_READ, NULL},
        [FUNCTION] = {"function", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
        {"index", 0, USE_NOTHING, NULL},         /* left over from a stream */
        {"extra_content", 0, USE_NOTHING, NULL}, /* Gemini's signature, which only Gemini reads (WIRE.md 3) */
    };
    enum { NAME, ARGUMENTS };
    static const struct member of_function[] = {
        [NAME] = {"name", A_STRING, USE_READ, NULL},
        [ARGUMENTS] = {"arguments", A_STRING, USE_READ, NULL},
    };
    struct jval at[sizeof of_call / sizeof *of_call], f[sizeof of_function / sizeof *of_function];
    if (!reader_type(r, v, "function") || !TAKE(r, v, of_call, at)) return false;
    if (!is_given(at[ID])) return reader_lacks(r, v, "id", "a string");
    if (!is_given(at[FUNCTION])) return reader_lacks(r, v, "function", "an object");
    if (!TAKE(r, at[FUNCTION], of_function, f)) return false;
    if (!is_given(f[NAME])) return reader_lacks(r, at[FUNCTION], "name", "a string");
    if (!is_given(f[ARGUMENTS])) return reader_lacks(r, at[FUNCTION], "arguments", "a string");
    struct part *call = reader_part(r, &r->open, PART_TOOL_CALL);
    if (!call) return false;
    call->id = quoted(at[ID]);
    call->name = quoted(f[NAME]);
    return reader_arguments(r, f[ARGUMENTS], call);
}

static bool read_assistant(struct reader *r, const struct jval at[M_COUNT])
{
    struct span key;
    struct jval v;
    struct message *m = reader_message(r, SPEAKER_ASSISTANT);
    if (!m) return false;
    m->name = quoted(at[M_NAME]);
    if (is_given(at[M_CALL_ID])) return reader_untranslatable(r, at[M_CALL_ID]);
    if (!add_text(r, PART_REASONING, is_given(at[M_REASONING]) ? at[M_REASONING] : at[M_REASONING_TOO])) return false;
    if (is_given(at[M_CONTENT]) && !reader_content(r, at[M_CONTENT], KINDS_OF_ASSISTANT, read_part, &r->open))
        return false;
    if (!add_text(r, PART_REFUSAL, at[M_REFUSAL])) return false;
    struct jiter it = jscan_iter(at[M_CALLS]);
    while (jscan_next(&it, &key, &v))
        if (!read_call(r, v)) return false;
    return true;
}

/* The tool's name, which some clients add, is known by the call. */
static bool read_result(struct reader *r, struct jval message, const struct jval at[M_COUNT])
{
    struct part_list inside = {NULL, 0, 0};
    if (!is_given(at[M_CALL_ID])) return reader_lacks(r, message, "tool_call_id", "a string");
    if (!is_given(at[M_CONTENT])) return reader_lacks(r, message, "content", "a string or an array of parts");
    if (!reader_content(r, at[M_CONTENT], KIND(PART_TEXT), read_part, &inside)) return false;
    struct part *result = reader_join(r, SPEAKER_USER) ? reader_part(r, &r->open, PART_TOOL_RESULT) : NULL;
    if (!result) return false;
    result->id = quoted(at[M_CALL_ID]);
    result->inside = inside.at;
    result->inside_count = inside.count;
    return true;
}

/* What only an assistant's message may have. */
static bool check_others(struct reader *r, const struct jval at[M_COUNT])
{
    static const int only[] = {M_REFUSAL, M_REASONING, M_REASONING_TOO, M_CALLS};
    for (size_t i = 0; i < sizeof only / sizeof *only; i++)
        if (is_given(at[only[i]])) return reader_untranslatable(r, at[only[i]]);
    return true;
}

static bool read_message(struct reader *r, struct jval v)
{
    enum { SYSTEM, DEVELOPER, USER, ASSISTANT, TOOL };
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
    struct jval at[M_COUNT];
    if (!TAKE(r, v, of_message, at)) return false;
    if (!is_given(at[M_ROLE])) return reader_lacks(r, v, "role", "a string");
    int role = word_of(at[M_ROLE], roles);
    if (role < 0) return reader_must(r, at[M_ROLE], "\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
    if (role == ASSISTANT) return read_assistant(r, at);
    if (!check_others(r, at)) return false;
    if (role == TOOL) return read_result(r, v, at);
    if (is_given(at[M_CALL_ID])) return reader_untranslatable(r, at[M_CALL_ID]);
    if (!is_given(at[M_CONTENT])) return reader_lacks(r, v, "content", "a string or an array of parts");
    struct message *m = reader_message(r, role == USER ? SPEAKER_USER : SPEAKER_SYSTEM);
    if (!m) return false;
    m->name = quoted(at[M_NAME]);
    return reader_content(r, at[M_CONTENT], role == USER ? KINDS_OF_USER : KINDS_OF_SYSTEM, read_part, &r->open);
}

/* ---- tools and format ---- */

static bool read_tool(struct reader *r, struct jval v, struct tool *tool)
{
    enum { FUNCTION, CACHE };
    static const struct member of_tool[] = {
        [FUNCTION] = {"function", AN_OBJECT, USE_READ, NULL},
        [CACHE] = {"cache_control", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    enum { NAME, DESCRIPTION, PARAMETERS, STRICT };
    static const struct member of_function[] = {
        [NAME] = {"name", A_STRING, USE_READ, NULL},
        [DESCRIPTION] = {"description", A_STRING, USE_READ, NULL},
        [PARAMETERS] = {"parameters", AN_OBJECT, USE_READ, NULL},
        [STRICT] = {"strict", A_BOOLEAN, USE_READ, NULL},
    };
    struct jval at[sizeof of_tool / sizeof *of_tool], f[sizeof of_function / sizeof *of_function];
    if (!reader_type(r, v, "function") || !TAKE(r, v, of_tool, at)) return false;
    if (!is_given(at[FUNCTION])) return reader_lacks(r, v, "function", "an object");
    if (!TAKE(r, at[FUNCTION], of_function, f)) return false;
    if (!is_given(f[NAME])) return reader_lacks(r, at[FUNCTION], "name", "a string");
    *tool = (struct tool){.name = quoted(f[NAME]), .description = quoted(f[DESCRIPTION]), .schema = json_of(f[PARAMETERS]),
                          .strict = f[STRICT].kind == JSON_TRUE, .cache_control = json_of(at[CACHE])};
    return true;
}

static bool read_tool_choice(struct reader *r, struct jval v)
{
    static const struct member of_choice[] = {
        {"function", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    static const struct member of_function[] = {{"name", A_STRING, USE_READ, NULL}};
    struct jval at[sizeof of_choice / sizeof *of_choice], name[1];
    if (!is_given(v)) return true;
    if (v.kind == JSON_STRING) return reader_tool_choice_word(r, v);
    if (!reader_type(r, v, "function") || !TAKE(r, v, of_choice, at)) return false;
    if (!is_given(at[0])) return reader_lacks(r, v, "function", "an object");
    if (!TAKE(r, at[0], of_function, name)) return false;
    if (!is_given(name[0])) return reader_lacks(r, at[0], "name", "a string");
    r->out->choice = CHOICE_NAMED;
    r->out->chosen = quoted(name[0]);
    return true;
}

static bool read_format(struct reader *r, struct jval v)
{
    enum { TEXT, OBJECT, SCHEMA };
    static const char *const types[] = {"text", "json_object", "json_schema", NULL};
    static const struct member known[] = {
        {"json_schema", AN_OBJECT, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!is_given(v)) return true;
    r->out->format_at = v.text;
    if (!TAKE(r, v, known, at)) return false;
    struct jval type = jscan_find(v, "type");
    if (type.kind != JSON_STRING) return reader_lacks(r, v, "type", "a string");
    switch (word_of(type, types)) {
    case TEXT: r->out->format = FORMAT_TEXT; return true;
    case OBJECT: r->out->format = FORMAT_OBJECT; return true;
    case SCHEMA: return is_given(at[0]) ? reader_json_schema(r, at[0]) : reader_lacks(r, v, "json_schema", "an object");
    default: return reader_untranslatable(r, type);
    }
}

/* ---- the whole ---- */

bool read_chat(struct reader *r)
{
    enum { MESSAGES, TOOLS, CHOICE, PARALLEL, FORMAT, EFFORT, STOP, TEMPERATURE, TOP_P, USER, SAFETY, OPTIONS };
    static const struct member known[] = {
        [MESSAGES] = {"messages", A_LIST, USE_READ, NULL},
        [TOOLS] = {"tools", A_LIST, USE_READ, NULL},
        [CHOICE] = {"tool_choice", A_STRING | AN_OBJECT, USE_READ, NULL},
        [PARALLEL] = {"parallel_tool_calls", A_BOOLEAN, USE_READ, NULL},
        [FORMAT] = {"response_format", AN_OBJECT, USE_READ, NULL},
        [EFFORT] = {"reasoning_effort", A_STRING, USE_READ, NULL},
        [STOP] = {"stop", A_STRING | A_LIST, USE_READ, NULL},
        [TEMPERATURE] = {"temperature", A_NUMBER, USE_READ, NULL},
        [TOP_P] = {"top_p", A_NUMBER, USE_READ, NULL},
        [USER] = {"user", A_STRING, USE_READ, NULL},
        [SAFETY] = {"safety_identifier", A_STRING, USE_READ, NULL},
        [OPTIONS] = {"stream_options", AN_OBJECT, USE_READ, NULL},
        /* read by the parse stage */
        {"model", 0, USE_NOTHING, NULL}, {"stream", 0, USE_NOTHING, NULL}, {"max_tokens", 0, USE_NOTHING, NULL},
        {"max_completion_tokens", 0, USE_NOTHING, NULL},
        {"n", A_NUMBER, USE_EXTRA, "1"},
        {"presence_penalty", A_NUMBER, USE_EXTRA, "0"},
        {"frequency_penalty", A_NUMBER, USE_EXTRA, "0"},
        {"seed", A_NUMBER, USE_EXTRA, NULL},
        {"logit_bias", AN_OBJECT, USE_EXTRA, "{}"},
        {"logprobs", A_BOOLEAN, USE_EXTRA, "false"},
        {"top_logprobs", A_NUMBER, USE_EXTRA, "0"},
        {"verbosity", A_STRING, USE_EXTRA, "\"medium\""},
        {"service_tier", A_STRING, USE_EXTRA, "\"auto\""},
        {"store", A_BOOLEAN, USE_EXTRA, "false"},
        {"metadata", AN_OBJECT, USE_EXTRA, "{}"},
        {"modalities", A_LIST, USE_EXTRA, "[\"text\"]"},
        {"audio", AN_OBJECT, USE_EXTRA, NULL},
        {"prediction", AN_OBJECT, USE_EXTRA, NULL},
        {"web_search_options", AN_OBJECT, USE_EXTRA, NULL},
        {"prompt_cache_key", A_STRING, USE_EXTRA, NULL},
        {"prompt_cache_retention", A_STRING, USE_EXTRA, NULL},
        {"functions", ANYTHING, USE_NOWHERE, "[]"},   /* tools replaced them */
        {"function_call", ANYTHING, USE_NOWHERE, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    struct conversation *c = r->out;
    struct span key;
    struct jval v;
    if (!TAKE(r, r->chat->root, known, at) || !reader_stream_options(r, at[OPTIONS])) return false;
    struct jiter it = jscan_iter(at[MESSAGES]);
    while (jscan_next(&it, &key, &v))
        if (!read_message(r, v)) return false;
    c->parallel = said(at[PARALLEL]);
    c->effort = quoted(at[EFFORT]);
    c->temperature = json_of(at[TEMPERATURE]);
    c->top_p = json_of(at[TOP_P]);
    c->user = quoted(is_given(at[USER]) ? at[USER] : at[SAFETY]); /* the newer name of the same */
    return (!is_given(at[USER]) || reader_extra(r, "safety_identifier", at[SAFETY])) &&
           reader_tools(r, at[TOOLS], read_tool) && read_tool_choice(r, at[CHOICE]) && read_format(r, at[FORMAT]) &&
           reader_strings(r, at[STOP], &c->stops, &c->stop_count);
}
