/* Token verifiers as they are shown, by commands, programs and pages alike. */
#ifndef WEIR_ADMIN_VERIFIER_STATE_H
#define WEIR_ADMIN_VERIFIER_STATE_H

#include "fcgi/base/jscan.h"
#include "sql/admin_verifiers.h"

/* The entry of the document, to be looked into; JSON_ABSENT if the row is damaged. */
struct jval verifier_entry(const struct jwt_row *j);
/* Names of the keys in the fetched set, as a JSON array; null for a key without one. "null" before the first set came. */
void verifier_kids_write(struct buf *out, const struct jwt_row *j);

#endif
