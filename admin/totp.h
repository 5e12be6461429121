/* Time-based one-time codes (RFC 6238): SHA-1, 30 seconds, 6 digits, which is what every authenticator knows. */
#ifndef WEIR_ADMIN_TOTP_H
#define WEIR_ADMIN_TOTP_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/span.h"

#define TOTP_KEY 20   /* bytes */
#define TOTP_TEXT 32  /* the same in base32 (RFC 4648 6), without padding */

void totp_make(char out[TOTP_TEXT + 1]);
/* False: it is no such text. Small letters and spaces, as people copy it, are fine. */
bool totp_read(const char *text, unsigned char key[TOTP_KEY]);
/* Is it the code of now, or of the step before or behind (RFC 6238 5.2)? *step is then which. Spaces are fine. That a code
 * serves once is the caller's: a step may be taken only if it is above the last. */
bool totp_fits(struct span key, const char *code, int64_t now_ms, int64_t *step);

#endif
