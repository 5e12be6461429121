/* Tells a caller which limit refused; used by every step that books. */
#ifndef WEIR_STAGE_REFUSAL_H
#define WEIR_STAGE_REFUSAL_H

#include "sql/ledger.h"

/* Sets *p: WEIR_RATE_LIMITED with retry_after_s if room may come within a minute, WEIR_QUOTA if not, WEIR_UNPRICED.
 * Returns p->err. */
enum weir_err refusal_problem(const struct ledger_refusal *refusal, struct problem *p);

#endif
