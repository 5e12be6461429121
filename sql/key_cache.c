/* Client keys lately seen: a table of small sets, the oldest of a set making room. The hash is a keyed one, so nobody
 * outside can choose a set to crowd. */
#include <stdlib.h>
#include "fcgi/base/bounds.h"
#include "sql/key_cache.h"

#define WAYS 8
#define SETS (BOUND_KEY_CACHE / WAYS)
#define TEXTS 8
#define OUTDATED INT64_MIN /* no configuration has this version */

struct entry {
    struct client_hash hash;
    int64_t version;
    uint64_t used;  /* the cache's count of gets when it was last found; 0: empty */
    struct key key; /* its strings lie in texts */
    char *texts;
    size_t size;
};

struct key_cache {
    uint64_t gets;
    struct entry at[SETS][WAYS];
};

struct key_cache *key_cache_new(void) { return calloc(1, sizeof(struct key_cache)); }

static void empty(struct entry *e)
{
    free(e->texts);
    *e = (struct entry){0};
}

void key_cache_outdate(struct key_cache *c)
{
    for (int i = 0; i < SETS; i++)
        for (int j = 0; j < WAYS; j++) c->at[i][j].version = OUTDATED;
}

void key_cache_free(struct key_cache *c)
{
    if (!c) return;
    for (int i = 0; i < SETS; i++)
        for (int j = 0; j < WAYS; j++) empty(&c->at[i][j]);
    free(c);
}

static struct entry *set_of(struct key_cache *c, const struct client_hash *hash)
{
    uint32_t n;
    memcpy(&n, hash->at, sizeof n);
    return c->at[n % SETS];
}

static struct entry *find(struct key_cache *c, const struct client_hash *hash)
{
    struct entry *set = set_of(c, hash);
    for (int i = 0; i < WAYS; i++)
        if (set[i].used && secret_hash_equal(&set[i].hash, hash)) return &set[i];
    return NULL;
}

static void texts_of(struct key *k, const char **out[TEXTS])
{
    const char **const all[TEXTS] = {&k->name, &k->user, &k->team, &k->role, &k->rolegroup, &k->models, &k->allow_ip,
                                     &k->endpoints};
    memcpy(out, all, sizeof all);
}

enum weir_err key_cache_get(struct key_cache *c, const struct client_hash *hash, int64_t version, struct arena *a,
                            struct key *out)
{
    const char **text[TEXTS];
    struct entry *e = find(c, hash);
    if (!e || e->version != version) return WEIR_NOT_FOUND;
    char *copy = arena_alloc(a, e->size);
    if (!copy) return WEIR_NOMEM;
    memcpy(copy, e->texts, e->size);
    *out = e->key;
    texts_of(out, text);
    for (int i = 0; i < TEXTS; i++)
        if (*text[i]) *text[i] = copy + (*text[i] - e->texts);
    e->used = ++c->gets;
    return WEIR_OK;
}

bool key_cache_knows(struct key_cache *c, const struct client_hash *hash) { return find(c, hash) != NULL; }

void key_cache_drop(struct key_cache *c, const struct client_hash *hash)
{
    struct entry *e = find(c, hash);
    if (e) empty(e);
}

/* The same key's older row, an empty place, or the one longest unused. */
static struct entry *place_for(struct key_cache *c, const struct client_hash *hash)
{
    struct entry *set = set_of(c, hash), *oldest = find(c, hash);
    for (int i = 0; i < WAYS && !oldest; i++)
        if (!set[i].used) oldest = &set[i];
    if (oldest) return oldest;
    oldest = set;
    for (int i = 1; i < WAYS; i++)
        if (set[i].used < oldest->used) oldest = &set[i];
    return oldest;
}

void key_cache_put(struct key_cache *c, const struct client_hash *hash, int64_t version, const struct key *k)
{
    struct key copy = *k;
    const char **text[TEXTS];
    size_t size = 1;
    texts_of(&copy, text);
    for (int i = 0; i < TEXTS; i++)
        if (*text[i]) size += strlen(*text[i]) + 1;
    char *texts = malloc(size), *at = texts;
    if (!texts) return;
    for (int i = 0; i < TEXTS; i++) {
        if (!*text[i]) continue;
        size_t n = strlen(*text[i]) + 1;
        memcpy(at, *text[i], n);
        *text[i] = at;
        at += n;
    }
    *at = 0;
    struct entry *e = place_for(c, hash);
    empty(e);
    *e = (struct entry){*hash, version, ++c->gets, copy, texts, size};
}

void key_cache_used(struct key_cache *c, const struct client_hash *hash, int64_t now_ms)
{
    struct entry *e = find(c, hash);
    if (e) e->key.last_used = now_ms;
}
