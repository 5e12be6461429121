/* What one attempt used: from the tap to tokens and nano-dollars. Within the relay step only. */
#ifndef WEIR_STAGE_CHARGE_H
#define WEIR_STAGE_CHARGE_H

#include "fcgi/stage/attempt.h"

/* Writes what the attempt used into its own outcome. answered: its answer is the caller's. */
void charge_attempt(const struct attempt *a, bool answered);

#endif
