/* What a full cache costs those who use it: a thread puts answers into one that has no room left, as fast as it can, while
 * another looks up. Prints one line of JSON: the longest and the 99.9th of a hundred of either, in microseconds. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "fcgi/base/clock.h"
#include "sql/cache.h"

#define ENTRIES  30000
#define BYTES    3000
#define ROOM     (20 << 20) /* of some 5,000 of them */

static struct cache *cache;
static atomic_bool over;
static int64_t put_ns[ENTRIES], gets[4 * ENTRIES];
static int get_count;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct cache_name name_of(int i, char text[64])
{
    int n = snprintf(text, 64, "team 4 load\n{\"model\":\"m\",\"n\":%d}", i);
    return cache_name((struct span){text, (size_t)n});
}

static void *look(void *arg)
{
    char text[64];
    (void)arg;
    for (int i = 0; !over && get_count < 4 * ENTRIES; i = (i + 7919) % ENTRIES) {
        struct arena memory;
        struct cache_entry e;
        struct cache_name n = name_of(i, text);
        arena_init(&memory);
        int64_t begin = now_ns();
        cache_get(cache, &n, clock_wall_ms(), &memory, &e);
        gets[get_count++] = now_ns() - begin;
        arena_end(&memory);
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print(const char *what, int64_t *ns, int n, const char *behind)
{
    qsort(ns, (size_t)n, sizeof *ns, by_size);
    printf("\"%s\": {\"p50\": %.0f, \"p999\": %.0f, \"max\": %.0f}%s", what, (double)ns[n / 2] / 1e3,
           (double)ns[n - 1 - n / 1000] / 1e3, (double)ns[n - 1] / 1e3, behind);
}

int main(int argc, char **argv)
{
    char body[BYTES], text[64];
    pthread_t reader;
    int64_t far = clock_wall_ms() + 3600000;
    if (argc != 2 || cache_new(argv[1], &cache) != WEIR_OK) return 1;
    srandom(7);
    for (size_t i = 0; i < sizeof body; i++) body[i] = (char)(' ' + random() % 90);
    if (pthread_create(&reader, NULL, look, NULL) != 0) return 1;
    for (int i = 0; i < ENTRIES; i++) {
        struct cache_name n = name_of(i, text);
        struct cache_entry e = {.expires = far, .gone = far, .provider = "p", .model = "m", .body = {body, sizeof body}};
        int64_t begin = now_ns();
        if (!cache_put(cache, &n, &e, clock_wall_ms(), ROOM)) return 1;
        put_ns[i] = now_ns() - begin;
    }
    over = true;
    pthread_join(reader, NULL);
    printf("{");
    print("put", put_ns + ENTRIES / 3, ENTRIES - ENTRIES / 3, ", ");
    print("get", gets, get_count, "}\n");
    cache_free(cache);
    return 0;
}
