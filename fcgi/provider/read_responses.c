/* Reads OpenAI's Responses into a conversation: its items become messages and their parts. What lies in a store of the
 * provider's (earlier responses, items, prompts, files) is refused as such; tools that run at the provider's too.
 * Reasoning items are left out: they speak to the provider that wrote and sealed them, and to no other. */
#include "fcgi/provider/translate.h"

/* ---- parts ---- */

static bool read_text_part(struct reader *r, struct jval v, struct part *part)
{
    static const struct member known[] = {
        {"text", A_STRING, USE_READ, NULL},
        /* notes on an answer that clients send back: no model reads them */
        {"annotations", 0, USE_NOTHING, NULL}, {"logprobs", 0, USE_NOTHING, NULL}, {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[0])) return reader_lacks(r, v, "text", "a string");
    part->text = quoted(at[0]);
    return true;
}

static bool read_image_part(struct reader *r, struct jval v, struct part *part)
{
    enum { URL, DETAIL };
    static const struct member known[] = {
        [URL] = {"image_url", A_STRING, USE_READ, NULL},
        [DETAIL] = {"detail", A_STRING, USE_READ, "\"auto\""},
        {"file_id", A_STRING, USE_STATE, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[URL])) return reader_lacks(r, v, "image_url", "a string");
    part->detail = quoted(at[DETAIL]);
    return reader_image(r, at[URL], part);
}

static bool read_part(struct reader *r, struct jval v, unsigned allowed, struct part_list *to)
{
    static const struct part_type types[] = {
        {"input_text", PART_TEXT, read_text_part},
        {"output_text", PART_TEXT, read_text_part},
        {"text", PART_TEXT, read_text_part},
        {"input_image", PART_IMAGE_URL, read_image_part},
        {"refusal", PART_REFUSAL, reader_refusal},
        {NULL, PART_TEXT, NULL},
    };
    return reader_typed_part(r, v, allowed, types, to);
}

/* ---- items ---- */

static bool read_message_item(struct reader *r, struct jval v)
{
    enum { USER, ASSISTANT, SYSTEM, DEVELOPER };
    static const char *const roles[] = {"user", "assistant", "system", "developer", NULL};
    static const unsigned kinds[] = {
        [USER] = KIND(PART_TEXT) | KIND(PART_IMAGE_URL), [ASSISTANT] = KIND(PART_TEXT) | KIND(PART_REFUSAL),
        [SYSTEM] = KIND(PART_TEXT), [DEVELOPER] = KIND(PART_TEXT)};
    enum { ROLE, CONTENT };
    static const struct member known[] = {
        [ROLE] = {"role", A_STRING, USE_READ, NULL},
        [CONTENT] = {"content", A_STRING | A_LIST, USE_READ, NULL},
        /* what the item was to the provider that made it */
        {"type", 0, USE_NOTHING, NULL}, {"id", 0, USE_NOTHING, NULL}, {"status", 0, USE_NOTHING, NULL},
        {"phase", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[ROLE])) return reader_lacks(r, v, "role", "a string");
    if (!is_given(at[CONTENT])) return reader_lacks(r, v, "content", "a string or an array of parts");
    int role = word_of(at[ROLE], roles);
    if (role < 0) return reader_must(r, at[ROLE], "\"user\", \"assistant\", \"system\" or \"developer\"");
    struct message *m = role == USER ? reader_message(r, SPEAKER_USER)
                        : role == ASSISTANT ? reader_join(r, SPEAKER_ASSISTANT) : reader_message(r, SPEAKER_SYSTEM);
    return m && reader_content(r, at[CONTENT], kinds[role], read_part, &r->open);
}

