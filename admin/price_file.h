/* A price list in the form that LiteLLM publishes: one JSON object with a member for each model. Field names only; the
 * list itself is its publisher's. */
#ifndef WEIR_ADMIN_PRICE_FILE_H
#define WEIR_ADMIN_PRICE_FILE_H

#include "admin/names.h"
#include "fcgi/base/buf.h"
#include "fcgi/base/jscan.h"
#include "sql/routes.h"

struct price_file { struct names at; struct jval *entries; size_t count; };

/* text must outlive it. False: it was said on stderr what is wrong; price_file_free either way. */
bool price_file_read(struct span text, const char *name, struct price_file *out);
void price_file_free(struct price_file *f); /* a zeroed struct is fine */

struct listed {
    const char *name;   /* as the list calls the model, in memory; NULL: not listed */
    struct price price; /* known: false where `fault` says why */
    char fault[200];    /* "input_cost_per_token: is below 0"; empty: none */
    bool lengths;       /* it lists more than one length of prompt: from the shortest on the dearest is taken */
    int64_t context_window, max_output; /* 0: not said */
};

/* By alias, else the first target's DIALECT/MODEL, else its MODEL. WEIR_NOMEM. */
enum weir_err price_file_find(const struct price_file *f, const struct model_row *m, struct arena *memory,
                              struct listed *out);

#endif
