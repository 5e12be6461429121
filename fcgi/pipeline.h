/* Which piece answers a request. */
#ifndef WEIR_PIPELINE_H
#define WEIR_PIPELINE_H

#include "fcgi/gateway.h"

/* Serves the request that the place's connection has accepted, from its head to its end, and gives the place back to
 * g->places; the last of it maybe on another thread, after this has returned. */
void pipeline_run(const struct gateway *g, struct place *place);
/* Answers it 503 `overloaded` without looking at it any closer, and gives the place back. */
void pipeline_overloaded(const struct gateway *g, struct place *place);

#endif
