/* What single providers and models refuse of their own wire format (WIRE.md 2 and 3), as one table. A neutral value says
 * what leaving it out says, so it is left out; any other keeps the target out of the plan. */
#ifndef WEIR_PROVIDER_QUIRKS_H
#define WEIR_PROVIDER_QUIRKS_H

#include "fcgi/provider/conversation.h"
#include "fcgi/provider/provider.h"

#define QUIRK_FIELDS 10 /* fields that the table names */

/* WEIR_INVALID: the target refuses what *p names. *strips: the fields to be left out for it. */
enum weir_err quirks_check(const struct target *t, const struct chat *c, uint32_t *strips, struct problem *p);
/* The checks that are no matter of a single field, for the table of dialects. */
enum weir_err quirks_groq(const struct target *t, const struct chat *c, struct problem *p);
enum weir_err quirks_ollama(const struct target *t, const struct chat *c, struct problem *p);
/* Is this member (raw key) one of those that are left out? */
bool quirk_strips(uint32_t strips, struct span key);
/* The same for what is written from a conversation. */
void quirk_strip_conversation(uint32_t strips, struct conversation *c);

#endif
