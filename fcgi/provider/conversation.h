/* A request in the one model that all faces are read into and all dialects can be written from, for the targets that do
 * not speak the caller's own face. Shapes: WIRE.md 1 and 2.
 * Text stays as it lies in the body: a `quoted` span is the inside of a JSON string, its escapes in place, and can be put
 * between the quotes of another one; a `json` span is a whole JSON value. Everything lives as long as the request. */
#ifndef WEIR_PROVIDER_CONVERSATION_H
#define WEIR_PROVIDER_CONVERSATION_H

#include "fcgi/base/arena.h"
#include "fcgi/provider/chat.h"

enum part_kind {
    PART_TEXT, PART_REFUSAL,
    PART_REASONING,  /* text; written only where its signature is believed */
    PART_IMAGE_DATA, /* text: base64; media: its type */
    PART_IMAGE_URL,  /* text: the address */
    PART_TOOL_CALL,  /* id, name, json: the arguments, always an object */
    PART_TOOL_RESULT /* id; inside: text and images; failed */
};

struct part {
    enum part_kind kind;
    bool failed;            /* a tool result: is_error */
    struct span text, media, detail, id, name; /* quoted; absent where not given */
    struct span signature;  /* quoted; of reasoning: what makes its provider believe it */
    struct span json;       /* of a tool call */
    struct span cache_control; /* json; Anthropic's mark, absent for none */
    const struct part *inside; int inside_count;
};

enum speaker { SPEAKER_SYSTEM, SPEAKER_USER, SPEAKER_ASSISTANT };

/* Tool results are parts of a user's message. They may stand anywhere in it, and another user's message may follow:
 * writers put the results first. */
struct message { enum speaker speaker; struct span name; /* quoted */ const struct part *parts; int part_count; };

struct tool {
    struct span name, description;             /* quoted */
    struct span schema, cache_control;         /* json; the schema absent: no arguments */
    bool strict;
};

enum tool_choice { CHOICE_UNSET, CHOICE_AUTO, CHOICE_NONE, CHOICE_REQUIRED, CHOICE_NAMED };
enum answer_format { FORMAT_UNSET, FORMAT_TEXT, FORMAT_OBJECT, FORMAT_SCHEMA };
enum tristate { SAID_NOTHING, SAID_NO, SAID_YES };

#define CONVERSATION_EXTRAS 24 /* more than any face has fields of that kind */

struct conversation {
    struct jval root;                             /* the request, for the names of its fields */
    const struct message *messages; int message_count; /* system messages where they stood */
    const struct tool *tools; int tool_count;
    enum tool_choice choice; struct span chosen;  /* quoted: CHOICE_NAMED's */
    enum tristate parallel;                       /* parallel tool calls */
    enum answer_format format;
    struct span format_at;                        /* json: where the format is asked for */
    struct span format_name, format_description;  /* quoted */
    struct span format_schema;                    /* json */
    bool format_strict;
    const struct span *stops; int stop_count;     /* quoted */
    struct span temperature, top_p, top_k;        /* json numbers; absent: not given */
    struct span effort;                           /* quoted: reasoning effort, "low" ... */
    struct span user;                             /* quoted */
    bool wants_reasoning;                         /* the caller asked for reasoning text (thinking, reasoning summary) */
    int64_t max_output;                           /* -1: not given */
    /* Fields that only OpenAI's chat knows, as they stand. Neutral values (n 1, penalties 0, logprobs false, null, store
     * false) are left out. field: static, chat's name for it. */
    struct extra { const char *field; struct jval value; } extras[CONVERSATION_EXTRAS]; int extra_count;
};

/* Reads a checked request of any face but embeddings. The parse stage has checked what it checks: this checks the rest of
 * what it reads. WEIR_INVALID names the field ("messages[2].content[0].type") that is malformed or has no place in the
 * model: no translated target can serve the request then, but one that speaks the caller's face may. WEIR_NOMEM. */
enum weir_err conversation_read(const struct chat *chat, struct arena *a, struct conversation *out, struct problem *p);

/* Can a request for this be written in face `to` (FACE_CHAT, FACE_MESSAGES)? WEIR_INVALID names the caller's field that
 * cannot be carried. `speaks_as`: the caller's face, for the field's name.
 * What is left out although it says something, as it changes no answer: marks and keys for a provider's prompt cache;
 * reasoning of earlier turns that the other provider has not signed itself and so would not believe. */
enum weir_err conversation_fits(const struct conversation *c, enum face speaks_as, enum face to, struct problem *p);

/* What a written request says beside the conversation. */
struct write_options {
    const char *model;
    bool stream;
    int64_t max_output;        /* what is forwarded; -1: none, but Anthropic's always gets one: default_max_output */
    int64_t default_max_output;
    const char *maximum_name;  /* FACE_CHAT: "max_tokens" or "max_completion_tokens" */
};
/* Appends the whole body. Sticks in out->err. FACE_CHAT or FACE_MESSAGES. A stream of FACE_CHAT asks for its usage. */
void conversation_write(const struct conversation *c, enum face to, const struct write_options *o, struct buf *out);

#endif
