/* Calendar periods at an offset from UTC. Arithmetic only. */
#ifndef WEIR_SQL_CALENDAR_H
#define WEIR_SQL_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

enum calendar_unit { CALENDAR_HOUR, CALENDAR_DAY, CALENDAR_WEEK, CALENDAR_MONTH };

struct calendar_period { int64_t start, end; }; /* milliseconds since 1970 UTC; start is inside, end is not */

/* "hour", "day", "week", "month"; false for anything else. */
bool calendar_parse(const char *name, enum calendar_unit *out);
/* The period that holds the instant `ms`. Boundaries lie where a clock that is offset_min ahead of UTC shows a full
 * hour, midnight, Monday's midnight, or that of the month's first day (proleptic Gregorian). */
struct calendar_period calendar_period(enum calendar_unit unit, int64_t offset_min, int64_t ms);

#endif
