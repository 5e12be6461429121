/* What the readers of the single wire formats share. Within the tap only. */
#ifndef WEIR_PROVIDER_TAP_WIRE_H
#define WEIR_PROVIDER_TAP_WIRE_H

#include "fcgi/provider/tap.h"

#define WIRE_TOKENS_MOST 1000000000 /* no single answer counts more; what claims to is nonsense */

#define WIRE_PARTS 7

/* One wire format. read_event and read_answer get a checked object; read_error a checked value, an object or not. What the
 * object has under `names` was noted while it was checked. */
struct wire {
    const char *const *names; /* WIRE_PARTS; NULL: none */
    enum event_kind (*read_event)(struct tap *t, struct jval root, const struct jnote *parts, struct fault *fault);
    bool (*read_answer)(struct tap *t, struct jval root, const struct jnote *parts, struct fault *fault);
    bool (*read_error)(struct tap *t, struct jval root, struct fault *fault);
};
extern const struct wire wire_chat, wire_responses, wire_messages;

/* A count of tokens that can be one; *out is left alone otherwise. */
bool wire_tokens(struct jval v, int64_t *out);
/* Characters a JSON string stands for, 0 for anything else: a multi-byte character and an escape are one each. */
int64_t wire_characters(struct jval v);
/* The same of all strings below a value. */
int64_t wire_all_characters(struct jval v);
/* Of an answer's member service_tier. */
void wire_tier(struct tap *t, struct jval v);
/* What the total has beyond prompt and completion is output: reasoning that some (Gemini, xAI) count nowhere else. */
void wire_total(struct usage *u, struct jval total);
/* A usage that was told, in the place of an earlier one. */
void wire_take(struct tap *t, const struct usage *u);
/* Absent, null, or empty. */
bool wire_is_nothing(struct jval v);
/* A string, or a number as it is written; anything else leaves `to` empty. Cut at a character. */
void wire_copy(struct jval v, char *to, size_t size);
void wire_mark(uint64_t bits[2], int64_t i);
/* Notes what the reason of an end says of the answer, be it a finish_reason, a stop_reason or a status. */
void wire_ended(struct tap *t, struct jval reason);

#endif
