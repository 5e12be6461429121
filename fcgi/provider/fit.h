/* Which targets can take a request, and how: as it is, translated, or not at all. Used by the plan. */
#ifndef WEIR_PROVIDER_FIT_H
#define WEIR_PROVIDER_FIT_H

#include "fcgi/provider/conversation.h"
#include "fcgi/provider/provider.h"

/* A request on its way to its targets; read into the common model at most once. Begin with {.chat, .memory}. */
struct fitting {
    const struct chat *chat;
    struct arena *memory;
    bool was_read;
    enum weir_err read; /* the reading's end; *problem says it */
    struct problem problem;
    struct conversation *conversation;
};

/* Sets what the target says "by fit_target". WEIR_INVALID: it cannot carry what *p names ("model": its provider serves
 * nothing of the kind). WEIR_NOMEM. */
enum weir_err fit_target(struct fitting *f, struct target *t, struct problem *p);

#endif
