/* A provider's own limits, as the headers of its answers tell them, taken over as limits on scope provider/NAME. */
#ifndef WEIR_ADMIN_LIMIT_SYNC_H
#define WEIR_ADMIN_LIMIT_SYNC_H

#include "fcgi/base/buf.h"
#include "fcgi/base/err.h"
#include "fcgi/provider/limit_headers.h"
#include "sql/limits.h"
#include "sql/routes.h"

#define SYNC_LIMITS 2 /* of requests, and of tokens */

struct limit_sync {
    const struct provider_row *provider;
    const char *model; /* the one that was asked for a word; NULL: the list of models told the limits */
    struct limit_headers read;
    struct limit_rule limits[SYNC_LIMITS];
    int count;
};

/* The provider of that name; name NULL: the first of dialect openai. NULL: there is none. */
const struct provider_row *limit_sync_provider(const struct snapshot *snap, const char *name);

/* Asks the provider with its first key, by the cheapest call that tells limits: its list of models, else the smallest
 * completion of `model`, or (NULL) of one that an alias leads to. Texts live as long as snap, model and a. Needs
 * http_start. WEIR_UPSTREAM: it does not answer, or tells no limits; WEIR_INVALID: no model is known. *p says it. */
enum weir_err limit_sync_ask(const struct snapshot *snap, const struct provider_row *provider, const char *model,
                             struct arena *a, struct limit_sync *out, struct problem *p);

/* The limits as a document to be applied. What stands in the database keeps its mode and threshold. */
enum weir_err limit_sync_document(struct db *db, struct arena *a, struct limit_sync *s, struct buf *json);

/* What was read and set, as one JSON object. */
void limit_sync_write(const struct limit_sync *s, bool changed, struct buf *json);

#endif
