/* Second step: who asks. */
#ifndef WEIR_STAGE_AUTHENTICATE_H
#define WEIR_STAGE_AUTHENTICATE_H

#include "fcgi/stage/brake.h"
#include "fcgi/stage/way.h"

/* What a process lets callers in by. */
struct gate {
    struct store *store;
    struct brake *brake;        /* NULL: none (a process that serves one request) */
    const struct verifier *own; /* of the environment (JWT_SECRET), NULL: none */
};

/* Fills *c, whose snapshot is held whenever it is set (snapshot_release). endpoint: as keys are bound to them; NULL: one
 * that every caller may use. Errors, told in *p: WEIR_UNAUTHENTICATED, WEIR_INVALID (a credential or identity given
 * twice), WEIR_IP_FORBIDDEN, WEIR_ENDPOINT_FORBIDDEN, WEIR_IDENTITY_FORBIDDEN, WEIR_RATE_LIMITED (too many failures from
 * this address), WEIR_STORAGE and others of the database. c->known is true from the moment the caller is known to be
 * good, also on error. */
enum weir_err authenticate(const struct gate *g, const struct request *r, const char *endpoint, struct arena *a,
                           struct caller *c, struct problem *p);

#endif
