/* Blocks of one size that one thread takes and another gives back: a heap is slowest at that. */
#ifndef WEIR_BASE_BLOCKS_H
#define WEIR_BASE_BLOCKS_H

#include <stddef.h>

struct blocks;

/* At most `most` are kept. NULL: memory is out. */
struct blocks *blocks_new(size_t size, size_t most);
/* What is taken at that time may be given back later. NULL is fine. */
void blocks_end(struct blocks *b);
/* Not zeroed, aligned for any type; NULL: memory is out. */
void *blocks_take(struct blocks *b);
void blocks_give(struct blocks *b, void *block);

#endif
