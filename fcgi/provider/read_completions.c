/* Reads OpenAI's older completions into a conversation: one prompt is one user's message. What only a model that goes on
 * with a text can do (echo, suffix, tokens for a prompt) is refused. */
#include "fcgi/provider/translate.h"

static bool read_prompt(struct reader *r, struct jval prompt)
{
    struct span key;
    struct jval v = prompt;
    if (!is_given(prompt)) return reader_lacks(r, r->chat->root, "prompt", "a string");
    if (prompt.kind == JSON_ARRAY) {
        struct jiter it = jscan_iter(prompt);
        if (!jscan_next(&it, &key, &v) || v.kind != JSON_STRING) return reader_untranslatable(r, prompt);
        struct jval more;
        if (jscan_next(&it, &key, &more)) return reader_untranslatable(r, prompt);
    }
    struct part *part = reader_message(r, SPEAKER_USER) ? reader_part(r, &r->open, PART_TEXT) : NULL;
    if (part) part->text = quoted(v);
    return part;
}

bool read_completions(struct reader *r)
{
    enum { PROMPT, STOP, TEMPERATURE, TOP_P, USER, OPTIONS };
    static const struct member known[] = {
        [PROMPT] = {"prompt", A_STRING | A_LIST, USE_READ, NULL},
        [STOP] = {"stop", A_STRING | A_LIST, USE_READ, NULL},
        [TEMPERATURE] = {"temperature", A_NUMBER, USE_READ, NULL},
        [TOP_P] = {"top_p", A_NUMBER, USE_READ, NULL},
        [USER] = {"user", A_STRING, USE_READ, NULL},
        [OPTIONS] = {"stream_options", AN_OBJECT, USE_READ, NULL},
        /* read by the parse stage */
        {"model", 0, USE_NOTHING, NULL}, {"stream", 0, USE_NOTHING, NULL}, {"max_tokens", 0, USE_NOTHING, NULL},
        {"n", A_NUMBER, USE_EXTRA, "1"},
        {"presence_penalty", A_NUMBER, USE_EXTRA, "0"},
        {"frequency_penalty", A_NUMBER, USE_EXTRA, "0"},
        {"seed", A_NUMBER, USE_EXTRA, NULL},
        {"logit_bias", AN_OBJECT, USE_EXTRA, "{}"},
        {"best_of", A_NUMBER, USE_NOWHERE, "1"},
        {"echo", A_BOOLEAN, USE_NOWHERE, "false"},
        {"suffix", A_STRING, USE_NOWHERE, "\"\""},
        {"logprobs", A_NUMBER, USE_NOWHERE, NULL}, /* 0 asks for the chosen token's own */
    };
    struct jval at[sizeof known / sizeof *known];
    struct conversation *c = r->out;
    if (!TAKE(r, r->chat->root, known, at) || !reader_stream_options(r, at[OPTIONS])) return false;
    c->temperature = json_of(at[TEMPERATURE]);
    c->top_p = json_of(at[TOP_P]);
    c->user = quoted(at[USER]);
    return read_prompt(r, at[PROMPT]) && reader_strings(r, at[STOP], &c->stops, &c->stop_count);
}
