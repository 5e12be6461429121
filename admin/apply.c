/* Brings a configuration document into the database. First all of it is read and checked against itself and what is
 * stored, entry by entry in constant memory; then it is read again and written where it differs. */
#include "admin/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/document.h"
#include "admin/in_force.h"
#include "admin/names.h"
#include "admin/same.h"
#include "fcgi/base/clock.h"
#include "sql/change.h"

struct apply {
    struct weir *w;
    struct reader r;
    struct arena entry;      /* texts of one entry */
    struct document doc;
    struct master_key *master;
    struct db *read, *write; /* read: what was there before */
    struct change change;
    struct snapshot *before; /* providers and models as stored */
    struct arena stored;
    struct limit_rule *limits; size_t limit_count, limit_room;
    struct names limit_at;   /* identity to index in limits */
    struct names jwt_bodies; /* "name\nbody" as stored */
    struct names jwt_secret; /* names of those that have a secret */
    struct names seen[SECTION_COUNT]; /* of the document */
    struct names provider_id;
    struct pending pending;
    struct applied *out;
    size_t revoked;
    int64_t now;
    enum weir_err err;       /* of the database; else the fault is in r */
};

/* ---- what is stored ---- */

static void limit_stored(const struct limit_rule *l, void *arg)
{
    struct apply *a = arg;
    struct limit_rule copy = *l;
    char *identity;

    if (a->err) return;
    if (a->limit_count == a->limit_room) {
        size_t room = a->limit_room ? a->limit_room * 2 : 64;
        struct limit_rule *more = realloc(a->limits, room * sizeof *more);

        if (!more) {
            a->err = WEIR_NOMEM;
            return;
        }
        a->limits = more;
        a->limit_room = room;
    }
    identity = limit_identity(&a->stored, l);
    copy.mode = arena_str(&a->stored, span_of(l->mode));
    if (!identity || !copy.mode) a->err = WEIR_NOMEM;
    else a->err = names_add(&a->limit_at, span_of(identity), (int64_t)a->limit_count);
    a->limits[a->limit_count++] = copy; /* only mode and the numbers are read again */
}

static void jwt_stored(const struct jwt_row *j, void *arg)
{
    struct apply *a = arg;
    char *whole = arena_printf(&a->stored, "%s\n%s", j->name, j->body);

    if (a->err) return;
    if (!whole) a->err = WEIR_NOMEM;
    if (!a->err) a->err = names_add(&a->jwt_bodies, span_of(whole), 0);
    if (!a->err) a->err = names_add(&a->jwt_bodies, span_of(j->name), 0);
    if (!a->err && j->has_secret) a->err = names_add(&a->jwt_secret, span_of(j->name), 0);
}

static void stored_forget(struct apply *a)
{
    if (a->before) snapshot_release(a->before);
    a->before = NULL;
    names_free(&a->limit_at);
    names_free(&a->jwt_bodies);
    names_free(&a->jwt_secret);
    free(a->limits);
    a->limits = NULL;
    a->limit_count = a->limit_room = 0;
    arena_end(&a->stored);
}

static bool stored_load(struct apply *a)
{
    stored_forget(a);
    a->err = snapshot_load(a->read, a->master, &a->before);
    if (!a->err && a->doc.sections[SECTION_LIMITS].kind) {
        enum weir_err err = limits_each(a->read, limit_stored, a);
        if (err) a->err = err;
    }
    if (!a->err && a->doc.sections[SECTION_JWT].kind) {
        enum weir_err err = jwt_each(a->read, jwt_stored, a);
        if (err) a->err = err;
    }
    return !a->err;
}

/* ---- going through a section ---- */

static void show_progress(enum section s, size_t i, size_t n)
{
    if (n >= 10000 && i % 5000 == 0 && isatty(STDERR_FILENO)) fprintf(stderr, "\r%s: %zu of %zu ", section_names[s], i, n);
}

static bool each_entry(struct apply *a, enum section s, bool (*entry)(struct apply *, struct jval))
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

static bool add_name(struct apply *a, enum section s, const char *member, const char *name)
{
    switch (names_add(&a->seen[s], span_of(name), 0)) {
    case WEIR_OK:     return true;
    case WEIR_EXISTS: return member ? refuse_member(&a->r, member, "stands in %s twice", section_names[s])
                                    : refuse(&a->r, "stands in %s twice (the same scope, metric, shape and period or seconds)", section_names[s]);
    default:          return refuse_memory(&a->r);
    }
}

/* ---- checking ---- */

