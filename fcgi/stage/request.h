/* First step: reads the request's line and headers from the web server's variables. */
#ifndef WEIR_STAGE_REQUEST_H
#define WEIR_STAGE_REQUEST_H

#include "fcgi/base/address.h"
#include "fcgi/stage/way.h"

/* Fills *r from the open connection. mount: the URL prefix Weir lives under ("" for none) where the request's own
 * variables name none. WEIR_NOMEM. */
enum weir_err request_read(struct conn *conn, const char *mount, struct id_source *ids, struct arena *a, struct request *r);

/* Reads the whole body, at most max bytes. WEIR_TOO_LARGE (the rest was skipped), WEIR_LENGTH_REQUIRED, WEIR_INVALID
 * (shorter than announced), WEIR_NOMEM; *p says it to the caller. */
enum weir_err request_body(const struct request *r, size_t max, struct buf *body, struct problem *p);

#endif
