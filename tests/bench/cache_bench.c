/* What a full cache costs those who use it, beside one that has room: the same puts go into both in turn, a few hundred at
 * a time, so that what else the machine does strikes both; another thread looks up in both, and a third tends them. Every
 * put into the full one has to let others go. Prints one line of JSON: for puts and look-ups of either the median, the 99th
 * and 99.9th of a hundred and the longest, in microseconds, how many took more than 20 ms, how many puts were not taken,
 * and the most CPU that one took. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"
#include "sql/cache.h"

#define PUTS       24000     /* into each */
#define FILLING    8000      /* of them go before the measured ones */
#define BLOCK      200       /* in turn */
#define BYTES      3000      /* of an answer */
#define LARGE      (256 << 10) /* of one in so many: */
#define LARGE_EACH 64
#define ROOM       (32 << 20)
#define LONG_NS    20000000

struct times { int64_t ns[4 * PUTS], cpu_ns; int count, refused; };

static struct side { struct cache *cache; int64_t room; struct times puts, gets; } sides[2];
static atomic_bool over;
static char body[LARGE];

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct cache_name name_of(int i, char text[64])
{
    int n = snprintf(text, 64, "team 4 load\n{\"model\":\"m\",\"n\":%d}", i);
    return cache_name((struct span){text, (size_t)n});
}

static void look_up(struct side *s, int i)
{
    char text[64];
    struct arena memory;
    struct cache_entry e;
    struct cache_name n = name_of(i, text);
    arena_init(&memory);
    int64_t begin = now_ns(CLOCK_MONOTONIC);
    cache_get(s->cache, &n, clock_wall_ms(), &memory, &e);
    s->gets.ns[s->gets.count++] = now_ns(CLOCK_MONOTONIC) - begin;
    arena_end(&memory);
}

static void *look(void *arg)
{
    (void)arg;
    for (int i = 0; !over && sides[0].gets.count < 4 * PUTS; i = (i + 7919) % PUTS) {
        look_up(&sides[0], i);
        look_up(&sides[1], i);
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    return NULL;
}

static void *tend(void *arg)
{
    (void)arg;
    while (!over) {
        for (int i = 0; i < 2; i++) cache_tend(sides[i].cache, clock_wall_ms(), sides[i].room);
        nanosleep(&(struct timespec){0, 200000000}, NULL);
    }
    return NULL;
}

static void put(struct side *s, int i, bool measured)
{
    char text[64];
    int64_t far = clock_wall_ms() + 3600000;
    struct cache_name n = name_of(i, text);
    struct cache_entry e = {.expires = far, .gone = far, .provider = "p", .model = "m",
                            .body = {body, i % LARGE_EACH ? BYTES : LARGE}};
    int64_t begin = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
    bool taken = cache_put(s->cache, &n, &e, clock_wall_ms(), s->room);
    int64_t ns = now_ns(CLOCK_MONOTONIC) - begin, cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    if (!measured) return;
    s->puts.ns[s->puts.count++] = ns;
    s->puts.refused += !taken;
    if (cpu_ns > s->puts.cpu_ns) s->puts.cpu_ns = cpu_ns;
}

static void put_all(void)
{
    for (int from = 0; from < PUTS; from += BLOCK)
        for (int s = 0; s < 2; s++)
            for (int i = from; i < from + BLOCK; i++) put(&sides[s], i, from >= FILLING);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double us(const struct times *t, int behind) { return (double)t->ns[t->count - 1 - behind] / 1e3; }

static void print(const char *what, struct times *t, const char *behind)
{
    int n = t->count, slow = 0;
    qsort(t->ns, (size_t)n, sizeof *t->ns, by_size);
    while (slow < n && t->ns[n - 1 - slow] > LONG_NS) slow++;
    printf("\"%s\": {\"count\": %d, \"p50\": %.0f, \"p99\": %.0f, \"p999\": %.0f, \"max\": %.0f, \"slow\": %d, \"refused\": %d, "
           "\"cpu_max\": %.0f}%s", what, n, us(t, n / 2), us(t, n / 100), us(t, n / 1000), us(t, 0), slow, t->refused,
           (double)t->cpu_ns / 1e3, behind);
}

static bool open_side(struct side *s, const char *directory, const char *name, int64_t room)
{
    char path[4096];
    s->room = room;
    return snprintf(path, sizeof path, "%s/%s", directory, name) < (int)sizeof path && mkdir(path, 0700) == 0 &&
           cache_new(path, &s->cache) == WEIR_OK;
}

int main(int argc, char **argv)
{
    pthread_t reader, tender;
    log_open("/dev/null", LOG_ERROR);
    if (argc != 2 || !open_side(&sides[0], argv[1], "roomy", INT64_C(1) << 40) || !open_side(&sides[1], argv[1], "full", ROOM))
        return 1;
    srandom(7);
    for (size_t i = 0; i < sizeof body; i++) body[i] = (char)(' ' + random() % 90);
    if (pthread_create(&reader, NULL, look, NULL) != 0 || pthread_create(&tender, NULL, tend, NULL) != 0) return 1;
    put_all();
    over = true;
    pthread_join(reader, NULL);
    pthread_join(tender, NULL);
    printf("{");
    print("roomy put", &sides[0].puts, ", ");
    print("full put", &sides[1].puts, ", ");
    print("roomy get", &sides[0].gets, ", ");
    print("full get", &sides[1].gets, "}\n");
    for (int i = 0; i < 2; i++) cache_free(sides[i].cache);
    return 0;
}
