/* Every ceiling in one place: how large anything read, kept or written may become. */
#ifndef WEIR_BASE_BOUNDS_H
#define WEIR_BASE_BOUNDS_H

#define BOUND_BUF_START        1024               /* first allocation of a buffer, bytes */
#define BOUND_BODY_DEFAULT     (32L << 20)        /* setting max_body, bytes */
#define BOUND_BODY_MAX         (256L << 20)       /* the highest max_body may be set to */
#define BOUND_ANSWER           (64L << 20)        /* a plain answer from an upstream, bytes */
#define BOUND_SSE_EVENT        (4L << 20)         /* one event of a stream, bytes */
#define BOUND_HELD_HEAD        (1L << 20)         /* stream bytes held back before the first content; of responses more */
#define BOUND_UPSTREAM_HEADERS (64L << 10)        /* all header lines of an upstream answer, bytes */
#define BOUND_PENDING          (256L << 10)       /* upstream bytes waiting for the relay before it pauses */
#define BOUND_JSON_DEPTH       64                 /* nested arrays and objects in a request or answer */
#define BOUND_JSON_MEMBERS     256                /* members of a request's top-level object */
#define BOUND_ALIAS            256                /* a model alias, bytes */
#define BOUND_REQUEST_ID       128
#define BOUND_PATH             2048               /* decoded request path, bytes */
#define BOUND_CREDENTIAL       (16L << 10)        /* x-api-key or Authorization value, bytes */
#define BOUND_CLAIM_PATH       256                /* the name of a token's claim, dots included, bytes */
#define BOUND_TOKEN_DEPTH      16                 /* nested arrays and objects in a token */
#define BOUND_KID              256                /* the name of a key in a set, bytes */
#define BOUND_VERIFIERS        64                 /* token verifiers; those after them count for nothing */
#define BOUND_KEY_SET          (256L << 10)       /* a fetched key set, bytes */
#define BOUND_SET_KEYS         64                 /* usable keys of a set; those after them count for nothing */
#define BOUND_HOPS             32                 /* proxies in X-Forwarded-For or Forwarded */
#define BOUND_FORWARDED        4096               /* X-Forwarded-For or Forwarded, bytes */
#define BOUND_ORIGIN           512                /* the header Origin, bytes */
#define BOUND_CORS_HEADERS     4096               /* the header Access-Control-Request-Headers, bytes */
#define BOUND_FAILURES         600                /* failed authentications of an address at once, and a minute */
#define BOUND_BRAKE            1024               /* addresses whose failures are remembered */
#define BOUND_NAME             128                /* user, team, role, key, provider ... names, bytes */
#define BOUND_VARIABLES        (1L << 20)         /* of one request, from the web server, bytes */
#define BOUND_WEB_SERVER_S     60                 /* the web server may be silent, or read nothing, this long */
#define BOUND_UPSTREAM_ERROR   (64L << 10)        /* the body of an upstream's error, bytes; more is not read */
#define BOUND_CHOICES          128                /* n of a request */
#define BOUND_PIECES           65536              /* messages, parts, tools and stops of a request that is translated */
#define BOUND_TARGETS          64                 /* of an alias */
#define BOUND_DOCUMENT         (256L << 20)       /* a document given to `weir apply` */
#define BOUND_ADMIN_BODY       (64L << 10)        /* a request's body to weir-admin.fcgi, bytes */
#define BOUND_CONTENT          (256L << 10)       /* kept of a request, and of its answer, for the audit log, bytes */
#define BOUND_CACHED           (8L << 20)         /* an answer that is kept for later, and what it was asked by, bytes */
#define BOUND_LOG_LINE         8192
#define BOUND_KEY_CACHE        1024               /* client keys kept in memory */
#define BOUND_READERS          8                  /* read-only database connections in a process */
#define BOUND_IDLE_UPSTREAM    32                 /* curl handles per upstream that nobody needs lately */
#define BOUND_WRITER_QUEUE     16384              /* jobs waiting for the database writer */
#define BOUND_TALLIES          4096               /* targets, keys and aliases that a process counts in memory */
#define BOUND_SENT             64                 /* requests that only wait for their row to be written, without a thread */
#define BOUND_WRITER_BATCH     256                /* jobs in one transaction */

/* Descriptors: what a request in flight takes at most, and what else there is. */
#define FILES_A_REQUEST 5
#define FILES_BESIDES   (64 + BOUND_SENT)

#endif
