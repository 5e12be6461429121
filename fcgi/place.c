/* Spare places, the one used last on top: its memory is warm, and needs not be taken from the heap. */
#include "fcgi/place.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "fcgi/base/blocks.h"

#define SPARE 16
#define ROOM  (12 << 10) /* bytes: what most requests need of memory that lives as long as they do */

struct own { struct place place; /* first */ _Alignas(max_align_t) char room[ROOM]; };

struct places { bool is_cgi; struct blocks *spare; };

static void undo(void *block)
{
    struct place *p = block;
    conn_free(p->conn);
    arena_end(&p->memory);
}

enum weir_err places_new(bool is_cgi, struct places **out)
{
    struct places *all = *out = calloc(1, sizeof *all);
    if (!all) return WEIR_NOMEM;
    all->is_cgi = is_cgi;
    if ((all->spare = blocks_new(sizeof(struct own), SPARE, undo))) return WEIR_OK;
    free(all);
    *out = NULL;
    return WEIR_NOMEM;
}

void places_free(struct places *all)
{
    if (!all) return;
    blocks_end(all->spare);
    free(all);
}

struct place *places_take(struct places *all, int fd)
{
    bool is_new;
    struct own *o = blocks_take(all->spare, &is_new);
    if (o && is_new) {
        o->place.conn = NULL;
        arena_init_in(&o->place.memory, o->room, sizeof o->room);
    }
    if (o && !o->place.conn && conn_new(all->is_cgi, &o->place.conn) != WEIR_OK) {
        blocks_give(all->spare, o); /* the next may have more luck with it */
        o = NULL;
    }
    if (o) conn_open(o->place.conn, fd);
    else if (fd >= 0) close(fd);
    return o ? &o->place : NULL;
}

void places_give(struct places *all, struct place *p)
{
    conn_end(p->conn);
    arena_end(&p->memory);
    blocks_give(all->spare, p);
}
