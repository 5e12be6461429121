/* The table of dialects: how each provider is called, what it refuses, and how it speaks of errors, limits and models. A
 * dialect never speaks to the caller and decides nothing about retries. What comes back is read by its wire format (tap.h),
 * which several dialects share. */
#ifndef WEIR_PROVIDER_PROVIDER_H
#define WEIR_PROVIDER_PROVIDER_H

#include "fcgi/base/arena.h"
#include "fcgi/base/bounds.h"
#include "fcgi/door/http.h"
#include "fcgi/provider/chat.h"
#include "fcgi/provider/tap.h"
#include "fcgi/provider/trouble.h"
#include "sql/routes.h"

struct conversation;

/* One provider's model, to be called with one of its keys. */
struct target {
    const struct provider_row *provider;
    const struct upstream_key *key; /* NULL: the provider has none */
    const char *model;              /* the provider's name for it */
    const struct price *price;      /* NULL: it has none */
    const struct model_row *alias;  /* under which it stands: the one asked for, or a fallback */
    /* By fit_target: */
    enum face asked;                /* the face it is asked in */
    const struct conversation *conversation; /* what is written for it; NULL: the caller's own body is sent on */
    uint32_t strips;                /* fields left out, for it refuses even what they say anyway (quirks.h) */
};

/* What a call is made of. Everything lives until the upstream is closed. */
struct call {
    struct http_pool *pool;
    int stop_fd;                /* readable when running calls must end; -1: none */
    const struct chat *chat;
    const struct target *target;
    int64_t max_output;         /* the maximum to forward, a choice; -1: the caller's own, or none */
    int64_t default_max_output; /* where the dialect needs one and nobody gave it */
    const char *beta;           /* the caller's anthropic-beta, for those who are asked in that face; NULL: none */
    bool http2;
    struct buf *body;           /* empty; the dialect may keep the body it sends here */
    struct arena *memory;       /* the request's */
};

/* What mending one stream remembers between its events. Zeroed at its start. */
struct mend {
    char id[96], model[96];     /* as the stream's events told them last */
    uint8_t calls[BOUND_CHOICES]; /* tool calls begun, by choice */
    unsigned serial;            /* of ids made up here */
};
enum mended { MEND_NOTHING, MEND_REWRITTEN, MEND_DROPPED };

struct limit_headers;
struct model_list;

struct dialect {
    const char *name;
    /* The faces that it speaks, 1 << enum face; what the provider's own `faces` names comes before it. */
    unsigned (*faces)(const struct provider_row *p);
    enum face base; /* FACE_CHAT or FACE_MESSAGES: what others are translated into */
    /* WEIR_INVALID: it refuses the request for what *p names, and no single field says so (those: quirks.c). NULL: it has no
     * such habits. */
    enum weir_err (*check)(const struct target *t, const struct chat *c, struct problem *p);
    /* Starts the call; it proceeds inside upstream->ops->wait. WEIR_NOMEM, WEIR_INTERNAL. */
    enum weir_err (*open)(const struct call *c, struct upstream **out);
    /* Rewrites one event of a chat's stream where clients would stumble over it (WIRE.md 3): its data, into *out. NULL: it
     * has no such habits. */
    enum mended (*mend_event)(struct mend *m, struct span data, struct buf *out);
    /* What an answer of a status above 399 says of whom. */
    enum trouble (*classify)(int status, const struct fault *f);
    /* What the headers of any answer say of the key's limits there. */
    void (*read_limits)(const struct upstream *up, int64_t now_ms, struct limit_headers *out);
    /* Asks which models there are, and reads the answer. NULL: it cannot be asked. */
    enum weir_err (*ask_models)(const struct call *c, struct upstream **out);
    bool (*read_models)(struct span body, struct arena *a, struct model_list *out);
};

/* NULL: no such dialect. */
const struct dialect *dialect_find(const char *name);

/* The faces a provider speaks; and the one it is asked in where that is not the caller's own. */
unsigned provider_faces(const struct provider_row *p);
/* False: it speaks none that this one can be translated into. */
bool provider_face_for(const struct provider_row *p, enum face face, enum face *asked);
/* "chat", "completions" ...: the names that `faces` of a provider holds, separated by commas. */
extern const char *const face_names[FACE_COUNT];

#endif
