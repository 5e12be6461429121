/* The entrance of the request's translation: which room reads a face, which writes one, and what a face has no place for. */
#include "fcgi/provider/translate.h"

#include <stdlib.h>

#define CHAT_STOPS 4 /* OpenAI takes no more */

enum weir_err conversation_read(const struct chat *chat, struct arena *a, struct conversation *out, struct problem *p)
{
    struct reader r = {.chat = chat, .arena = a, .out = out, .p = p};
    bool read = false;
    *out = (struct conversation){.root = chat->root, .max_output = chat->max_output};
    switch (chat->face) {
    case FACE_CHAT: read = read_chat(&r); break;
    case FACE_COMPLETIONS: read = read_completions(&r); break;
    case FACE_RESPONSES: read = read_responses(&r); break;
    case FACE_MESSAGES: read = read_messages(&r); break;
    case FACE_COUNT:
    case FACE_EMBEDDINGS: return problem_set(p, WEIR_INTERNAL, NULL, NULL);
    }
    if (read) reader_close(&r);
    return read ? WEIR_OK : r.err;
}

void conversation_write(const struct conversation *c, enum face to, const struct write_options *o, struct buf *out)
{
    buf_room(out, c->root.text.len + 256); /* about what it will be: large bodies are not moved as they grow */
    if (to == FACE_MESSAGES) write_messages(c, o, out);
    else write_chat(c, o, out);
}

/* ---- what fits ---- */

/* White space of a string's inside, its escapes included. Returns its bytes, 0 if something else is at `at`. */
static size_t space_at(struct span s, size_t at)
{
    static const char *const escaped[] = {"\\n", "\\t", "\\r", "\\f", "\\u0020", "\\u000a", "\\u000A", "\\u0009", "\\u000d",
                                          "\\u000D", "\\u000b", "\\u000B", "\\u000c", "\\u000C", "\\u00a0", "\\u00A0"};
    if (s.at[at] == ' ') return 1;
    if (s.at[at] != '\\') return 0;
    for (size_t i = 0; i < sizeof escaped / sizeof *escaped; i++) {
        size_t n = strlen(escaped[i]);
        if (s.len - at >= n && memcmp(s.at + at, escaped[i], n) == 0) return n;
    }
    return 0;
}

bool is_blank_text(struct span text)
{
    size_t at = 0, n;
    while (at < text.len && (n = space_at(text, at))) at += n;
    return at == text.len;
}

bool says_something(const struct part *part)
{
    switch (part->kind) {
    case PART_TEXT:
    case PART_REFUSAL: return !is_blank_text(part->text);
    case PART_REASONING: return part->signature.len > 0;
    case PART_IMAGE_DATA:
    case PART_IMAGE_URL:
    case PART_TOOL_CALL:
    case PART_TOOL_RESULT: break;
    }
    return true;
}

static enum weir_err misfit(const struct conversation *c, const char *at, struct problem *p)
{
    char path[PATH_TEXT];
    path_of(c->root, at, path);
    return problem_set(p, WEIR_INVALID, path, "%s has no counterpart in what this model's provider speaks.", path);
}

static enum weir_err fits_chat(const struct conversation *c, enum face speaks_as, struct problem *p)
{
    const char *stops = speaks_as == FACE_MESSAGES ? "stop_sequences" : "stop";
    if (c->top_k.at) return misfit(c, c->top_k.at, p);
    if (c->stop_count > CHAT_STOPS)
        return problem_set(p, WEIR_INVALID, stops, "%s may have at most %d entries for this model's provider.", stops,
                           CHAT_STOPS);
    return WEIR_OK;
}

/* The first place of a part's own that Anthropic has none for; NULL: it fits. */
static const char *misfit_of(const struct part *part)
{
    if (part->detail.at) return part->detail.at;
    for (int i = 0; i < part->inside_count; i++)
        if (part->inside[i].detail.at) return part->inside[i].detail.at;
    return NULL;
}

static bool message_says_something(const struct message *m)
{
    for (int i = 0; i < m->part_count; i++)
        if (says_something(&m->parts[i])) return true;
    return false;
}

/* Anthropic's conversations begin with a user's message, and have one. */
static enum weir_err messages_fit(const struct conversation *c, enum face speaks_as, struct problem *p)
{
    static const char *const names[] = {[FACE_CHAT] = "messages", [FACE_COMPLETIONS] = "prompt",
                                        [FACE_RESPONSES] = "input", [FACE_MESSAGES] = "messages"};
    bool begun = false;
    for (int i = 0; i < c->message_count; i++) {
        const struct message *m = &c->messages[i];
        if (m->name.at) return misfit(c, m->name.at, p);
        for (int k = 0; k < m->part_count; k++) {
            const char *at = misfit_of(&m->parts[k]);
            if (at) return misfit(c, at, p);
        }
        if (begun || m->speaker == SPEAKER_SYSTEM || !message_says_something(m)) continue;
        begun = m->speaker == SPEAKER_USER;
        if (!begun) break;
    }
    return begun ? WEIR_OK : problem_set(p, WEIR_INVALID, names[speaks_as],
        "%s must begin with what a user says, and not with nothing, for this model's provider.", names[speaks_as]);
}

/* Keys of a cache change what an answer costs, never the answer. */
static bool is_cache_key(const char *field)
{
    return strcmp(field, "prompt_cache_key") == 0 || strcmp(field, "prompt_cache_retention") == 0;
}

static enum weir_err fits_messages(const struct conversation *c, enum face speaks_as, struct problem *p)
{
    for (int i = 0; i < c->extra_count; i++)
        if (!is_cache_key(c->extras[i].field)) return misfit(c, c->extras[i].value.text.at, p);
    if (c->max_output == 0)
        return problem_set(p, WEIR_INVALID, "max_tokens", "max_tokens must be at least 1 for this model's provider.");
    /* A number in an object: something that is none follows it. */
    if (c->temperature.at && strtod(c->temperature.at, NULL) > 1)
        return problem_set(p, WEIR_INVALID, "temperature", "temperature must be at most 1 for this model's provider.");
    if (c->format == FORMAT_OBJECT) return misfit(c, c->format_at.at, p);
    if (c->format_description.at) return misfit(c, c->format_description.at, p);
    if (span_is(c->effort, "minimal")) return misfit(c, c->effort.at, p);
    return messages_fit(c, speaks_as, p);
}

enum weir_err conversation_fits(const struct conversation *c, enum face speaks_as, enum face to, struct problem *p)
{
    return to == FACE_MESSAGES ? fits_messages(c, speaks_as, p) : fits_chat(c, speaks_as, p);
}
