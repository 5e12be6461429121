/* Opening and closing what a change of keys needs: the master key, the database, the change itself. */
#include "admin/key_change.h"

bool key_change_open(struct weir *w, struct key_change *c)
{
    enum weir_err err;

    *c = (struct key_change){0};
    if (!weir_master(w, &c->master) || !weir_open(w, DB_WRITE, &c->db)) return false;
    err = change_begin(&c->change, c->db, w->data_dir);
    if (err) weir_failed("nothing was changed", err, c->db);
    c->begun = !err;
    return c->begun;
}

void key_change_close(struct key_change *c)
{
    if (c->begun) change_undo(&c->change);
    db_close(c->db);
    master_key_free(c->master);
}
