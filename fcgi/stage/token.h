/* A signed token (JWT, RFC 7519) read and judged: who is calling, by the verifiers of the configuration. */
#ifndef WEIR_STAGE_TOKEN_H
#define WEIR_STAGE_TOKEN_H

#include "sql/routes.h"
#include "sql/keys.h"

/* Three parts of base64url with two dots between them. */
bool token_is_one(struct span credential);

struct token_verdict {
    struct key key;     /* whom it speaks for: without id and name; `expires` is when it is over, leeway and all */
    const char *wanted; /* the verifier whose key set has not the kid that was named; NULL: none. Set on refusal. */
};

/* all: the verifiers of the snapshot, and one of the process (own; NULL: none). Strings are the arena's or the snapshot's.
 * WEIR_UNAUTHENTICATED: no verifier takes it, whatever the reason; WEIR_NOMEM.
 * Taken is a token whose header names a verifier's own method, is of no other type and has nothing critical; that is
 * signed by that verifier's key; that is not over (`exp`, a whole number, has to be there), has begun (`nbf`), is of the
 * issuer and for the audience if those are configured, and says a user. Members that are there twice, and claims of another
 * type than they should have, refuse it. */
enum weir_err token_judge(const struct verifiers *all, const struct verifier *own, struct span token, int64_t now_ms,
                          struct arena *a, struct token_verdict *out);

#endif
