/* The forgetting of kept answers, with its record. */
#include "admin/manage.h"

#include "admin/manage_state.h"

static enum weir_err clear(const struct manager *m, struct cache_stats *lost)
{
    struct cache *cache;
    enum weir_err err = cache_new(m->data_dir, &cache);
    if (err != WEIR_OK) return err;
    if (cache_stats(cache, lost) != WEIR_OK) *lost = (struct cache_stats){0}; /* one that cannot be read may go too */
    err = cache_clear(cache);
    cache_free(cache);
    return err;
}

enum weir_err manage_cache_clear(struct manager *m, struct cache_stats *lost)
{
    struct managed c;
    *lost = (struct cache_stats){0};
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    err = clear(m, lost);
    buf_printf(&c.before, "{\"entries\":%lld,\"bytes\":%lld}", (long long)lost->entries, (long long)lost->bytes);
    return managed_end(m, &c, err, "cache cleared", "cache");
}
