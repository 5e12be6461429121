/* What time it is: wall time for records, monotonic time for waiting. Replaceable in tests. */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void); /* milliseconds since 1970 UTC; may jump either way */
int64_t clock_mono_ms(void); /* milliseconds since some start; never goes back */

/* Tests only, before threads start; NULL gives the real one back. */
void clock_replace(int64_t (*wall_ms)(void), int64_t (*mono_ms)(void));

#endif
