/* The step between plan and admit, and again behind the relay: is there an answer to this already, and is the new one kept
 * for the next? Whose answers may serve whom is decided here. */
#ifndef WEIR_STAGE_CACHE_H
#define WEIR_STAGE_CACHE_H

#include "fcgi/stage/keep.h"
#include "fcgi/stage/way.h"

/* What the alias and the request's own headers allow, and by which name its answers go: the caller's scope, the face, what
 * the alias stands for, and all of the body but the form it is asked in (canon.h). Two requests that could have
 * different answers have different names. out->stores and ->looks false: it goes its way alone. */
void cache_name_request(const struct request *r, const struct caller *c, const struct chat *chat, const struct model_row *m,
                        struct arena *a, struct reuse *out);

/* Looks. True: out->entry is fresh. Otherwise out->found says that there is one for the case that all fails. */
bool cache_find(struct cache *cache, struct reuse *out, struct arena *a);

/* The name of the flight that fetches this (flight.h). */
#define CACHE_FLIGHT_NAME 65
void cache_flight_name(const struct reuse *u, char out[CACHE_FLIGHT_NAME]);

/* Keeps the answer if it is whole, and neither cut short nor refused, nor a call of tools where the alias does not keep
 * those. When this returns every process finds it. */
void cache_store(struct cache *cache, const struct reuse *u, const struct keep *k, const struct model_row *m,
                 int64_t most_bytes);

#endif
