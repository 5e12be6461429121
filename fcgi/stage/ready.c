/* GET /readyz: can the database be written, and is there a provider that can be used? */
#include "fcgi/stage/ready.h"

#include "fcgi/base/clock.h"

/* With one of its keys, if it has any. */
static bool is_usable(const struct target_row *t, const struct health_map *map)
{
    const struct provider_row *p = t->provider;
    int64_t now = clock_wall_ms(), until;
    bool usable = !p->key_count && health_may(map, p->name, t->model, NULL, now, &until) <= HEALTH_CLAIM;
    for (int i = 0; i < p->key_count; i++)
        usable |= health_may(map, p->name, t->model, p->keys[i].name, now, &until) <= HEALTH_CLAIM;
    return usable && dialect_find(p->dialect);
}

const char *unready(const struct book *b, struct pulse *pulse)
{
    struct snapshot *snap;
    struct arena none;
    int usable = 0;
    if (!book_is_able(b)) return "{\"status\":\"unready\",\"reason\":\"the database cannot be written\"}";
    arena_init(&none);
    if (store_look(b->store, NULL, &none, &snap, NULL) != WEIR_OK)
        return "{\"status\":\"unready\",\"reason\":\"the database cannot be read\"}";
    struct health_map *map = pulse_hold(pulse);
    for (int i = 0; i < snap->model_count; i++)
        for (int t = 0; t < snap->models[i].target_count; t++)
            usable += is_usable(&snap->models[i].targets[t], map);
    health_release(map);
    snapshot_release(snap);
    return usable ? NULL : "{\"status\":\"unready\",\"reason\":\"no model has a provider that can be used\"}";
}
