/* Strategies, one function each. Lists are short: sorting is by insertion, which keeps the order of equals. */
#include "fcgi/stage/order.h"

#include <string.h>

#define EXPLORE 20 /* one request in so many */

uint64_t dice_below(struct dice *d, uint64_t n)
{
    uint64_t z = d->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % n;
}

static void move_up(struct target_choice *list, int from, int to)
{
    struct target_choice moved = list[from];
    memmove(list + to + 1, list + to, sizeof *list * (size_t)(from - to));
    list[to] = moved;
}

static void sort(struct target_choice *list, int count, int64_t (*rank)(const struct target_choice *))
{
    for (int i = 1; i < count; i++) {
        int to = i;
        while (to > 0 && rank(&list[to - 1]) > rank(&list[i])) to--;
        move_up(list, i, to);
    }
}

static int64_t latency(const struct target_choice *c) { return c->latency_ms; }
static int64_t cost(const struct target_choice *c) { return c->cost; }

/* Drawn one after the other, without putting back. */
static void draw(struct dice *d, struct target_choice *list, int count)
{
    uint64_t left = 0;
    for (int i = 0; i < count; i++) left += (uint64_t)list[i].row->weight;
    for (int i = 0; i < count && left; i++) {
        uint64_t at = dice_below(d, left);
        int drawn = i;
        while (at >= (uint64_t)list[drawn].row->weight) at -= (uint64_t)list[drawn++].row->weight;
        left -= (uint64_t)list[drawn].row->weight;
        move_up(list, drawn, i);
    }
}

static void rotate(struct target_choice *list, int count, uint64_t turn)
{
    for (uint64_t n = count ? turn % (uint64_t)count : 0; n > 0; n--) {
        struct target_choice first = list[0];
        memmove(list, list + 1, sizeof *list * (size_t)(count - 1));
        list[count - 1] = first;
    }
}

void order_targets(const char *strategy, uint64_t turn, struct dice *d, struct target_choice *list, int count)
{
    if (count < 2) return;
    if (strcmp(strategy, "weighted") == 0) {
        draw(d, list, count);
    } else if (strcmp(strategy, "round_robin") == 0) {
        rotate(list, count, turn);
    } else if (strcmp(strategy, "least_latency") == 0) {
        sort(list, count, latency);
        if (dice_below(d, EXPLORE) == 0) move_up(list, (int)dice_below(d, (uint64_t)count), 0);
    } else if (strcmp(strategy, "cheapest") == 0) {
        sort(list, count, cost);
    }
}

static bool is_less_used(const struct key_choice *a, const struct key_choice *b)
{
    return a->in_flight != b->in_flight ? a->in_flight < b->in_flight : a->requests < b->requests;
}

void order_keys(const char *strategy, uint64_t turn, struct key_choice *list, int count)
{
    if (count < 2) return;
    if (strcmp(strategy, "round_robin") == 0) {
        for (uint64_t n = turn % (uint64_t)count; n > 0; n--) {
            struct key_choice first = list[0];
            memmove(list, list + 1, sizeof *list * (size_t)(count - 1));
            list[count - 1] = first;
        }
    } else if (strcmp(strategy, "least_used") == 0) {
        for (int i = 1; i < count; i++)
            for (int k = i; k > 0 && is_less_used(&list[k], &list[k - 1]); k--) {
                struct key_choice other = list[k];
                list[k] = list[k - 1];
                list[k - 1] = other;
            }
    }
}
