/* Failed authentications, counted by address: whoever guesses is soon refused without being looked up. In memory and in
 * each process, for it is a brake and no limit: nothing that has to hold depends on it. */
#ifndef WEIR_STAGE_BRAKE_H
#define WEIR_STAGE_BRAKE_H

#include <stdint.h>

#include "fcgi/base/span.h"

struct brake;

struct brake *brake_new(void); /* NULL when memory is out */
void brake_free(struct brake *b);

/* An address may fail BOUND_FAILURES times, and as often in each minute that follows; IPv6 counts by /64, what is no
 * address as one. Times are clock_mono_ms. */
void brake_note(struct brake *b, struct span ip, int64_t now_ms);
/* Milliseconds until the address may fail again; 0: it may. b NULL: it always may. */
int64_t brake_wait_ms(struct brake *b, struct span ip, int64_t now_ms);

#endif