static bool check_provider(struct apply *a, struct jval v)
{
    const struct provider_row *old;
    struct doc_provider d;

    if (!doc_provider_read(&a->r, v, &d) || !add_name(a, SECTION_PROVIDERS, "name", d.row.name)) return false;
    old = snapshot_provider(a->before, span_of(d.row.name));
    for (int i = 0; i < d.key_count; i++) {
        if (d.keys[i].secret.at || provider_key_of(old, d.keys[i].name)) continue;
        path_member(&a->r, "keys");
        path_index(&a->r, (size_t)i);
        return refuse_member(&a->r, "secret", "is missing, and no such key is stored");
    }
    pending_provider(&a->pending, &d);
    return true;
}

static bool check_model(struct apply *a, struct jval v)
{
    struct doc_model d;

    if (!doc_model_read(&a->r, v, &d) || !add_name(a, SECTION_MODELS, "alias", d.row.alias)) return false;
    pending_model(&a->pending, &d);
    return true;
}

/* When all names are known: does what a model points at exist? */
static bool check_references(struct apply *a, struct jval v)
{
    struct doc_model d;

    if (!doc_model_read(&a->r, v, &d)) return false;
    for (int i = 0; i < d.target_count; i++) {
        struct span name = span_of(d.targets[i].provider);

        if (names_find(&a->seen[SECTION_PROVIDERS], name, NULL) || snapshot_provider(a->before, name)) continue;
        path_member(&a->r, "targets");
        path_index(&a->r, (size_t)i);
        return refuse_member(&a->r, "provider", "%.100s is no provider, here or stored", d.targets[i].provider);
    }
    if (!d.row.fallback) return true;
    if (names_find(&a->seen[SECTION_MODELS], span_of(d.row.fallback), NULL) || snapshot_model(a->before, span_of(d.row.fallback))) return true;
    return refuse_member(&a->r, "fallback", "%.100s is no alias, here or stored", d.row.fallback);
}

static bool check_limit(struct apply *a, struct jval v)
{
    struct limit_rule l;
    char *identity;

    if (!doc_limit_read(&a->r, v, &l)) return false;
    identity = limit_identity(&a->entry, &l);
    if (!identity) return refuse_memory(&a->r);
    pending_limit(&a->pending);
    return add_name(a, SECTION_LIMITS, NULL, identity);
}

static bool check_key(struct apply *a, struct jval v)
{
    struct doc_key d;

    return doc_key_read(&a->r, v, &d) && add_name(a, SECTION_KEYS, "name", d.row.name);
}

static bool check_jwt(struct apply *a, struct jval v)
{
    struct doc_jwt d;

    if (!doc_jwt_read(&a->r, v, &d) || !add_name(a, SECTION_JWT, "name", d.name)) return false;
    if (d.symmetric && !d.secret.at && !names_find(&a->jwt_secret, span_of(d.name), NULL))
        return refuse_member(&a->r, "secret", "is missing, and none is stored");
    pending_jwt(&a->pending);
    return true;
}

static bool each_setting(struct apply *a, bool (*entry)(struct apply *, const struct setting_def *, struct jval))
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

static bool check_setting(struct apply *a, const struct setting_def *d, struct jval v)
{
    const char *expected = NULL;
    struct jiter it = jscan_iter(a->doc.settings);
    struct span key;
    struct jval other;

    if (setting_check(d, v, &expected)) return refuse(&a->r, "must be %s", expected ? expected : "something else");
    while (jscan_next(&it, &key, &other) && other.text.at < v.text.at)
        if (jkey_is(key, d->name)) return refuse(&a->r, "stands there twice");
    pending_setting(&a->pending, d);
    return true;
}

static bool check_all(struct apply *a)
{
    return each_entry(a, SECTION_PROVIDERS, check_provider) && each_entry(a, SECTION_MODELS, check_model)
        && each_entry(a, SECTION_MODELS, check_references) && each_entry(a, SECTION_LIMITS, check_limit)
        && each_entry(a, SECTION_KEYS, check_key) && each_entry(a, SECTION_JWT, check_jwt) && each_setting(a, check_setting);
}

/* ---- writing ---- */

static bool stopped(struct apply *a, enum weir_err err)
{
    a->err = err;
    return false;
}

static bool count(struct apply *a, int section, bool was_there, bool changed)
{
    struct tally *t = &a->out->tally[section];

    if (!was_there) t->added++;
    else if (changed) t->changed++;
    else t->same++;
    return true;
}

static bool write_upstream_keys(struct apply *a, const struct doc_provider *d, const struct provider_row *old, int64_t id, bool *changed)
{
    for (int i = 0; i < d->key_count; i++) {
        const struct doc_upstream_key *k = &d->keys[i];
        enum weir_err err;

        if (upstream_key_same(provider_key_of(old, k->name), k)) continue;
        err = provider_key_put(a->write, a->master, id, d->row.name, k->name, k->priority, k->secret);
        if (err) return stopped(a, err);
        *changed = true;
    }
    return true;
}

