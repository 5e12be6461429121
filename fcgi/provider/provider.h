/* The table of dialects: what a provider's wire format is made of. A dialect builds the request, starts the call, and
 * reads what comes back; it never speaks to the caller and decides nothing about retries. */
#ifndef WEIR_PROVIDER_PROVIDER_H
#define WEIR_PROVIDER_PROVIDER_H

#include "fcgi/base/arena.h"
#include "fcgi/door/http.h"
#include "fcgi/provider/chat.h"
#include "sql/routes.h"

/* One provider's model, to be called with one of its keys. */
struct target {
    const struct provider_row *provider;
    const struct upstream_key *key; /* NULL: the provider has none */
    const char *model;              /* the provider's name for it */
    const struct price *price;      /* NULL: it has none */
    const struct model_row *alias;  /* under which it stands: the one asked for, or a fallback */
};

/* What a call is made of. Everything lives until the upstream is closed. */
struct call {
    struct http_pool *pool;
    int stop_fd;                /* readable when running calls must end; -1: none */
    const struct chat *chat;
    const struct target *target;
    int64_t max_output;         /* the maximum to forward, a choice; -1: the caller's own, or none */
    bool http2;
    struct buf *body;           /* empty; the dialect may keep the body it sends here */
    struct arena *memory;       /* the request's */
};

/* Tokens as a provider counts them. cached and cache_write lie inside prompt. */
struct usage {
    bool known;
    int64_t prompt, cached, cache_write, completion;
};

/* An upstream's error in its own words; empty where it had none. Never more than these bounds. */
struct fault {
    char message[512], type[64], code[64], param[80];
};

/* Reads one answer, whole or event by event, and adds up what must be known of it. Nothing is kept of the bytes. */
struct tap {
    enum face face;
    int64_t expected;           /* choices the caller asked for */
    uint64_t seen[2], finished[2]; /* bit i: choice i has been seen, has its finish_reason (up to 128) */
    struct usage usage;         /* the last that was told (streams tell running totals) */
    bool counts;                /* delivered is to be kept */
    int64_t delivered;          /* characters of text, tool arguments and reasoning that went by */
    bool done;                  /* [DONE] was seen */
};

/* What one event was. */
enum event_kind {
    EVENT_EMPTY,    /* nothing that a caller needs: no data, or white space */
    EVENT_HEAD,     /* a role, an id, filter results: not yet content */
    EVENT_CONTENT,  /* text, a refusal, reasoning, a tool call, a finish_reason */
    EVENT_USAGE,    /* the chunk of usage alone: passed on only to who asked for it */
    EVENT_DONE,     /* [DONE] */
    EVENT_ERROR,    /* *fault says which */
    EVENT_GARBAGE   /* not what the dialect speaks */
};

struct dialect {
    const char *name;
    /* Starts the call; it proceeds inside upstream->ops->wait. WEIR_NOMEM, WEIR_INTERNAL. */
    enum weir_err (*open)(const struct call *c, struct upstream **out);
    /* One event's data. EVENT_ERROR fills *fault. */
    enum event_kind (*read_event)(struct tap *t, struct span data, struct fault *fault);
    /* A whole plain answer of status 200: false if it is none (*fault says why, in our words, or the provider's). */
    bool (*read_answer)(struct tap *t, struct span body, struct fault *fault);
    /* The body of an answer that is an error. True: it already has the dialect's full form and may pass unchanged. */
    bool (*read_error)(struct tap *t, struct span body, struct fault *fault);
};

/* NULL: no such dialect. */
const struct dialect *dialect_find(const char *name);

void tap_start(struct tap *t, const struct chat *chat);
/* Has every choice that was asked for or seen its finish_reason? */
bool tap_is_finished(const struct tap *t);

#endif
