/* Every way a function here can fail: one enum, and what the outside world is told of each.
 * Knows nothing of requests; a stage adds the field and the sentence (struct problem). */
#ifndef WEIR_BASE_ERR_H
#define WEIR_BASE_ERR_H

#include <stddef.h>
#include <stdbool.h>

enum weir_err {
    WEIR_OK = 0,

    /* what a caller is told (INTERFACE.md, table of errors) */
    WEIR_INVALID,           /* 400: malformed or of the wrong type; problem.param names the field */
    WEIR_TOO_LONG,          /* 400: the conversation does not fit the model's context window */
    WEIR_UNAUTHENTICATED,   /* 401: no, unknown, expired or revoked key; one message for all */
    WEIR_MODEL_FORBIDDEN,   /* 403: the key may not use this alias */
    WEIR_IDENTITY_FORBIDDEN,/* 403: the key may not speak for others */
    WEIR_IP_FORBIDDEN,      /* 403: the key may not be used from this address */
    WEIR_ENDPOINT_FORBIDDEN,/* 403: the key may not be used at this endpoint */
    WEIR_ROLE_FORBIDDEN,    /* 403: the administrator's role may not do this */
    WEIR_MODEL_UNKNOWN,     /* 404: no such alias */
    WEIR_NOT_FOUND,         /* 404: no such path, or (stores) no such row */
    WEIR_METHOD,            /* 405 */
    WEIR_LENGTH_REQUIRED,   /* 411 */
    WEIR_TOO_LARGE,         /* 413: body above max_body */
    WEIR_NOT_JSON,          /* 415: content-type is not JSON */
    WEIR_UNPRICED,          /* 403: a limit on cost applies to a model without a price */
    WEIR_RATE_LIMITED,      /* 429: a limit refuses, and may have room within 60 s */
    WEIR_QUOTA,             /* 429: a limit refuses, and waiting does not help soon */
    WEIR_UPSTREAM,          /* 502: every target failed */
    WEIR_OVERLOADED,        /* 503: no thread free */
    WEIR_UNAVAILABLE,       /* 503: not ready, shutting down, or no usable target */
    WEIR_UPSTREAM_TIMEOUT,  /* 504 */
    WEIR_STORAGE,           /* 507: the database cannot be written (full, I/O error, read-only) */

    /* what only the code sees; should one reach a caller it is a 500 */
    WEIR_NOMEM,             /* allocation failed */
    WEIR_FULL,              /* a buffer or table is at its ceiling */
    WEIR_IO,                /* read, write, open; errno was logged where it happened */
    WEIR_BUSY,              /* not finished in the time given */
    WEIR_GONE,              /* the client has gone */
    WEIR_EXISTS,            /* (stores) a row of that name is there already */
    WEIR_CORRUPT,           /* stored bytes are not what we wrote (wrong master key, damaged file) */
    WEIR_OTHER_KEY,         /* the master key is not the one this database is sealed under */
    WEIR_INTERNAL,          /* a defect of ours */
    WEIR_ERR_COUNT
};

/* What the world is told. All strings are static. */
struct weir_err_info {
    int status;            /* HTTP status */
    const char *type;      /* OpenAI error.type */
    const char *anthropic; /* Anthropic error.type */
    const char *code;      /* error.code, NULL for none */
    const char *text;      /* public sentence where the stage has no better one */
    bool final;            /* a retry cannot help: x-should-retry: false */
};

/* Never NULL, for any value. */
const struct weir_err_info *weir_err_info(enum weir_err err);

/* A failure as told to a caller: set once by the stage that failed, read by the error writer.
 * text may hold what the caller sent (it is escaped on the way out) but never a secret. */
struct problem {
    enum weir_err err;
    char param[80];   /* field at fault ("messages[2].role"), empty for none */
    char text[320];   /* one sentence, UTF-8; empty: the enum's own */
    int retry_after_s;/* 0: none */
};

/* Sets *p and returns err, so a stage can `return problem_set(...)`. param may be NULL.
 * Over-long text is cut at a character boundary. */
enum weir_err problem_set(struct problem *p, enum weir_err err, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
