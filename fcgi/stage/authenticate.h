/* Second step: who asks. */
#ifndef WEIR_STAGE_AUTHENTICATE_H
#define WEIR_STAGE_AUTHENTICATE_H

#include "fcgi/stage/way.h"

/* Fills *c, whose snapshot is held whenever it is set (snapshot_release). Errors, told in *p: WEIR_UNAUTHENTICATED,
 * WEIR_INVALID (a credential or identity given twice), WEIR_IP_FORBIDDEN, WEIR_IDENTITY_FORBIDDEN, WEIR_STORAGE and others
 * of the database. c->known is true from the moment the key is known to be good, also on error. */
enum weir_err authenticate(struct store *store, const struct request *r, struct arena *a, struct caller *c,
                           struct problem *p);

#endif
