/* Which piece answers a request. */
#ifndef WEIR_PIPELINE_H
#define WEIR_PIPELINE_H

#include "fcgi/gateway.h"

/* Serves the request that conn has accepted, from its head to its end, and gives conn back to g->conns; the last of it
 * maybe on another thread, after this has returned. */
void pipeline_run(const struct gateway *g, struct conn *conn);
/* Answers it 503 `overloaded` without looking at it any closer. */
void pipeline_overloaded(const struct gateway *g, struct conn *conn);

#endif
