/* An answer on its way from an upstream, whoever makes it (the network: http.h; the built-in mock).
 * The relay pulls: wait, look, take the bytes, wait again. */
#ifndef WEIR_DOOR_UPSTREAM_H
#define WEIR_DOOR_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/buf.h"

enum upstream_event {
    UPSTREAM_HEAD,    /* status and headers are there; once, before any bytes */
    UPSTREAM_BYTES,   /* u->bytes holds more of the body */
    UPSTREAM_END,     /* the body ended as it should */
    UPSTREAM_FAILED,  /* u->failure and u->failure_text say how */
    UPSTREAM_TIMEOUT, /* the deadline given passed; the call goes on */
    UPSTREAM_GONE,    /* the client has gone; the call goes on */
    UPSTREAM_STOP     /* this process must end now; the call goes on */
};

enum upstream_failure {
    FAILURE_NONE, FAILURE_RESOLVE, FAILURE_CONNECT, FAILURE_CONNECT_TIMEOUT, FAILURE_TLS,
    FAILURE_BROKEN,  /* closed or reset early, bad HTTP */
    FAILURE_TOO_LONG, /* headers above their bound */
    FAILURE_OURS     /* out of memory, bad configuration */
};

struct upstream {
    const struct upstream_ops *ops;
    bool sent;           /* something of the request went out: it may have been read, and charged */
    int status;          /* HTTP status, from UPSTREAM_HEAD on */
    struct buf headers;  /* "name: value\n" lines of the final answer, as received */
    struct buf bytes;    /* body not yet taken: the relay reads it and calls buf_clear */
    enum upstream_failure failure;
    char failure_text[160]; /* for the log and the audit row; no secret, no address with credentials */
};

struct pollfd;

struct upstream_ops {
    /* client_fd: watched for the client's going, -1 for nobody. deadline: clock_mono_ms. */
    enum upstream_event (*wait)(struct upstream *u, int client_fd, int64_t deadline);
    void (*close)(struct upstream *u); /* ends the call whatever its state, frees u */
    /* For whoever waits for several at once: fills in what to poll (at most `most`), returns how many that are, and lowers
     * *until to when wait must be called though nothing has come. Then: wait with a deadline that has passed. */
    int (*watch)(struct upstream *u, struct pollfd *fds, int most, int64_t *until);
};

/* Waits until one of the calls may have something to tell (UPSTREAM_TIMEOUT: ask it), the client has gone, the process must
 * stop, or `until`. client_fd, stop_fd: -1 for none. No calls: a pause. */
enum upstream_event upstream_pause(struct upstream *const *calls, int count, int client_fd, int stop_fd, int64_t until);

/* Value of an answer's header, first one of that name; absent if there is none. */
struct span upstream_header(const struct upstream *u, const char *name);

#endif
