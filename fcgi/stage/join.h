/* Waiting for an answer that somebody else is fetching (flight.h), and telling it to this caller in the form it asked for: a
 * stream while it comes, a plain answer when it is whole. */
#ifndef WEIR_STAGE_JOIN_H
#define WEIR_STAGE_JOIN_H

#include "fcgi/stage/keep.h"
#include "fcgi/stage/way.h"

struct join {
    const struct request *r;
    const struct chat *chat;
    const struct settings *settings;
    struct arena *memory;
    struct flight *flight;
    int stop_fd;
    bool is_cgi;                /* then a stop is the web server's way to say that the client has gone */
    struct keep_head head;      /* by join_wait */
    struct keep_failure failure; /* JOINED_FAILED: what whoever fetched it ran into; status 0: it has just left */
};

enum joined {
    JOINED,        /* there is an answer; behind join_stream and join_plain: and it was told */
    JOINED_FAILED, /* whoever fetched it failed, and this caller has been told nothing: somebody may try again */
    JOINED_OVER    /* the client has gone, time is over, or the process must end: *out says it */
};

/* Waits until the answer begins. */
enum joined join_wait(struct join *j, struct outcome *out);
/* Tells a stream; its last bytes stay in out->tail. What breaks off is told as truncated: JOINED all the same. */
enum joined join_stream(struct join *j, struct outcome *out);
/* Waits for all of a plain answer, into out->body. */
enum joined join_plain(struct join *j, struct outcome *out);

#endif