static bool write_provider(struct apply *a, struct jval v)
{
    const struct provider_row *old;
    struct doc_provider d;
    bool changed = false;
    enum weir_err err;
    int64_t id;

    if (!doc_provider_read(&a->r, v, &d)) return false;
    old = snapshot_provider(a->before, span_of(d.row.name));
    id = old ? old->id : 0;
    if (!old || !provider_same(old, &d.row)) {
        err = provider_put(a->write, &d.row, &id);
        if (err) return stopped(a, err);
        changed = true;
    }
    if (!write_upstream_keys(a, &d, old, id, &changed)) return false;
    if (names_add(&a->provider_id, span_of(d.row.name), id) == WEIR_NOMEM) return refuse_memory(&a->r);
    return count(a, SECTION_PROVIDERS, old != NULL, changed);
}

static bool write_targets(struct apply *a, const struct doc_model *d, int64_t model_id)
{
    int64_t *ids = arena_alloc(&a->entry, sizeof *ids * (size_t)d->target_count);
    struct target_row *rows = arena_alloc(&a->entry, sizeof *rows * (size_t)d->target_count);
    enum weir_err err;

    if (!ids || !rows) return refuse_memory(&a->r);
    for (int i = 0; i < d->target_count; i++) {
        struct span name = span_of(d->targets[i].provider);
        const struct provider_row *p = snapshot_provider(a->before, name);

        if (!names_find(&a->provider_id, name, &ids[i])) ids[i] = p ? p->id : 0;
        rows[i] = (struct target_row){p, d->targets[i].model, d->targets[i].weight};
    }
    err = targets_put(a->write, model_id, ids, rows, d->target_count);
    return !err || stopped(a, err);
}

static bool write_model(struct apply *a, struct jval v)
{
    const struct model_row *old;
    struct doc_model d;
    bool row_same, targets_same;
    enum weir_err err;
    int64_t id;

    if (!doc_model_read(&a->r, v, &d)) return false;
    old = snapshot_model(a->before, span_of(d.row.alias));
    row_same = old && model_same(old, &d.row);
    targets_same = old && model_targets_same(old, &d);
    id = old ? old->id : 0;
    d.row.created = a->now;
    if (!row_same) {
        err = model_put(a->write, &d.row, &id);
        if (err) return stopped(a, err);
    }
    if (!targets_same && !write_targets(a, &d, id)) return false;
    return count(a, SECTION_MODELS, old != NULL, !row_same || !targets_same);
}

static bool write_limit(struct apply *a, struct jval v)
{
    struct limit_rule l;
    char *identity;
    int64_t at = -1;
    bool was_there, same;

    if (!doc_limit_read(&a->r, v, &l)) return false;
    identity = limit_identity(&a->entry, &l);
    if (!identity) return refuse_memory(&a->r);
    was_there = names_find(&a->limit_at, span_of(identity), &at);
    same = was_there && limit_same(&a->limits[at], &l);
    l.created = a->now;
    if (!same) {
        enum weir_err err = limit_put(a->write, &l);
        if (err) return stopped(a, err);
    }
    return count(a, SECTION_LIMITS, was_there, !same);
}

/* A new key; its secret is made if none was given. */
static bool add_key(struct apply *a, struct doc_key *d)
{
    char made[CLIENT_KEY_LEN + 1];
    struct client_hash hash;
    enum weir_err err;
    int64_t id;

    if (!d->secret.at) {
        secret_client_key(made);
        secret_client_hash(a->master, span_of(made), &hash);
        buf_str(&a->out->made, d->row.name);
        buf_char(&a->out->made, '\t');
        buf_str(&a->out->made, made);
        buf_char(&a->out->made, '\n');
        a->out->made_count++;
        secret_wipe(made, sizeof made);
        if (a->out->made.err) return stopped(a, a->out->made.err);
    } else {
        secret_client_hash(a->master, d->secret, &hash);
    }
    d->row.created = a->now;
    err = keys_add(a->write, &d->row, &hash, &id);
    if (err == WEIR_EXISTS) return refuse_member(&a->r, "secret", "is another key's");
    return !err || stopped(a, err);
}

static bool write_key(struct apply *a, struct jval v)
{
    struct client_hash hash;
    struct doc_key d;
    struct key old;
    bool same, new_secret = false;
    enum weir_err err;

    if (!doc_key_read(&a->r, v, &d)) return false;
    err = keys_by_name(a->write, span_of(d.row.name), &a->entry, &old);
    if (err == WEIR_NOT_FOUND) return add_key(a, &d) && count(a, SECTION_KEYS, false, true);
    if (err) return stopped(a, err);
    if (old.revoked) a->revoked++;
    d.row.id = old.id;
    same = key_same(&old, &d.row);
    if (!same) err = keys_update(a->write, &d.row);
    if (!err && d.secret.at) {
        secret_client_hash(a->master, d.secret, &hash);
        err = keys_set_secret(a->write, old.id, &hash, &new_secret);
        if (err == WEIR_EXISTS) return refuse_member(&a->r, "secret", "is another key's");
    }
    if (err) return stopped(a, err);
    return count(a, SECTION_KEYS, true, !same || new_secret);
}

