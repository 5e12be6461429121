/* Which models a provider offers, from the answer to its own list. */
#ifndef WEIR_PROVIDER_MODEL_LIST_H
#define WEIR_PROVIDER_MODEL_LIST_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/arena.h"
#include "fcgi/base/span.h"

struct listed_model {
    const char *id;                      /* as the provider is to be asked for it */
    int64_t context_window, max_output;  /* tokens; 0: not said */
};

struct model_list { const struct listed_model *models; int count; };

/* The body of an answer of status 200. False: it is no list, or memory is out. Entries without an id, or with one that is
 * longer than BOUND_ALIAS or no visible ASCII, are passed over; the arena keeps the rest. */
bool models_openai(struct span body, struct arena *a, struct model_list *out);   /* and all who follow it */
bool models_anthropic(struct span body, struct arena *a, struct model_list *out);
/* "models/" before the names is taken off. */
bool models_gemini(struct span body, struct arena *a, struct model_list *out);

#endif
