/* What tickets hold and audit rows were charged to, packed small: variable-length integers, 7 bits a byte, lowest
 * first, the high bit saying that more follow. The same on every machine. */
#include "sql/ledger_room.h"

#define INT_MOST 10 /* bytes of one integer */

static unsigned char *put_int(unsigned char *to, uint64_t n)
{
    for (; n > 127; n >>= 7) *to++ = (unsigned char)(n | 128);
    *to++ = (unsigned char)n;
    return to;
}

static bool take_int(struct span *left, int64_t *out)
{
    uint64_t n = 0;
    for (int shift = 0; left->len && shift < 64; shift += 7) {
        unsigned char byte = (unsigned char)*left->at++;
        left->len--;
        n |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) { *out = (int64_t)n; return true; }
    }
    return false;
}

enum weir_err pairs_pack_list(const struct pair *at, int count, struct arena *a, struct span *out)
{
    unsigned char *start = arena_alloc(a, (size_t)count * 2 * INT_MOST + (size_t)count + 1), *to = start;
    if (!start) return WEIR_NOMEM;
    for (int i = 0; i < count; i++) {
        to = put_int(to, (uint64_t)at[i].counter);
        *to++ = (unsigned char)((int)at[i].metric | at[i].flags);
        to = put_int(to, (uint64_t)at[i].amount);
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
        if (!take_int(&packed, &p->counter) || !packed.len) return WEIR_CORRUPT;
        int word = (unsigned char)*packed.at++;
        packed.len--;
        p->metric = (enum metric)(word & 3);
        p->flags = word & ~3;
        if (!take_int(&packed, &p->amount)) return WEIR_CORRUPT;
        out->count++;
    }
    return WEIR_OK;
}

enum weir_err ids_pack(const int64_t *ids, int count, struct arena *a, struct span *out)
{
    unsigned char *start = arena_alloc(a, (size_t)count * INT_MOST + 1), *to = start;
    if (!start) return WEIR_NOMEM;
    for (int i = 0; i < count; i++) to = put_int(to, (uint64_t)ids[i]);
    *out = (struct span){(char *)start, (size_t)(to - start)};
    return WEIR_OK;
}

bool ids_next(struct span *left, int64_t *id) { return take_int(left, id); }
