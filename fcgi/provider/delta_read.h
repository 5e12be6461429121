/* What the readers of answers share. Private to delta_read*.c; the rest of the world sees delta.h. */
#ifndef WEIR_PROVIDER_DELTA_READ_H
#define WEIR_PROVIDER_DELTA_READ_H

#include "fcgi/base/bounds.h"
#include "fcgi/provider/delta.h"

#define CALLS_MOST 128 /* tool calls that a streamed answer may have; more are passed over */
#define FINISH_UNTOLD (-1)

/* A tool call that a stream has begun: how the upstream means it, and its number here. */
struct known_call {
    uint64_t id;     /* a hash of its id, 0: it has none */
    int64_t index;   /* the upstream's index of the call or block, -1: it gave none */
    uint8_t choice, number;
    bool has_arguments;
};

struct face_reader {
    void (*event)(struct delta_reader *r, struct jval root);
    bool (*answer)(struct delta_reader *r, struct jval root);
};

struct delta_reader {
    const struct face_reader *face;
    struct arena *memory;
    void (*give)(const struct delta *, void *); /* of the call in progress */
    void *arg;
    bool started, ended;
    uint64_t seen[2], called[2];   /* bit i: choice i is there, has a tool call */
    int8_t finish[BOUND_CHOICES];  /* enum finish, or FINISH_UNTOLD */
    struct span stop;
    struct usage usage;
    int64_t reasoning;
    int64_t input, cache_write, cache_read, output; /* Anthropic's running totals, -1: not told yet */
    struct known_call calls[CALLS_MOST];
    int call_count;
};

extern const struct face_reader delta_reads_chat, delta_reads_completions, delta_reads_messages;

/* START, unless it was given already. Any of the values may be of another kind than it should be. */
void delta_give_start(struct delta_reader *r, struct jval id, struct jval model, int64_t created);
/* A piece of text, if v is a string that holds any. */
void delta_give_text(struct delta_reader *r, enum delta_kind kind, int choice, int tool, struct jval v);
/* Tool arguments: a string's own text, or the text of any other JSON value; null and absent give nothing. False if nothing
 * was given. */
bool delta_give_arguments(struct delta_reader *r, int choice, int tool, struct jval v);
void delta_give_tool(struct delta_reader *r, int choice, int tool, struct jval id, struct jval name);
/* Notes a call that begins. NULL: there are too many. */
struct known_call *delta_note_call(struct delta_reader *r, int choice, int64_t index, uint64_t id);
/* The inside of a string, its escapes in place; absent if v is none. */
struct span delta_quoted(struct jval v);
/* A count of tokens that can be one. */
bool delta_tokens(struct jval v, int64_t *out);

static inline void delta_mark(uint64_t bits[2], int i) { bits[i / 64] |= (uint64_t)1 << (i % 64); }
static inline bool delta_is_marked(const uint64_t bits[2], int i) { return bits[i / 64] >> (i % 64) & 1; }

#endif
