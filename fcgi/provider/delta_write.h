/* What the writers of answers share. Private to delta_write*.c; the rest of the world sees delta.h. */
#ifndef WEIR_PROVIDER_DELTA_WRITE_H
#define WEIR_PROVIDER_DELTA_WRITE_H

#include "fcgi/base/bounds.h"
#include "fcgi/provider/delta.h"

#define ITEMS_MOST 65536 /* of an answer that is kept: texts, refusals, reasonings and tool calls that follow one another */
#define OPEN_MOST 160    /* items of a stream that are open at a time: the latest, and calls whose arguments go on */

/* Text as it came in, piece after piece: chains of segments of one buffer. -1: none. */
struct kept_text { int first, last; };

/* Where a JSON text ends that arrives in pieces as the inside of a string. */
struct json_end { int depth; bool in_string, escaped, whole; };

/* A run of one kind of content. Messages call it a block, responses an item. */
struct item {
    enum delta_kind kind; /* TEXT, REFUSAL, REASONING, TOOL */
    int choice, tool;
    int next, earlier_call; /* in its choice: the item after it, the tool call before it; -1: none */
    struct kept_text id, name, text, signature;
    struct json_end end;    /* of a tool call's arguments */
    bool is_signed;         /* it has its signature */
    bool closed;            /* of a stream: told to its end */
    bool cut;               /* the answer ended within it */
};

struct kept {
    bool texts;           /* texts are kept, not only what items there are */
    bool follows;         /* which items are open is followed: streams tell of it */
    struct buf bytes;     /* all texts */
    struct buf segments;  /* struct segment */
    struct buf items;     /* struct item */
    int first[BOUND_CHOICES], latest[BOUND_CHOICES], latest_call[BOUND_CHOICES]; /* items, -1: none */
    int open[OPEN_MOST], open_count;                                             /* oldest first */
};

struct face_writer {
    /* One step of a stream: START, content, FINISH. What is not for this face is passed over. */
    void (*step)(struct delta_writer *w, const struct delta *d, struct buf *out);
    void (*end)(struct delta_writer *w, struct buf *out);   /* of a stream */
    void (*whole)(struct delta_writer *w, struct buf *out); /* a plain answer from what was kept */
    void (*error)(struct delta_writer *w, struct span message, struct span type, struct span code, struct buf *out);
    const char *id_prefix;
    bool one_choice;               /* it has room for one; others are passed over */
    bool reasoning_if_wanted;      /* as against always */
    bool keeps_items, keeps_texts; /* in streams; plain answers keep both */
};

struct delta_writer {
    struct delta_target target;
    const struct face_writer *face;
    struct arena *memory;
    bool started;
    struct span id, model;         /* quoted, never absent once started */
    int64_t created;
    struct usage usage;
    int64_t reasoning;
    bool refused;                  /* a refusal was given */
    uint64_t seen[2], begun[2], finished[2]; /* bit i: of choice i something came, its role is out, its finish came */
    enum finish finish[BOUND_CHOICES];
    struct span stop;              /* quoted; empty: none */
    int64_t sequence;              /* of a responses stream: the next event's number */
    struct jval *echoes;           /* of responses: the request's fields that they repeat, once looked up */
    struct kept *kept;             /* NULL: this face's streams need none */
};

extern const struct face_writer delta_writes_chat, delta_writes_completions, delta_writes_responses, delta_writes_messages;

/* ---- items: delta_kept.c ---- */

struct kept *kept_new(struct arena *a, bool texts, bool follows);
void kept_free(struct kept *k);
int kept_count(const struct kept *k);
struct item *kept_item(const struct kept *k, int i);
/* The item that a content delta belongs to, made if a new one begins (*fresh). -1: it belongs to none (arguments of a call
 * that is unknown or closed), or what is kept is at its bounds (kept_err). Texts are added where they are kept. */
int kept_take(struct kept *k, const struct delta *d, bool *fresh);
int kept_first(const struct kept *k, int choice); /* -1: none; the others by item.next */
/* Takes one off the open items and returns it, -1 if there is none left to close: of all, or of those older than `before`
 * that can have no more to say. A call whose arguments are not whole stays open, for upstreams may mix calls. */
int kept_close(struct kept *k, int before, bool all);
void kept_put(const struct kept *k, struct kept_text t, struct buf *out); /* the text, quoted */
bool kept_is_empty(struct kept_text t);
/* The first failure of any of its buffers. */
enum weir_err kept_err(const struct kept *k);

static inline bool writer_is_marked(const uint64_t bits[2], int choice) { return bits[choice / 64] >> (choice % 64) & 1; }
static inline void writer_mark(uint64_t bits[2], int choice) { bits[choice / 64] |= (uint64_t)1 << (choice % 64); }

/* ---- pieces of JSON: delta_write.c ---- */

static inline void put_quoted(struct buf *out, const char *lead, struct span quoted)
{
    buf_str(out, lead);
    buf_span(out, quoted);
}

static inline void put_int(struct buf *out, const char *lead, int64_t n)
{
    buf_str(out, lead);
    buf_int(out, n);
}

/* A name made of the request's id, the same for the same request, choice and number: prefix and 16 hexadecimal digits. */
void put_made_id(const struct delta_writer *w, const char *prefix, int choice, int number, struct buf *out);
/* A tool call's own id, or one that is made. */
void put_call_id(const struct delta_writer *w, const struct item *item, struct buf *out);
/* OpenAI's usage object of chat and completions. */
void put_usage(const struct delta_writer *w, struct buf *out);
/* OpenAI's error object with its four members. */
void put_error(struct span message, struct span type, struct span code, struct buf *out);
/* A checked JSON value on one line, as an event's data must be. */
void put_json(struct buf *out, struct span json);

#endif