static bool read_call_item(struct reader *r, struct jval v)
{
    enum { CALL_ID, NAME, ARGUMENTS };
    static const struct member known[] = {
        [CALL_ID] = {"call_id", A_STRING, USE_READ, NULL},
        [NAME] = {"name", A_STRING, USE_READ, NULL},
        [ARGUMENTS] = {"arguments", A_STRING, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL}, {"id", 0, USE_NOTHING, NULL}, {"status", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!TAKE(r, v, known, at)) return false;
    for (int i = 0; i <= ARGUMENTS; i++)
        if (!is_given(at[i])) return reader_lacks(r, v, known[i].name, "a string");
    struct part *call = reader_join(r, SPEAKER_ASSISTANT) ? reader_part(r, &r->open, PART_TOOL_CALL) : NULL;
    if (!call) return false;
    call->id = quoted(at[CALL_ID]);
    call->name = quoted(at[NAME]);
    return reader_arguments(r, at[ARGUMENTS], call);
}

static bool read_output_item(struct reader *r, struct jval v)
{
    enum { CALL_ID, OUTPUT };
    static const struct member known[] = {
        [CALL_ID] = {"call_id", A_STRING, USE_READ, NULL},
        [OUTPUT] = {"output", A_STRING | A_LIST, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL}, {"id", 0, USE_NOTHING, NULL}, {"status", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    struct part_list inside = {NULL, 0, 0};
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[CALL_ID])) return reader_lacks(r, v, "call_id", "a string");
    if (!is_given(at[OUTPUT])) return reader_lacks(r, v, "output", "a string or an array of parts");
    if (!reader_content(r, at[OUTPUT], KIND(PART_TEXT) | KIND(PART_IMAGE_URL), read_part, &inside)) return false;
    struct part *result = reader_join(r, SPEAKER_USER) ? reader_part(r, &r->open, PART_TOOL_RESULT) : NULL;
    if (!result) return false;
    result->id = quoted(at[CALL_ID]);
    result->inside = inside.at;
    result->inside_count = inside.count;
    return true;
}

static bool read_item(struct reader *r, struct jval v)
{
    enum { MESSAGE, CALL, OUTPUT, REASONING, REFERENCE };
    static const char *const types[] = {"message", "function_call", "function_call_output", "reasoning", "item_reference",
                                        NULL};
    if (v.kind != JSON_OBJECT) return reader_must(r, v, "an object");
    struct jval type = jscan_find(v, "type");
    if (type.kind == JSON_ABSENT || type.kind == JSON_NULL) return read_message_item(r, v);
    switch (word_of(type, types)) {
    case MESSAGE: return read_message_item(r, v);
    case CALL: return read_call_item(r, v);
    case OUTPUT: return read_output_item(r, v);
    case REASONING: return true;
    case REFERENCE: return reader_needs_state(r, type);
    default: return reader_untranslatable(r, type);
    }
}

static bool read_input(struct reader *r, struct jval input)
{
    struct span key;
    struct jval v;
    if (!is_given(input)) return reader_lacks(r, r->chat->root, "input", "a string or an array of items");
    if (input.kind == JSON_STRING)
        return reader_message(r, SPEAKER_USER) && reader_content(r, input, KIND(PART_TEXT), read_part, &r->open);
    struct jiter it = jscan_iter(input);
    while (jscan_next(&it, &key, &v))
        if (!read_item(r, v)) return false;
    return true;
}

/* ---- tools, format, reasoning ---- */

static bool read_tool(struct reader *r, struct jval v, struct tool *tool)
{
    enum { NAME, DESCRIPTION, PARAMETERS, STRICT };
    static const struct member known[] = {
        [NAME] = {"name", A_STRING, USE_READ, NULL},
        [DESCRIPTION] = {"description", A_STRING, USE_READ, NULL},
        [PARAMETERS] = {"parameters", AN_OBJECT, USE_READ, NULL},
        [STRICT] = {"strict", A_BOOLEAN, USE_READ, NULL},
        {"type", 0, USE_NOTHING, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    struct jval type = jscan_find(v, "type");
    if (v.kind == JSON_OBJECT && type.kind != JSON_STRING) return reader_lacks(r, v, "type", "a string");
    if (!reader_type(r, v, "function") || !TAKE(r, v, known, at)) return false;
    if (!is_given(at[NAME])) return reader_lacks(r, v, "name", "a string");
    *tool = (struct tool){.name = quoted(at[NAME]), .description = quoted(at[DESCRIPTION]),
                          .schema = json_of(at[PARAMETERS]), .strict = at[STRICT].kind == JSON_TRUE};
    return true;
}

static bool read_tool_choice(struct reader *r, struct jval v)
{
    static const struct member known[] = {{"name", A_STRING, USE_READ, NULL}, {"type", 0, USE_NOTHING, NULL}};
    struct jval at[sizeof known / sizeof *known];
    if (!is_given(v)) return true;
    if (v.kind == JSON_STRING) return reader_tool_choice_word(r, v);
    if (!reader_type(r, v, "function") || !TAKE(r, v, known, at)) return false;
    if (!is_given(at[0])) return reader_lacks(r, v, "name", "a string");
    r->out->choice = CHOICE_NAMED;
    r->out->chosen = quoted(at[0]);
    return true;
}

static bool read_text(struct reader *r, struct jval v)
{
    enum { FORMAT };
    static const struct member known[] = {
        [FORMAT] = {"format", AN_OBJECT, USE_READ, NULL},
        {"verbosity", A_STRING, USE_EXTRA, "\"medium\""},
    };
    enum { TEXT, OBJECT, SCHEMA };
    static const char *const types[] = {"text", "json_object", "json_schema", NULL};
    struct jval at[sizeof known / sizeof *known];
    if (!is_given(v)) return true;
    if (!TAKE(r, v, known, at)) return false;
    if (!is_given(at[FORMAT])) return true;
    r->out->format_at = at[FORMAT].text;
    struct jval type = jscan_find(at[FORMAT], "type");
    if (type.kind != JSON_STRING) return reader_lacks(r, at[FORMAT], "type", "a string");
    switch (word_of(type, types)) {
    case TEXT: r->out->format = FORMAT_TEXT; return true;
    case OBJECT: r->out->format = FORMAT_OBJECT; return true;
    case SCHEMA: return reader_json_schema(r, at[FORMAT]);
    default: return reader_untranslatable(r, type);
    }
}

static bool read_reasoning(struct reader *r, struct jval v)
{
    enum { EFFORT, SUMMARY, SUMMARY_OLD };
    static const struct member known[] = {
        [EFFORT] = {"effort", A_STRING, USE_READ, NULL},
        [SUMMARY] = {"summary", A_STRING, USE_READ, NULL},
        [SUMMARY_OLD] = {"generate_summary", A_STRING, USE_READ, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    if (!is_given(v)) return true;
    if (!TAKE(r, v, known, at)) return false;
    r->out->effort = quoted(at[EFFORT]);
    r->out->wants_reasoning = is_given(at[SUMMARY]) || is_given(at[SUMMARY_OLD]);
    return true;
}

/* Sealed reasoning is asked for by whoever keeps no state; there is none to give, and nothing is lost. */
static bool read_include(struct reader *r, struct jval v)
{
    struct span key;
    struct jval one;
    struct jiter it = jscan_iter(v);
    while (jscan_next(&it, &key, &one))
        if (!jval_is(one, "reasoning.encrypted_content")) return reader_untranslatable(r, one);
    return true;
}

/* ---- the whole ---- */

bool read_responses(struct reader *r)
{
    enum { INPUT, INSTRUCTIONS, TOOLS, CHOICE, PARALLEL, TEXT, REASONING, INCLUDE, TEMPERATURE, TOP_P, USER, SAFETY,
           OPTIONS };
    static const struct member known[] = {
        [INPUT] = {"input", A_STRING | A_LIST, USE_READ, NULL},
        [INSTRUCTIONS] = {"instructions", A_STRING, USE_READ, NULL},
        [TOOLS] = {"tools", A_LIST, USE_READ, NULL},
        [CHOICE] = {"tool_choice", A_STRING | AN_OBJECT, USE_READ, NULL},
        [PARALLEL] = {"parallel_tool_calls", A_BOOLEAN, USE_READ, NULL},
        [TEXT] = {"text", AN_OBJECT, USE_READ, NULL},
        [REASONING] = {"reasoning", AN_OBJECT, USE_READ, NULL},
        [INCLUDE] = {"include", A_LIST, USE_READ, NULL},
        [TEMPERATURE] = {"temperature", A_NUMBER, USE_READ, NULL},
        [TOP_P] = {"top_p", A_NUMBER, USE_READ, NULL},
        [USER] = {"user", A_STRING, USE_READ, NULL},
        [SAFETY] = {"safety_identifier", A_STRING, USE_READ, NULL},
        [OPTIONS] = {"stream_options", AN_OBJECT, USE_READ, NULL},
        /* read by the parse stage */
        {"model", 0, USE_NOTHING, NULL}, {"stream", 0, USE_NOTHING, NULL}, {"max_output_tokens", 0, USE_NOTHING, NULL},
        {"metadata", 0, USE_NOTHING, NULL}, /* nothing but an echo, and the answer has it */
        {"service_tier", A_STRING, USE_EXTRA, "\"auto\""},
        {"prompt_cache_key", A_STRING, USE_EXTRA, NULL},
        {"prompt_cache_retention", A_STRING, USE_EXTRA, NULL},
        {"truncation", A_STRING, USE_NOWHERE, "\"disabled\""},
        {"top_logprobs", A_NUMBER, USE_NOWHERE, "0"},
        {"max_tool_calls", A_NUMBER, USE_NOWHERE, NULL},
        {"store", A_BOOLEAN, USE_STATE, "false"}, /* absent means true to OpenAI, and is what all who do not care send */
        {"background", A_BOOLEAN, USE_STATE, "false"},
        {"previous_response_id", A_STRING, USE_STATE, NULL},
        {"conversation", A_STRING | AN_OBJECT, USE_STATE, NULL},
        {"prompt", AN_OBJECT, USE_STATE, NULL},
    };
    struct jval at[sizeof known / sizeof *known];
    struct conversation *c = r->out;
    if (!TAKE(r, r->chat->root, known, at) || !reader_stream_options(r, at[OPTIONS])) return false;
    if (is_given(at[INSTRUCTIONS])) {
        struct message *m = reader_message(r, SPEAKER_SYSTEM);
        if (!m || !reader_content(r, at[INSTRUCTIONS], KIND(PART_TEXT), read_part, &r->open)) return false;
    }
    c->parallel = said(at[PARALLEL]);
    c->temperature = json_of(at[TEMPERATURE]);
    c->top_p = json_of(at[TOP_P]);
    c->user = quoted(is_given(at[USER]) ? at[USER] : at[SAFETY]); /* the newer name of the same */
    return (!is_given(at[USER]) || reader_extra(r, "safety_identifier", at[SAFETY])) && read_input(r, at[INPUT]) &&
           reader_tools(r, at[TOOLS], read_tool) && read_tool_choice(r, at[CHOICE]) && read_text(r, at[TEXT]) &&
           read_reasoning(r, at[REASONING]) && read_include(r, at[INCLUDE]);
}
