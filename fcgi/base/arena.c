/* Request memory: blocks handed out front to back and freed all at once, disposers run before.
 * The disposers' own notes lie in the blocks too. */
#include "fcgi/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_SIZE 4096 /* bytes a usual block has to give */
#define FIRST_SIZE 992  /* bytes the first has: many arenas never need more, and glibc hands blocks up to 1032 out fastest */
#define ALIGN _Alignof(max_align_t)

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(max_align_t) char at[];
};

struct arena_exit {
    struct arena_exit *next;
    void (*dispose)(void *);
    void *arg;
};

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

void arena_init_in(struct arena *a, void *room, size_t size)
{
    arena_init(a);
    if (size <= sizeof *a->room)
        return;
    a->room = a->blocks = room;
    *a->room = (struct arena_block){.size = (size - sizeof *a->room) & ~(ALIGN - 1)};
}

static struct arena_block *block_new(struct arena *a, size_t size)
{
    struct arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return NULL;
    *block = (struct arena_block){.size = size};
    /* One made to measure goes behind the first, which keeps the room it still has. */
    struct arena_block **place = a->blocks && size > BLOCK_SIZE ? &a->blocks->next : &a->blocks;
    block->next = *place;
    *place = block;
    return block;
}

void *arena_room(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + ALIGN - 1) & ~(ALIGN - 1);
    struct arena_block *block = a->blocks;
    size_t usual = block ? BLOCK_SIZE : FIRST_SIZE;
    if (!block || size > block->size - block->used)
        block = block_new(a, size > usual ? size : usual);
    if (!block)
        return NULL;
    void *at = block->at + block->used;
    block->used += size;
    a->used += size;
    return at;
}

void *arena_alloc(struct arena *a, size_t size)
{
    void *at = arena_room(a, size);
    return at ? memset(at, 0, size) : NULL;
}

char *arena_str(struct arena *a, struct span s)
{
    char *copy = s.at && s.len < SIZE_MAX ? arena_room(a, s.len + 1) : NULL;
    if (!copy)
        return NULL;
    if (s.len)
        memcpy(copy, s.at, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = n < 0 ? NULL : arena_room(a, (size_t)n + 1);
    if (!text)
        return NULL;
    va_start(args, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    va_end(args);
    return text;
}

bool arena_defer(struct arena *a, void (*dispose)(void *), void *arg)
{
    struct arena_exit *note = arena_alloc(a, sizeof *note);
    if (!note) {
        dispose(arg);
        return false;
    }
    *note = (struct arena_exit){a->exits, dispose, arg};
    a->exits = note;
    return true;
}

void arena_end(struct arena *a)
{
    while (a->exits) {
        struct arena_exit *note = a->exits;
        a->exits = note->next;
        note->dispose(note->arg);
    }
    while (a->blocks) {
        struct arena_block *block = a->blocks;
        a->blocks = block->next;
        if (block != a->room)
            free(block);
    }
    *a = (struct arena){.blocks = a->room, .room = a->room};
    if (a->room)
        *a->room = (struct arena_block){.size = a->room->size};
}
