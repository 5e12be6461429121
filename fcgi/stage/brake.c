/* A bounded table of addresses and how often each has failed: a bucket that refills, as one failure each so many
 * milliseconds. What makes room for a new address is the one of its set that has the least to say. */
#include "fcgi/stage/brake.h"

#include <pthread.h>
#include <stdlib.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/secret.h"
#include "fcgi/base/text.h"

#define WAYS      8
#define SETS      (BOUND_BRAKE / WAYS)
#define REFILL_MS (60000 / BOUND_FAILURES)
#define FULL_MS   ((int64_t)BOUND_FAILURES * REFILL_MS)

struct entry {
    unsigned char address[16];
    int64_t clear; /* when all its failures are forgotten, clock_mono_ms; one more moves it by REFILL_MS */
};

struct brake {
    pthread_mutex_t lock;
    uint64_t seed; /* of the sets, so that nobody outside can choose one to crowd */
    struct entry at[SETS][WAYS];
};

struct brake *brake_new(void)
{
    struct brake *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    pthread_mutex_init(&b->lock, NULL);
    secret_random(&b->seed, sizeof b->seed);
    return b;
}

void brake_free(struct brake *b)
{
    if (!b) return;
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static void address_of(struct span ip, unsigned char out[16])
{
    struct ip_address address;
    memset(out, 0, 16);
    if (ip_parse(ip, &address)) memcpy(out, address.at, address.v4 ? 16 : 8);
}

static struct entry *set_of(struct brake *b, const unsigned char address[16])
{
    uint64_t half[2];
    memcpy(half, address, sizeof half);
    uint64_t n = (half[0] ^ b->seed) * 0x9E3779B97F4A7C15u; /* Fibonacci hashing */
    n = (n ^ n >> 32 ^ half[1] ^ b->seed >> 17) * 0x9E3779B97F4A7C15u;
    return b->at[(n >> 40) % SETS];
}

static struct entry *find(struct entry *set, const unsigned char address[16])
{
    for (int i = 0; i < WAYS; i++)
        if (set[i].clear && memcmp(set[i].address, address, 16) == 0) return &set[i];
    return NULL;
}

void brake_note(struct brake *b, struct span ip, int64_t now_ms)
{
    unsigned char address[16];
    if (!b) return;
    address_of(ip, address);
    pthread_mutex_lock(&b->lock);
    struct entry *set = set_of(b, address), *e = find(set, address);
    if (!e) {
        e = set;
        for (int i = 1; i < WAYS; i++)
            if (set[i].clear < e->clear) e = &set[i];
        memcpy(e->address, address, 16);
        e->clear = 0;
    }
    if (e->clear < now_ms) e->clear = now_ms;
    if (e->clear < now_ms + FULL_MS) e->clear += REFILL_MS;
    pthread_mutex_unlock(&b->lock);
}

int64_t brake_wait_ms(struct brake *b, struct span ip, int64_t now_ms)
{
    unsigned char address[16];
    if (!b) return 0;
    address_of(ip, address);
    pthread_mutex_lock(&b->lock);
    const struct entry *e = find(set_of(b, address), address);
    int64_t wait = e ? e->clear + REFILL_MS - (now_ms + FULL_MS) : 0;
    pthread_mutex_unlock(&b->lock);
    return wait > 0 ? wait : 0;
}
