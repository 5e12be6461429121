/* An answer in the one model that every dialect's answers are read into and every face's are written from: a row of small
 * steps, the same for streams (one event gives some of them) and for plain answers (the body gives all of them).
 * Order of one answer: START, then per choice any mix of content, then FINISH per choice, then USAGE. */
#ifndef WEIR_PROVIDER_DELTA_H
#define WEIR_PROVIDER_DELTA_H

#include "fcgi/provider/provider.h"

enum delta_kind {
    DELTA_START,     /* id, model: quoted, absent or empty if not told; created: seconds, 0 where the dialect has none;
                      * usage: what is known of it this early */
    DELTA_TEXT, DELTA_REFUSAL, DELTA_REASONING, DELTA_SIGNATURE, /* text: quoted, a piece */
    DELTA_TOOL,      /* a tool call begins: tool (0, 1, ... within the choice), id, name: quoted */
    DELTA_ARGUMENTS, /* text: quoted, a piece of tool's arguments (a JSON text once all pieces are together) */
    DELTA_FINISH,    /* finish; stop: quoted, the sequence that stopped it, or absent */
    DELTA_USAGE      /* usage: the whole answer's; reasoning: tokens of completion that were reasoning, 0 if unknown */
};

enum finish { FINISH_STOP, FINISH_LENGTH, FINISH_TOOLS, FINISH_FILTER };

struct delta {
    enum delta_kind kind;
    int choice, tool;
    struct span text, id, name, model, stop;
    int64_t created, reasoning;
    enum finish finish;
    struct usage usage;
};

/* Reads one answer in one face, event by event or whole. What it needs to remember between events is small and bounded:
 * Anthropic's block numbers, OpenAI-like servers that leave out a tool call's index or id (WIRE.md 3), what was seen of
 * usage. */
struct delta_reader;
/* from: FACE_CHAT, FACE_COMPLETIONS or FACE_MESSAGES. The reader is the arena's. NULL: no memory. */
struct delta_reader *delta_reader_new(enum face from, struct arena *a);
/* One event's data (checked JSON or not: what is no event of the dialect's gives nothing; errors are the tap's). `give` is
 * called for each step; its spans live during the call. START comes with the first choice, FINISH and USAGE wait for
 * the end: upstreams say them early, twice, or as running totals. */
void delta_read_event(struct delta_reader *r, struct span data, void (*give)(const struct delta *, void *), void *arg);
/* The stream has ended as it should: FINISH of each choice it has had, "stop" where it told none and "tools" where it
 * called one and told "stop", and USAGE if known. Once. */
void delta_read_end(struct delta_reader *r, void (*give)(const struct delta *, void *), void *arg);
/* A whole plain answer. False: it is none. */
bool delta_read_answer(struct delta_reader *r, struct span body, void (*give)(const struct delta *, void *), void *arg);

/* What the caller's answer must know of its request. */
struct delta_target {
    enum face face;        /* FACE_CHAT, FACE_COMPLETIONS, FACE_RESPONSES, FACE_MESSAGES */
    bool stream;
    bool wants_usage;      /* chat and completions streams: the usage chunk */
    bool wants_reasoning;  /* messages: thinking blocks, responses: summaries; chat always gets reasoning_content */
    const struct chat *chat; /* responses repeat some of their request; the model's name where the upstream tells none */
    const char *request_id; /* what ids are made from where the upstream had none */
    int64_t now_s;
};
struct delta_writer;
/* *t is copied, what it points to is not. NULL: no memory. Memory beside the arena's is freed by delta_writer_free. */
struct delta_writer *delta_writer_new(const struct delta_target *t, struct arena *a);
/* Streams: appends the events of this step. Plain: remembers it. Bounded by BOUND_ANSWER; errors stick
 * in out->err, and then the last event in `out` may be cut. Choices that the face has no room for are passed over, and so
 * is reasoning that nobody wants. */
void delta_write(struct delta_writer *w, const struct delta *d, struct buf *out);
/* The whole answer is there: a stream's last events ([DONE], message_stop, response.completed), or the plain body. */
void delta_write_end(struct delta_writer *w, struct buf *out);
/* Streams whose end failed: the in-band error of the face, as the SDKs raise for (WIRE.md 1). type: Anthropic's for
 * messages, OpenAI's for the others; any of the three may be NULL. */
void delta_write_error(struct delta_writer *w, const char *message, const char *type, const char *code, struct buf *out);
void delta_writer_free(struct delta_writer *w); /* what is not the arena's; NULL is fine */

#endif
