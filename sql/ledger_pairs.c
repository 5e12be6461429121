/* What tickets hold and audit rows were charged to, packed small. */
#include "sql/ledger_room.h"
#include "sql/packed.h"

enum weir_err pairs_pack_list(const struct pair *at, int count, struct arena *a, struct span *out)
{
    unsigned char *start = arena_alloc(a, (size_t)count * 2 * PACKED_INT + (size_t)count + 1), *to = start;
    if (!start) return WEIR_NOMEM;
    for (int i = 0; i < count; i++) {
        to = packed_put(to, (uint64_t)at[i].counter);
        *to++ = (unsigned char)((int)at[i].metric | at[i].flags);
        to = packed_put(to, (uint64_t)at[i].amount);
    }
    *out = (struct span){(char *)start, (size_t)(to - start)};
    return WEIR_OK;
}

enum weir_err pairs_pack(const struct ledger *l, struct arena *a, struct span *out)
{
    struct pair *all = arena_alloc(a, sizeof *all * (size_t)(l->count + 1));
    if (!all) return WEIR_NOMEM;
    for (int i = 0; i < l->count; i++) {
        const struct touch *t = &l->touch[i];
        const struct rule *r = &t->gauge->rule;
        all[i] = (struct pair){.counter = t->now.id, .amount = t->amount, .metric = r->metric,
                               .flags = (r->mode == MODE_HARD ? PAIR_HARD : 0) | (t->warned ? PAIR_WARNED : 0)};
    }
    return pairs_pack_list(all, l->count, a, out);
}

enum weir_err pairs_unpack(struct span packed, struct arena *a, struct pairs *out)
{
    *out = (struct pairs){arena_alloc(a, sizeof *out->at * (packed.len / 3 + 1)), 0};
    if (!out->at) return WEIR_NOMEM;
    while (packed.len) {
        struct pair *p = &out->at[out->count];
        if (!packed_take(&packed, &p->counter) || !packed.len) return WEIR_CORRUPT;
        int word = (unsigned char)*packed.at++;
        packed.len--;
        p->metric = (enum metric)(word & 3);
        p->flags = word & ~3;
        if (!packed_take(&packed, &p->amount)) return WEIR_CORRUPT;
        out->count++;
    }
    return WEIR_OK;
}

enum weir_err ids_pack(const int64_t *ids, int count, struct arena *a, struct span *out)
{
    unsigned char *start = arena_alloc(a, (size_t)count * PACKED_INT + 1), *to = start;
    if (!start) return WEIR_NOMEM;
    for (int i = 0; i < count; i++) to = packed_put(to, (uint64_t)ids[i]);
    *out = (struct span){(char *)start, (size_t)(to - start)};
    return WEIR_OK;
}

bool ids_next(struct span *left, int64_t *id) { return packed_take(left, id); }
