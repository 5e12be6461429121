/* A provider by its name, from a snapshot of its own. */
#include "admin/provider_open.h"

#include "fcgi/door/http.h"

static bool load(struct weir *w, struct opened *out)
{
    struct master_key *master = NULL;
    struct db *db = NULL;
    enum weir_err err = WEIR_OK;
    bool fine = weir_master(w, &master) && weir_open(w, DB_READ, &db);

    if (fine && (err = snapshot_load(db, master, &out->snap))) weir_failed("the providers cannot be read", err, db);
    db_close(db);
    master_key_free(master);
    return fine && !err;
}

bool provider_open(struct weir *w, const char *name, struct opened *out)
{
    *out = (struct opened){NULL, NULL};
    if (http_start()) {
        say("libcurl does not start");
        return false;
    }
    if (!load(w, out)) return false;
    out->provider = snapshot_provider(out->snap, span_of(name));
    if (out->provider) return true;
    say("%s: no provider of that name", name);
    provider_close(out);
    return false;
}

void provider_close(struct opened *o)
{
    if (o->snap) snapshot_release(o->snap);
    *o = (struct opened){NULL, NULL};
}
