/* Spare places, the one used last on top: its memory is warm, and needs not be taken from the heap, where one thread takes
 * and another gives back. */
#include "fcgi/place.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#define KEPT  0 /* it sees only what has gone back to the heap */
#else
#define KEPT  SPARE
#endif
#define SPARE 16
#define ROOM  (12 << 10) /* bytes: what most requests need of memory that lives as long as they do */

struct own { struct place place; /* first */ _Alignas(max_align_t) char room[ROOM]; };

struct places {
    bool is_cgi;
    pthread_mutex_t lock; /* the rest */
    struct place *spare[SPARE];
    int count;
};

static struct place *place_new(bool is_cgi)
{
    struct own *o = malloc(sizeof *o);
    if (!o) return NULL;
    if (conn_new(is_cgi, &o->place.conn) != WEIR_OK) {
        free(o);
        return NULL;
    }
    arena_init_in(&o->place.memory, o->room, sizeof o->room);
    return &o->place;
}

static void place_free(struct place *p)
{
    conn_free(p->conn);
    arena_end(&p->memory);
    free(p);
}

enum weir_err places_new(bool is_cgi, struct places **out)
{
    struct places *all = *out = calloc(1, sizeof *all);
    if (!all) return WEIR_NOMEM;
    all->is_cgi = is_cgi;
    pthread_mutex_init(&all->lock, NULL);
    return WEIR_OK;
}

void places_free(struct places *all)
{
    if (!all) return;
    for (int i = 0; i < all->count; i++) place_free(all->spare[i]);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

struct place *places_take(struct places *all, int fd)
{
    struct place *p = NULL;
    pthread_mutex_lock(&all->lock);
    if (all->count) p = all->spare[--all->count];
    pthread_mutex_unlock(&all->lock);
    if (!p) p = place_new(all->is_cgi);
    if (p) conn_open(p->conn, fd);
    else if (fd >= 0) close(fd);
    return p;
}

void places_give(struct places *all, struct place *p)
{
    conn_end(p->conn);
    arena_end(&p->memory);
    pthread_mutex_lock(&all->lock);
    bool kept = all->count < KEPT;
    if (kept) all->spare[all->count++] = p;
    pthread_mutex_unlock(&all->lock);
    if (!kept) place_free(p);
}
