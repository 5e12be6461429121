/* The two clocks. The pair of functions below is the one static here: tests put their own in before threads start. */
#include "fcgi/base/clock.h"

#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t real_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

static int64_t real_mono_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

static struct {
    int64_t (*wall_ms)(void);
    int64_t (*mono_ms)(void);
} in_use = {real_wall_ms, real_mono_ms};

int64_t clock_wall_ms(void)
{
    return in_use.wall_ms();
}

int64_t clock_mono_ms(void)
{
    return in_use.mono_ms();
}

void clock_replace(int64_t (*wall_ms)(void), int64_t (*mono_ms)(void))
{
    in_use.wall_ms = wall_ms ? wall_ms : real_wall_ms;
    in_use.mono_ms = mono_ms ? mono_ms : real_mono_ms;
}
