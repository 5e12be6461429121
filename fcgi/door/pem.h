/* The libcrypto door: public keys of RSA and of elliptic curves, from the numbers of a key set to PEM, and what a PEM
 * holds. */
#ifndef WEIR_DOOR_PEM_H
#define WEIR_DOOR_PEM_H

#include "fcgi/base/buf.h"

#define PEM_RSA_BITS 2048 /* the least (RFC 7518 3.3) */

/* PEM_WEAK: RSA with fewer bits. PEM_NONE: anything else, private keys and certificates too. */
enum pem_kind { PEM_NONE, PEM_WEAK, PEM_RSA, PEM_P256, PEM_P384, PEM_P521 };

enum pem_kind pem_kind_of(struct span pem);

/* Numbers as big-endian bytes (RFC 7518 6). Appends a public key in PEM. WEIR_INVALID: no such key is any good (weak, not
 * on the curve, of another length). curve: PEM_P256 and so on. */
enum weir_err pem_from_rsa(struct span n, struct span e, struct buf *out);
enum weir_err pem_from_point(enum pem_kind curve, struct span x, struct span y, struct buf *out);

#endif
