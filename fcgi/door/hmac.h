/* The libcrypto door for what libsodium does not have: HMAC-SHA1, which one-time codes are made of. */
#ifndef WEIR_DOOR_HMAC_H
#define WEIR_DOOR_HMAC_H

#include "fcgi/base/err.h"
#include "fcgi/base/span.h"

#define HMAC_SHA1_LEN 20
enum weir_err hmac_sha1(struct span key, struct span message, unsigned char out[HMAC_SHA1_LEN]); /* WEIR_INTERNAL */

#endif
