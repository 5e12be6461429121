/* Spare connections, the one used last on top: its memory is warm. */
#include "fcgi/door/conns.h"

#include <pthread.h>
#include <stdlib.h>

#define SPARE 16

struct conns {
    bool is_cgi;
    pthread_mutex_t lock; /* the rest */
    struct conn *spare[SPARE];
    int count;
};

enum weir_err conns_new(bool is_cgi, struct conns **out)
{
    struct conns *all = *out = calloc(1, sizeof *all);
    if (!all) return WEIR_NOMEM;
    all->is_cgi = is_cgi;
    pthread_mutex_init(&all->lock, NULL);
    return WEIR_OK;
}

void conns_free(struct conns *all)
{
    if (!all) return;
    for (int i = 0; i < all->count; i++) conn_free(all->spare[i]);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

struct conn *conns_take(struct conns *all)
{
    struct conn *c = NULL;
    pthread_mutex_lock(&all->lock);
    if (all->count) c = all->spare[--all->count];
    pthread_mutex_unlock(&all->lock);
    if (!c) conn_new(all->is_cgi, &c);
    return c;
}

void conns_give(struct conns *all, struct conn *c)
{
    if (!c) return;
    conn_end(c);
    pthread_mutex_lock(&all->lock);
    bool kept = all->count < SPARE;
    if (kept) all->spare[all->count++] = c;
    pthread_mutex_unlock(&all->lock);
    if (!kept) conn_free(c);
}
