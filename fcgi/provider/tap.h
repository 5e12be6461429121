/* The tap: reads answers in passing, in the wire format of the face they were asked in, and adds up what must be known of
 * them: usage, finish, what was delivered, errors. Nothing is kept of the bytes. (WIRE.md 1 to 3) */
#ifndef WEIR_PROVIDER_TAP_H
#define WEIR_PROVIDER_TAP_H

#include "fcgi/provider/chat.h"
#include "sql/price.h"

/* Tokens as a provider counts them: as struct price_use has them, and searches it made. */
struct usage {
    bool known;
    bool is_half;               /* it says nothing of the completion */
    int64_t prompt, cached, cache_write, completion;
    int64_t cache_write_1h, audio_input, audio_output, searches;
};

/* An upstream's error in its own words; empty where it had none. Never more than these bounds. */
struct fault {
    char message[512], type[64], code[64], param[80];
};

struct tap {
    enum face face;             /* the one the upstream was asked in */
    int64_t expected;           /* choices the caller asked for */
    uint64_t seen[2], finished[2]; /* bit i: choice i has been seen, has its finish_reason (up to 128) */
    struct usage usage;         /* the last that was told (streams tell running totals; zeros take nothing back) */
    bool tells_tier;            /* it has said in which service tier it served */
    enum price_tier tier;
    bool usage_is_running;      /* its completion was told before the answer was there: no figure of the whole */
    bool counts;                /* delivered is to be kept */
    int64_t delivered;          /* characters of text, tool arguments and reasoning that went by */
    int64_t sounded;            /* of sound: its characters as it was encoded; its transcript is text */
    int64_t sequence;           /* responses: the last event's number, -1 before the first */
    bool done;                  /* the event that ends a stream was seen */
    bool is_cut, is_refused, calls_tools; /* by what was told of the end: some choice is too long, filtered; has calls */
};

/* What one event was. */
enum event_kind {
    EVENT_EMPTY,    /* nothing that a caller needs: no data, or white space */
    EVENT_HEAD,     /* a role, an id, filter results, a ping: not content */
    EVENT_CONTENT,  /* text, a refusal, reasoning, a tool call, a finish_reason */
    EVENT_USAGE,    /* the chunk of usage alone: passed on only to who asked for it */
    EVENT_DONE,     /* [DONE], message_stop, response.completed or .incomplete */
    EVENT_ERROR,    /* *fault says which */
    EVENT_GARBAGE   /* not what the face speaks */
};

/* A service tier by its name; false if v names none: TIER_OTHER is one whose price nobody knows. */
bool tier_read(struct jval v, enum price_tier *tier);

/* asked: the face that the upstream is asked in, be it the caller's or one that is translated to. */
void tap_start(struct tap *t, const struct chat *chat, enum face asked);
/* One event's data. EVENT_ERROR fills *fault. */
enum event_kind tap_read_event(struct tap *t, struct span data, struct fault *fault);
/* A whole plain answer of status 200: false if it is none (*fault says why, in our words, or the provider's). */
bool tap_read_answer(struct tap *t, struct span body, struct fault *fault);
/* The body of an answer that is an error. True: it already has the wire's full form and may pass unchanged. */
bool tap_read_error(struct tap *t, struct span body, struct fault *fault);
/* Has every choice that was asked for or seen its finish_reason? */
bool tap_is_finished(const struct tap *t);
/* The event that a finished stream lacks whose upstream ended before it. */
struct span tap_last_event(const struct tap *t);

#endif
