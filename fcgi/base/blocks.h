/* Blocks of one size that one thread takes and another gives back: a heap is slowest at that. */
#ifndef WEIR_BASE_BLOCKS_H
#define WEIR_BASE_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

struct blocks;

/* At most `most` are kept, with what they hold; undo is called before one is freed (NULL: it holds nothing). NULL: memory is
 * out. */
struct blocks *blocks_new(size_t size, size_t most, void (*undo)(void *block));
/* What is taken at that time may be given back later. NULL is fine. */
void blocks_end(struct blocks *b);
/* Aligned for any type; NULL: memory is out. *is_new: of undefined content; otherwise as it was given back. */
void *blocks_take(struct blocks *b, bool *is_new);
void blocks_give(struct blocks *b, void *block);

#endif