/* A stored secret cannot be read back for comparing, so an entry that brings one counts as changed. */
static bool write_jwt(struct apply *a, struct jval v)
{
    struct doc_jwt d;
    bool was_there, same;
    char *whole;

    if (!doc_jwt_read(&a->r, v, &d)) return false;
    whole = arena_printf(&a->entry, "%s\n%s", d.name, d.body.at);
    if (!whole) return refuse_memory(&a->r);
    was_there = names_find(&a->jwt_bodies, span_of(d.name), NULL);
    same = names_find(&a->jwt_bodies, span_of(whole), NULL) && !d.secret.at;
    if (!same) {
        enum weir_err err = jwt_put(a->write, a->master, d.name, d.body, d.secret);
        if (err) return stopped(a, err);
    }
    return count(a, SECTION_JWT, was_there, !same);
}

static bool write_setting(struct apply *a, const struct setting_def *d, struct jval v)
{
    char *old;
    enum weir_err err = settings_get(a->write, d, &a->entry, &old);
    bool same = !err && span_is(v.text, old);

    if (!err && !same) err = settings_put(a->write, d, v.text);
    if (err) return stopped(a, err);
    return count(a, TALLY_SETTINGS, true, !same);
}

static bool write_all(struct apply *a)
{
    return each_entry(a, SECTION_PROVIDERS, write_provider) && each_entry(a, SECTION_MODELS, write_model)
        && each_entry(a, SECTION_LIMITS, write_limit) && each_entry(a, SECTION_KEYS, write_key)
        && each_entry(a, SECTION_JWT, write_jwt) && each_setting(a, write_setting);
}

static bool anything_changed(const struct applied *out)
{
    for (int i = 0; i < TALLY_COUNT; i++)
        if (out->tally[i].added || out->tally[i].changed) return true;
    return false;
}

/* ---- the whole ---- */

static bool apply_open(struct apply *a)
{
    a->err = WEIR_OK;
    return weir_master(a->w, &a->master) && weir_open(a->w, DB_READ, &a->read) && weir_open(a->w, DB_WRITE, &a->write);
}

static void apply_close(struct apply *a)
{
    stored_forget(a);
    for (int i = 0; i < SECTION_COUNT; i++) names_free(&a->seen[i]);
    names_free(&a->provider_id);
    pending_free(&a->pending);
    db_close(a->read);
    db_close(a->write);
    master_key_free(a->master);
    arena_end(&a->entry);
}

static void say_fault(const struct apply *a, const char *drop)
{
    const char *path = *a->r.path ? a->r.path : "document";

    if (a->err) {
        weir_failed("nothing was changed", a->err, a->write);
        return;
    }
    if (drop && strncmp(path, drop, strlen(drop)) == 0) path += strlen(drop);
    fprintf(stderr, "%s: %s\n", path, a->r.fault);
}

/* Writes and commits, or undoes. */
static bool apply_write(struct apply *a, bool dry_run)
{
    a->err = change_begin(&a->change, a->write, a->w->data_dir);
    if (a->err) return false;
    a->now = clock_wall_ms();
    if (!stored_load(a) || !write_all(a)) goto undo; /* nobody else can change it now, so load it again */
    if (dry_run || !anything_changed(a->out)) {
        change_undo(&a->change);
        return true;
    }
    a->err = change_commit(&a->change);
    if (!a->err) return true;
undo:
    change_undo(&a->change);
    return false;
}

bool document_apply(struct weir *w, struct span text, bool dry_run, const char *drop, struct applied *out)
{
    struct apply a = {.w = w, .out = out};
    bool fine = false;

    *out = (struct applied){0};
    buf_init(&out->made, (size_t)512 << 20);
    arena_init(&a.entry);
    arena_init(&a.stored);
    pending_init(&a.pending);
    a.r.memory = &a.entry;
    if (!apply_open(&a)) goto out;
    fine = document_read(&a.r, text, &a.doc) && stored_load(&a) && check_all(&a) && apply_write(&a, dry_run);
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    if (!fine) say_fault(&a, drop);
    if (fine && a.revoked) say("%zu of these keys are revoked, and stay so: make new ones instead", a.revoked);
    if (fine) pending_say(&a.pending);
out:
    if (!fine || dry_run) {
        if (out->made.at) secret_wipe(out->made.at, out->made.len);
        buf_free(&out->made);
    }
    apply_close(&a);
    return fine;
}
