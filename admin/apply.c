/* Brings a configuration document into the database. First all of it is read and checked against itself and what is
 * stored, entry by entry in constant memory; then it is read again and written where it differs. Here the parts come
 * together: what is stored, the way through a section, the transaction. */
#include "admin/anonymous.h"
#include "admin/apply_state.h"

#include <stdio.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "sql/pulse.h"

/* ---- what is stored ---- */

static void stored_forget(struct apply *a)
{
    if (a->before) snapshot_release(a->before);
    a->before = NULL;
}

static bool stored_load(struct apply *a)
{
    stored_forget(a);
    a->err = snapshot_load(a->read, a->master, &a->before);
    if (!a->err) a->err = jwt_count(a->read, &a->verifiers);
    return !a->err;
}

/* ---- going through a section ---- */

static void show_progress(enum section s, size_t i, size_t n)
{
    if (n >= 10000 && i % 5000 == 0 && isatty(STDERR_FILENO)) fprintf(stderr, "\r%s: %zu of %zu ", section_names[s], i, n);
}

bool apply_each_entry(struct apply *a, enum section s, bool (*entry)(struct apply *, struct jval))
{
    struct jiter it = jscan_iter(a->doc.sections[s]);
    size_t n = jscan_count(a->doc.sections[s]), top = path_member(&a->r, section_names[s]);
    struct span key;
    struct jval v;

    for (size_t i = 0; jscan_next(&it, &key, &v); i++) {
        size_t here = path_index(&a->r, i);

        show_progress(s, i, n);
        if (!entry(a, v)) return false;
        path_back(&a->r, here);
        arena_end(&a->entry);
    }
    path_back(&a->r, top);
    return true;
}

bool apply_each_setting(struct apply *a, bool (*entry)(struct apply *, const struct setting_def *, struct jval))
{
    struct jiter it = jscan_iter(a->doc.settings);
    size_t top = path_member(&a->r, "settings");
    struct span key;
    struct jval v;

    while (jscan_next(&it, &key, &v)) {
        const struct setting_def *d = setting_find(key);
        size_t here = path_key(&a->r, key);

        if (!d) return refuse(&a->r, "is no setting; `weir settings` lists them");
        if (!entry(a, d, v)) return false;
        path_back(&a->r, here);
    }
    path_back(&a->r, top);
    return true;
}

static bool anything_changed(const struct applied *out)
{
    for (int i = 0; i < TALLY_COUNT; i++)
        if (out->tally[i].added || out->tally[i].changed) return true;
    return false;
}

/* ---- the whole ---- */

static void forget_all(struct apply *a)
{
    stored_forget(a);
    for (int i = 0; i < SECTION_COUNT; i++) names_free(&a->seen[i]);
    names_free(&a->provider_id);
    arena_end(&a->entry);
}

/* Writes and commits, or undoes. */
static bool transact(struct apply *a, bool dry_run)
{
    a->err = change_begin(&a->change, a->write, a->data_dir);
    if (a->err) return false;
    a->now = clock_wall_ms();
    if (!stored_load(a) || !apply_write(a)) goto undo; /* nobody else can change it now, so load it again */
    if (dry_run || !anything_changed(a->out)) {
        change_undo(&a->change);
        return true;
    }
    a->err = change_commit(&a->change);
    if (!a->err) {
        pulse_ring(a->data_dir); /* keys may be new */
        return true;
    }
undo:
    change_undo(&a->change);
    return false;
}

bool document_change(const struct apply_ground *g, struct span text, bool dry_run, struct applied *out, struct fault *fault)
{
    struct apply a = {.data_dir = g->data_dir, .read = g->read, .write = g->write, .master = g->master, .by = g->by,
                      .out = out, .strict = g->strict, .r = {.remote = g->remote}};
    bool fine;

    *out = (struct applied){0};
    buf_init(&out->made, (size_t)512 << 20);
    buf_init(&out->notes, 1 << 20);
    buf_init(&out->changes, (size_t)64 << 20);
    arena_init(&a.entry);
    a.r.memory = &a.entry;
    fine = document_read(&a.r, text, &a.doc) && stored_load(&a) && apply_check(&a) && transact(&a, dry_run);
    if (!fine) {
        *fault = (struct fault){.err = a.err, .unknown = a.unknown};
        memcpy(fault->path, a.r.path, sizeof fault->path);
        memcpy(fault->text, a.r.fault, sizeof fault->text);
    }
    if (dry_run && out->made.at) secret_wipe(out->made.at, out->made.len);
    if (dry_run) buf_free(&out->made);
    if (!fine) applied_free(out);
    forget_all(&a);
    return fine;
}

void applied_free(struct applied *out)
{
    if (out->made.at) secret_wipe(out->made.at, out->made.len);
    buf_free(&out->made);
    buf_free(&out->notes);
    buf_free(&out->changes);
}
