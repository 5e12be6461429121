/* Spare blocks, the one used last on top. The pool goes with its owner and with the last block that is out. */
#include "fcgi/base/blocks.h"

#include <pthread.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
#define KEEPS false /* it sees only what has gone back to the heap */
#else
#define KEEPS true
#endif

struct blocks {
    size_t size, most;
    void (*undo)(void *block);
    pthread_mutex_t lock; /* the rest */
    size_t refs;          /* the owner's and those of blocks that are out */
    size_t count;
    void *spare[];
};

struct blocks *blocks_new(size_t size, size_t most, void (*undo)(void *block))
{
    struct blocks *b = calloc(1, sizeof *b + most * sizeof *b->spare);
    if (!b) return NULL;
    b->size = size;
    b->most = most;
    b->undo = undo;
    b->refs = 1;
    pthread_mutex_init(&b->lock, NULL);
    return b;
}

static void dispose(const struct blocks *b, void *block)
{
    if (b->undo) b->undo(block);
    free(block);
}

/* The lock is held, and given back. */
static void let_go(struct blocks *b)
{
    size_t left = --b->refs;
    pthread_mutex_unlock(&b->lock);
    if (left) return;
    while (b->count) dispose(b, b->spare[--b->count]);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void blocks_end(struct blocks *b)
{
    if (!b) return;
    pthread_mutex_lock(&b->lock);
    let_go(b);
}

void *blocks_take(struct blocks *b, bool *is_new)
{
    pthread_mutex_lock(&b->lock);
    *is_new = b->count == 0;
    void *block = *is_new ? malloc(b->size) : b->spare[--b->count];
    if (block) b->refs++;
    pthread_mutex_unlock(&b->lock);
    return block;
}

void blocks_give(struct blocks *b, void *block)
{
    pthread_mutex_lock(&b->lock);
    if (KEEPS && b->count < b->most) b->spare[b->count++] = block;
    else dispose(b, block);
    let_go(b);
}
