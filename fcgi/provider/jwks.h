/* Key sets of those who issue tokens (JWKS, RFC 7517): fetched, read, and turned into what verifies. */
#ifndef WEIR_PROVIDER_JWKS_H
#define WEIR_PROVIDER_JWKS_H

#include "fcgi/door/http.h"
#include "fcgi/door/jwt.h"

#define JWKS_FAULT 160

/* The keys of the set that are good for that method, as JSON: [{"kid":"k1","pem":"-----BEGIN..."}], kid left out where
 * there is none. Others of the set are passed over: of another type, curve, use or algorithm, weak, malformed, of a kid
 * that was there before. WEIR_INVALID: no set, or no such key in it; *fault is a static text then. */
enum weir_err jwks_read(struct span text, enum jwt_method m, struct buf *keys, const char **fault);

/* Fetches that address and reads it as above. stop_fd: readable when it has to be given up; -1: none. Errors, told in
 * fault: WEIR_UPSTREAM (no answer, or not of 200), WEIR_INVALID, WEIR_NOMEM, WEIR_GONE (stop_fd). Takes 10 s at most. */
enum weir_err jwks_fetch(struct http_pool *pool, const char *url, enum jwt_method m, int stop_fd, struct buf *keys,
                         char fault[JWKS_FAULT]);

#endif
