/* Server-sent events: cuts a byte stream into events wherever it is split, and writes events.
 * An event keeps its own bytes, so it can be passed on unchanged. (WHATWG HTML 9.2; WIRE.md 1) */
#ifndef WEIR_BASE_SSE_H
#define WEIR_BASE_SSE_H

#include "fcgi/base/buf.h"

struct sse {
    struct buf in;     /* bytes not yet given out */
    struct buf joined; /* data of events with several data lines */
    size_t event_max;
    size_t given;      /* bytes of `in` already given out as events */
    size_t whole;      /* bytes of `in` that are whole events; the rest is one unfinished event */
    size_t scanned;    /* bytes of `in` searched for line ends */
    bool begun;        /* past the place of a byte order mark */
    bool has_cr;       /* some byte fed was a \r */
    enum weir_err err; /* the first failure; sticks */
};

struct sse_event {
    struct span raw;  /* all bytes of the event with the blank line that ends it */
    struct span type; /* value of `event:`; absent if there is none */
    struct span data; /* `data:` lines joined by \n; absent if there is none (comments only) */
};

/* event_max: the most bytes one event may have. */
void sse_init(struct sse *s, size_t event_max);
void sse_free(struct sse *s);

/* Takes n more bytes. Read with sse_next until false before feeding again: at most event_max unread bytes are kept
 * besides these n. WEIR_FULL: an event is longer than event_max (what was complete before can still be read); it,
 * as WEIR_NOMEM, sticks. */
enum weir_err sse_feed(struct sse *s, const char *bytes, size_t n);
/* The next whole event; false if there is none yet. Spans are valid until the next call of sse_feed or sse_end.
 * Lines may end in \n, \r\n or \r; a leading byte order mark is dropped; a blank line more than needed is an event
 * of its own without type and data. A \r that is the last byte fed may be
 * half of a \r\n: wait for the next byte or sse_end. */
bool sse_next(struct sse *s, struct sse_event *ev);
/* The stream is over: an unfinished last event that has a data line is completed with the blank line it lacks
 * (WIRE.md 1: SDKs lose it otherwise), so sse_next gives it out; anything else left is dropped.
 * Returns the failure that stuck, if one did. */
enum weir_err sse_end(struct sse *s);

/* Writers. json must hold no line break. */
enum weir_err sse_data(struct buf *out, struct span json);                       /* data: ...\n\n */
enum weir_err sse_event_data(struct buf *out, const char *type, struct span json); /* event: ...\ndata: ...\n\n */
enum weir_err sse_comment(struct buf *out, const char *text);                    /* : ...\n\n */

#endif
