/* A set of names with a number each: open addressing, doubled when half full. */
#include "admin/names.h"

#include <stdlib.h>

static size_t hash_of(struct span name) /* FNV-1a, 64 bit */
{
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < name.len; i++) h = (h ^ (unsigned char)name.at[i]) * 1099511628211u;
    return (size_t)(h ^ (h >> 32));
}

/* The slot that holds the name, or the free one where it would go. */
static struct name_slot *slot_of(struct name_slot *slots, size_t room, struct span name)
{
    size_t i = hash_of(name) & (room - 1);

    while (slots[i].name && !span_eq((struct span){slots[i].name, slots[i].len}, name)) i = (i + 1) & (room - 1);
    return &slots[i];
}

static enum weir_err names_grow(struct names *n)
{
    size_t room = n->room ? n->room * 2 : 64;
    struct name_slot *slots = calloc(room, sizeof *slots);

    if (!slots) return WEIR_NOMEM;
    for (size_t i = 0; i < n->room; i++)
        if (n->slots[i].name) *slot_of(slots, room, (struct span){n->slots[i].name, n->slots[i].len}) = n->slots[i];
    free(n->slots);
    n->slots = slots;
    n->room = room;
    return WEIR_OK;
}

void names_free(struct names *n)
{
    for (size_t i = 0; i < n->room; i++) free(n->slots[i].name);
    free(n->slots);
    *n = (struct names){NULL, 0, 0};
}

enum weir_err names_add(struct names *n, struct span name, int64_t number)
{
    struct name_slot *slot;

    if (n->count * 2 >= n->room && names_grow(n)) return WEIR_NOMEM;
    slot = slot_of(n->slots, n->room, name);
    if (slot->name) return WEIR_EXISTS;
    slot->name = malloc(name.len + 1);
    if (!slot->name) return WEIR_NOMEM;
    memcpy(slot->name, name.at ? name.at : "", name.len);
    slot->name[name.len] = 0;
    slot->len = name.len;
    slot->number = number;
    n->count++;
    return WEIR_OK;
}

bool names_find(const struct names *n, struct span name, int64_t *number)
{
    const struct name_slot *slot;

    if (!n->room) return false;
    slot = slot_of(n->slots, n->room, name);
    if (!slot->name) return false;
    if (number) *number = slot->number;
    return true;
}
