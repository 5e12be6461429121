/* Memory that lives as long as one request and goes all at once, and the disposers of what is not memory. */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stddef.h>
#include "fcgi/base/span.h"

struct arena {
    struct arena_block *blocks;
    struct arena_block *room; /* the caller's; NULL: none */
    struct arena_exit *exits;
    size_t used; /* bytes handed out */
};

void arena_init(struct arena *a);
/* With memory of the caller's, which is handed out first: malloc's, or as well aligned; again after each arena_end. */
void arena_init_in(struct arena *a, void *room, size_t size);
/* Zeroed, aligned for any type; NULL when memory is out. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_room(struct arena *a, size_t size); /* the same, not zeroed */
/* Copies with a NUL behind; NULL for an absent span or when memory is out. */
char *arena_str(struct arena *a, struct span s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Calls dispose(arg) at arena_end, last registered first. On failure to register it is called at once
 * and false is returned: the thing is never leaked. */
bool arena_defer(struct arena *a, void (*dispose)(void *), void *arg);
/* Runs the disposers, frees all. May be called twice; the arena can be used again. */
void arena_end(struct arena *a);

#endif
