/* Calendar periods: which hour, day, week or month an instant belongs to. Arithmetic only, no time zone database. */
#include <string.h>
#include "sql/calendar.h"

#define HOUR_MS 3600000LL
#define DAY_MS 86400000LL

bool calendar_parse(const char *name, enum calendar_unit *out)
{
    static const char *const names[] = {"hour", "day", "week", "month"};
    for (int i = 0; name && i < 4; i++)
        if (strcmp(name, names[i]) == 0) { *out = (enum calendar_unit)i; return true; }
    return false;
}

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* Days since 1970-01-01 of year, month (1..12), day 1. Years begin in March, so that the leap day is a year's last. */
static int64_t days_of(int64_t year, int month)
{
    int64_t y = month <= 2 ? year - 1 : year, era = floor_div(y, 400), of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719468;
}

/* The year and month that hold a day. */
static void month_of(int64_t day, int64_t *year, int *month)
{
    int64_t z = day + 719468, era = floor_div(z, 146097), doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t from_march = (5 * doy + 2) / 153;
    *month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

static struct calendar_period month_around(int64_t day)
{
    int64_t year;
    int month;
    month_of(day, &year, &month);
    return (struct calendar_period){days_of(year, month) * DAY_MS,
                                    days_of(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1) * DAY_MS};
}

struct calendar_period calendar_period(enum calendar_unit unit, int64_t offset_min, int64_t ms)
{
    int64_t offset = offset_min * 60000, local = ms + offset, day = floor_div(local, DAY_MS);
    struct calendar_period p;
    switch (unit) {
    case CALENDAR_HOUR:
        p.start = floor_div(local, HOUR_MS) * HOUR_MS;
        p.end = p.start + HOUR_MS;
        break;
    case CALENDAR_DAY:
        p.start = day * DAY_MS;
        p.end = p.start + DAY_MS;
        break;
    case CALENDAR_WEEK: /* day 0 was a Thursday */
        p.start = (day - ((day + 3) % 7 + 7) % 7) * DAY_MS;
        p.end = p.start + 7 * DAY_MS;
        break;
    default:
        p = month_around(day);
    }
    return (struct calendar_period){p.start - offset, p.end - offset};
}
