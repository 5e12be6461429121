/* What the rooms of the request's translation share: the readers' tools (reading.c, reading_values.c), the
 * entrances of the rooms, and the writers' smallest words. No one else includes this. */
#ifndef WEIR_PROVIDER_TRANSLATE_H
#define WEIR_PROVIDER_TRANSLATE_H

#include "fcgi/provider/conversation.h"

/* ---- reading ---- */

#define KIND(kind) (1u << (kind))
#define A_STRING   KIND(JSON_STRING)
#define A_LIST     KIND(JSON_ARRAY)
#define AN_OBJECT  KIND(JSON_OBJECT)
#define A_NUMBER   KIND(JSON_NUMBER)
#define A_BOOLEAN  (KIND(JSON_TRUE) | KIND(JSON_FALSE))
#define ANYTHING   (A_STRING | A_LIST | AN_OBJECT | A_NUMBER | A_BOOLEAN)

enum member_use {
    USE_READ,    /* the reader reads it */
    USE_NOTHING, /* says nothing to a model: bookkeeping, or read elsewhere */
    USE_EXTRA,   /* chat's alone: kept as an extra of the same name */
    USE_NOWHERE, /* no other dialect has a place for it */
    USE_STATE    /* needs what only a Responses upstream has stored */
};

/* One member that an object may have. neutral: the JSON text that means the same as leaving it out, NULL for none; null
 * always does. */
struct member {
    const char *name;
    unsigned kinds; /* of KIND */
    enum member_use use;
    const char *neutral;
};

struct part_list { struct part *at; int count, cap; };

struct reader {
    const struct chat *chat;
    struct arena *arena;
    struct conversation *out;
    struct problem *p;
    enum weir_err err;          /* what a false answer of any function below means */
    struct message *messages; int message_cap;
    struct part_list open;      /* the parts of the last message */
    int pieces;                 /* messages, parts, tools and stops so far: at most BOUND_PIECES */
};

/* Refusals: all set r->err, name v by its path in the body, and return false. */
bool reader_must(struct reader *r, struct jval v, const char *expected); /* "PATH must be EXPECTED." */
bool reader_lacks(struct reader *r, struct jval object, const char *member, const char *expected);
bool reader_untranslatable(struct reader *r, struct jval v);
bool reader_needs_state(struct reader *r, struct jval v);
bool reader_nomem(struct reader *r);
/* The name of the value that `at` lies in: "messages[2].content[0].type"; cut after 79 bytes, empty for the whole body. */
#define PATH_TEXT 80
void path_of(struct jval root, const char *at, char path[PATH_TEXT]);

/* Finds the members of an object that `known` lists: at[i] is that of known[i], absent if it is not there or null or not
 * USE_READ. False: no object, a member of another kind, one given twice, or one that has no place. */
bool reader_take(struct reader *r, struct jval object, const struct member *known, int count, struct jval *at);
#define TAKE(r, object, known, at) reader_take(r, object, known, (int)(sizeof(known) / sizeof *(known)), at)

/* Is the object's type `only`, or not given? */
bool reader_type(struct reader *r, struct jval object, const char *only);
/* Which of the strings (ended by NULL) v is; -1: none. */
int word_of(struct jval v, const char *const *words);

static inline struct span quoted(struct jval v) /* absent if v is no string */
{
    return v.kind == JSON_STRING ? (struct span){v.text.at + 1, v.text.len - 2} : SPAN_NONE;
}
static inline struct span json_of(struct jval v) { return v.kind == JSON_ABSENT ? SPAN_NONE : v.text; }
static inline bool is_given(struct jval v) { return v.kind != JSON_ABSENT; }
static inline enum tristate said(struct jval v)
{
    return v.kind == JSON_TRUE ? SAID_YES : v.kind == JSON_FALSE ? SAID_NO : SAID_NOTHING;
}

/* Begins a message; what reader_part adds belongs to the last one. reader_join goes on with the last message if it is the
 * same speaker's. */
struct message *reader_message(struct reader *r, enum speaker speaker);
struct message *reader_join(struct reader *r, enum speaker speaker);
struct part *reader_part(struct reader *r, struct part_list *to, enum part_kind kind); /* NULL: r->err */
void reader_close(struct reader *r); /* all messages are there */
/* Memory for `count` things of `size`, counted as pieces. */
void *reader_pieces(struct reader *r, struct jval of, size_t count, size_t size);

/* A string, or an array of parts each of which `read` adds to `to`. allowed: KIND of part kinds. */
typedef bool part_reader(struct reader *r, struct jval v, unsigned allowed, struct part_list *to);
struct part_type {
    const char *name;
    enum part_kind kind;
    bool (*read)(struct reader *r, struct jval v, struct part *part);
};
bool reader_content(struct reader *r, struct jval content, unsigned allowed, part_reader *read, struct part_list *to);
/* One part, read as its type's entry says; no reader: left out. A row without a name ends the table. */
bool reader_typed_part(struct reader *r, struct jval v, unsigned allowed, const struct part_type *types,
                       struct part_list *to);
bool reader_refusal(struct reader *r, struct jval v, struct part *part); /* {type, refusal}, as all of OpenAI's faces have */
/* An array of tools, one by one; absent: none. */
typedef bool tool_reader(struct reader *r, struct jval v, struct tool *tool);
bool reader_tools(struct reader *r, struct jval v, tool_reader *read);
bool reader_image(struct reader *r, struct jval url, struct part *part);  /* an address or a data: URL */
bool reader_arguments(struct reader *r, struct jval text, struct part *call); /* a string that holds a JSON object */
bool reader_strings(struct reader *r, struct jval v, const struct span **at, int *count); /* a string or an array */
bool reader_extra(struct reader *r, const char *field, struct jval value);
bool reader_stream_options(struct reader *r, struct jval options);
/* OpenAI's forms, alike in several faces. */
bool reader_tool_choice_word(struct reader *r, struct jval choice);
bool reader_json_schema(struct reader *r, struct jval schema_object); /* {name, description, schema, strict}, type */

bool read_chat(struct reader *r);
bool read_completions(struct reader *r);
bool read_responses(struct reader *r);
bool read_messages(struct reader *r);

/* ---- writing ---- */

void write_chat(const struct conversation *c, const struct write_options *o, struct buf *out);
void write_messages(const struct conversation *c, const struct write_options *o, struct buf *out);

/* Anthropic refuses text that is only white space, and unsigned reasoning: such a part is not written. */
bool says_something(const struct part *part);
bool is_blank_text(struct span text); /* quoted */

/* ,"name":"text"   nothing if it is absent */
static inline void put_text(struct buf *out, const char *name, struct span text)
{
    if (!text.at) return;
    buf_add(out, ",\"", 2);
    buf_str(out, name);
    buf_add(out, "\":\"", 3);
    buf_span(out, text);
    buf_char(out, '"');
}
/* ,"name":json     nothing if it is absent */
static inline void put_json(struct buf *out, const char *name, struct span json)
{
    if (!json.at) return;
    buf_add(out, ",\"", 2);
    buf_str(out, name);
    buf_add(out, "\":", 2);
    buf_span(out, json);
}
static inline void put_comma(struct buf *out, bool *first)
{
    if (!*first) buf_char(out, ',');
    *first = false;
}

#endif
