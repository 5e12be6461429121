/* The way of a request through the stages; the one file that knows them all. */
#ifndef WEIR_PIPELINE_H
#define WEIR_PIPELINE_H

#include "fcgi/stage/authenticate.h"
#include "fcgi/stage/relay.h"
#include "fcgi/stage/request.h"

/* What a process serves requests with. */
struct gateway {
    struct relay_tools tools;
    struct gate gate;
    struct id_source *ids;
    const char *mount; /* URL prefix, "" for none */
};

/* Serves the request that conn has accepted, from its head to its end. */
void pipeline_run(const struct gateway *g, struct conn *conn);
/* Answers it 503 `overloaded` without looking at it any closer. */
void pipeline_overloaded(const struct gateway *g, struct conn *conn);

#endif
