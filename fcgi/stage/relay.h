/* Fifth step: asks the plan's targets, one after the other (or, hedging, two at a time), until one answers. */
#ifndef WEIR_STAGE_RELAY_H
#define WEIR_STAGE_RELAY_H

#include "fcgi/stage/way.h"
#include "fcgi/base/flight.h"
#include "sql/cache.h"
#include "sql/pulse.h"

/* What the process lends to every relay. */
struct relay_tools {
    struct http_pool *pool;
    struct book book;
    struct pulse *pulse; /* NULL: nothing is remembered of who fails */
    struct cache *cache; /* NULL: nothing is kept */
    struct flights *flights;
    int stop_fd;     /* readable when the process must end now */
    bool is_cgi;     /* then a stop is the web server's way to say that the client has gone */
};

/* Fills *out. The ticket is open; every attempt but its first is booked before it is made. A stream's events but for the
 * last have gone to the caller when this returns; everything else waits in
 * *out for answer_outcome, so that the audit row can be written first. Never fails: what fails is an outcome. */
void relay_run(const struct relay_tools *tools, const struct request *r, const struct caller *caller,
               const struct chat *chat,
               const struct plan *plan, const struct ticket *ticket, struct arena *a, struct outcome *out);

/* After the answer has gone out: lets the upstream end its last bytes, so that its connection can be used again, and
 * frees what *out holds. */
void relay_end(struct outcome *out);

#endif
