/* A request in the terms that all dialects share. Made by the parse stage, read by every later one.
 * Spans and values lie in the request's body, which lives as long as the request. */
#ifndef WEIR_PROVIDER_CHAT_H
#define WEIR_PROVIDER_CHAT_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/jscan.h"

/* What callers speak: OpenAI's chat, completions, embeddings and responses, Anthropic's messages. */
enum face { FACE_CHAT, FACE_COMPLETIONS, FACE_EMBEDDINGS, FACE_RESPONSES, FACE_MESSAGES, FACE_COUNT };

struct chat {
    enum face face;
    struct span body;
    struct jval root;        /* a checked object, its members unique */
    struct jval model;       /* the member's value as it stands in the body */
    struct span alias;       /* what it means; empty until it is known to be a string */
    bool stream;
    struct jval stream_options; /* JSON_ABSENT or JSON_NULL: none */
    bool wants_usage;        /* stream_options.include_usage: the caller is to see the usage chunk */
    bool wants_base64;       /* embeddings: encoding_format "base64" */
    int64_t choices;         /* n, at least 1 */
    /* max_tokens (responses: max_output_tokens) and max_completion_tokens as they stand in the body; may be null */
    struct jval maximum, newer_maximum;
    int64_t max_output;      /* the larger of their values; -1: neither is given */
    bool is_long;            /* by trim: it fills its alias's context window, and the larger model is asked */
    int64_t prompt_bytes;    /* text that will be read by the model, in bytes */
};

#endif
