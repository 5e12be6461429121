/* The body that goes upstream. Where the upstream speaks the caller's face, that is the caller's own bytes with only what
 * must change; nothing is built into a tree. */
#include "fcgi/provider/send.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"
#include "fcgi/provider/conversation.h"
#include "fcgi/provider/edit.h"
#include "fcgi/provider/quirks.h"

#define EDITS_MOST (4 + QUIRK_FIELDS + 1) /* model, usage, two maxima; runs of fields that are left out */

/* What makes the upstream tell its usage in a stream. False: nothing has to change. */
static bool usage_edit(const struct chat *c, struct edit *e)
{
    struct jval options = c->stream_options, asked;
    if (!c->stream || c->wants_usage || (c->face != FACE_CHAT && c->face != FACE_COMPLETIONS)) return false;
    switch (options.kind) {
    case JSON_OBJECT:
        asked = jscan_find(options, "include_usage");
        if (asked.kind != JSON_ABSENT) *e = (struct edit){asked.text.at, asked.text.len, SPAN("true")};
        else
            *e = (struct edit){options.text.at + options.text.len - 1, 0,
                               jscan_count(options) ? SPAN(",\"include_usage\":true") : SPAN("\"include_usage\":true")};
        return true;
    case JSON_NULL:
        *e = (struct edit){options.text.at, options.text.len, SPAN("{\"include_usage\":true}")};
        return true;
    default:
        *e = (struct edit){c->model.text.at + c->model.text.len, 0, SPAN(",\"stream_options\":{\"include_usage\":true}")};
        return true;
    }
}

/* A maximum of the caller's, made no larger than is held. 0 is "none" to some upstreams, but for completions. */
static bool lower(struct jval given, int64_t least, int64_t most, char text[64], struct edit *e)
{
    int64_t own;
    if (given.kind == JSON_ABSENT || (jval_int(given, &own) && own >= least && own <= most)) return false;
    snprintf(text, 64, "%lld", (long long)most);
    *e = (struct edit){given.text.at, given.text.len, span_of(text)};
    return true;
}

/* The newer name where it is known to be wanted; the older is what every compatible server knows. */
static const char *maximum_name(const struct call *c)
{
    const char *url = c->target->provider->base_url;
    bool openai = strstr(url, "api.openai.com") || strstr(url, ".azure.com");
    if (c->target->asked == FACE_RESPONSES) return "max_output_tokens";
    return c->target->asked == FACE_CHAT && openai ? "max_completion_tokens" : "max_tokens";
}

/* The maximum that is forwarded: in the caller's own fields, in both if both are given, for an upstream may know only
 * one. Returns how many edits that makes. */
static int maximum_edits(const struct call *c, char text[2][64], struct edit *e)
{
    const struct chat *chat = c->chat;
    int count = 0;
    if (c->max_output < 0) return 0;
    count += lower(chat->maximum, chat->face != FACE_COMPLETIONS, c->max_output, text[0], &e[count]);
    count += lower(chat->newer_maximum, 1, c->max_output, text[1], &e[count]);
    if (chat->maximum.kind != JSON_ABSENT || chat->newer_maximum.kind != JSON_ABSENT) return count;
    snprintf(text[0], 64, ",\"%s\":%lld", maximum_name(c), (long long)c->max_output);
    e[0] = (struct edit){chat->model.text.at + chat->model.text.len, 0, span_of(text[0])};
    return 1;
}

/* Members that are left out, with the comma that goes with them: each run between two that stay becomes one comma, a run
 * at either end nothing. The model stays, so the object is never empty. */
static int strip_edits(const struct call *c, struct edit *e)
{
    const struct jval root = c->chat->root;
    const char *kept = NULL, *end = root.text.at + root.text.len - 1;
    struct span key;
    struct jval v;
    bool left_out = false;
    int count = 0;
    struct jiter it = jscan_iter(root);
    while (c->target->strips && jscan_next(&it, &key, &v)) {
        if (quirk_strips(c->target->strips, key)) {
            left_out = true;
            continue;
        }
        const char *from = kept ? kept : root.text.at + 1;
        if (left_out) e[count++] = (struct edit){from, (size_t)(key.at - 1 - from), kept ? SPAN(",") : SPAN("")};
        kept = v.text.at + v.text.len;
        left_out = false;
    }
    if (left_out) e[count++] = (struct edit){kept, (size_t)(end - kept), SPAN("")};
    return count;
}

static void splice_body(const struct call *c)
{
    const struct chat *chat = c->chat;
    struct buf name;
    struct edit edits[EDITS_MOST];
    char maximum[2][64];
    int count = 1;

    buf_init(&name, 6 * strlen(c->target->model) + 2);
    json_string(&name, span_of(c->target->model));
    edits[0] = (struct edit){chat->model.text.at, chat->model.text.len, buf_all(&name)};
    count += usage_edit(chat, &edits[count]);
    count += maximum_edits(c, maximum, &edits[count]);
    count += strip_edits(c, &edits[count]);
    if (name.err) c->body->err = name.err;
    else if (buf_room(c->body, chat->body.len + name.len + 128)) edit_text(chat->body, edits, count, c->body);
    buf_free(&name);
}

static void write_conversation(const struct call *c)
{
    const struct target *t = c->target;
    struct conversation said = *t->conversation;
    quirk_strip_conversation(t->strips, &said);
    const struct write_options o = {
        .model = t->model, .stream = c->chat->stream, .max_output = c->max_output >= 0 ? c->max_output : said.max_output,
        .default_max_output = c->default_max_output, .maximum_name = maximum_name(c)};
    conversation_write(&said, t->asked, &o, c->body);
}

enum weir_err body_write(const struct call *c)
{
    if (c->target->conversation) write_conversation(c);
    else splice_body(c);
    return c->body->err ? WEIR_NOMEM : WEIR_OK;
}
