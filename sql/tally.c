/* A hash table of tallies with linear probing, which doubles until it is as large as it may be. */
#include "sql/tally.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"

#define SLOTS_FIRST 64
#define SLOTS_MOST  (BOUND_TALLIES * 2)

static size_t hash_of(enum health_kind kind, const char *provider, const char *name)
{
    uint64_t h = 1469598103934665603u + (uint64_t)kind; /* FNV-1a */
    for (const char *c = provider; *c; c++) h = (h ^ (unsigned char)*c) * 1099511628211u;
    h = (h ^ 0xff) * 1099511628211u;
    for (const char *c = name; *c; c++) h = (h ^ (unsigned char)*c) * 1099511628211u;
    return (size_t)h;
}

static bool is(const struct tally *t, enum health_kind kind, const char *provider, const char *name)
{
    return t->kind == kind && strcmp(t->provider, provider) == 0 && strcmp(t->name, name) == 0;
}

/* Its slot, or the free one where it would be. There is always a free one. */
static struct tally **slot_of(const struct tallies *all, enum health_kind kind, const char *provider, const char *name)
{
    size_t at = hash_of(kind, provider, name) % all->size;
    while (all->slots[at] && !is(all->slots[at], kind, provider, name)) at = (at + 1) % all->size;
    return &all->slots[at];
}

static bool is_missed(const struct tally *t)
{
    return t->requests || t->in_flight || (t->spare_until && clock_mono_ms() < t->spare_until);
}

/* Into `size` slots; only those that are missed if `few`. */
static bool move(struct tallies *all, size_t size, bool few)
{
    struct tallies to = {calloc(size, sizeof *to.slots), size, 0};
    if (!to.slots) return false;
    for (size_t i = 0; i < all->size; i++) {
        struct tally *t = all->slots[i];
        if (!t) continue;
        if (few && !is_missed(t)) {
            free(t);
            continue;
        }
        *slot_of(&to, t->kind, t->provider, t->name) = t;
        to.count++;
    }
    free(all->slots);
    *all = to;
    return true;
}

static bool has_room(struct tallies *all)
{
    if (!all->size) return move(all, SLOTS_FIRST, false);
    if (all->count < all->size / 2) return true;
    if (all->size < SLOTS_MOST) return move(all, all->size * 2, false);
    return move(all, all->size, true) && all->count < BOUND_TALLIES;
}

static struct tally *new_tally(enum health_kind kind, const char *provider, const char *name)
{
    size_t p = strlen(provider) + 1, n = strlen(name) + 1;
    struct tally *t = calloc(1, sizeof *t + p + n);
    if (!t) return NULL;
    t->kind = kind;
    t->latency_ms = -1;
    t->name = memcpy(t->provider + p, name, n);
    memcpy(t->provider, provider, p);
    return t;
}

struct tally *tallies_find(struct tallies *all, enum health_kind kind, const char *provider, const char *name)
{
    struct tally **slot = all->size ? slot_of(all, kind, provider, name) : NULL;
    if (slot && *slot) return *slot;
    struct tally *t = has_room(all) ? new_tally(kind, provider, name) : NULL;
    if (!t) return NULL;
    *slot_of(all, kind, provider, name) = t;
    all->count++;
    return t;
}

void tallies_end(struct tallies *all)
{
    for (size_t i = 0; i < all->size; i++) free(all->slots[i]);
    free(all->slots);
    *all = (struct tallies){0};
}
