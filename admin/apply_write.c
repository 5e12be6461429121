/* Writes the entries of a checked document that differ from what is stored, and counts them. */
#include "admin/anonymous.h"
#include "admin/apply_state.h"
#include "admin/same.h"

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

static bool write_upstream_keys(struct apply *a, const struct doc_provider *d, const struct provider_row *old, int64_t id,
                                bool *changed)
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
    if (changed && !apply_record_provider(a, old, &d)) return false;
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
        rows[i] = (struct target_row){p, d->targets[i].model, d->targets[i].weight, d->targets[i].price};
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
    if (!(row_same && targets_same) && !apply_record_model(a, old, &d)) return false;
    return count(a, SECTION_MODELS, old != NULL, !row_same || !targets_same);
}

static bool write_limit(struct apply *a, struct jval v)
{
    struct limit_rule l, old;
    bool was_there, same;
    enum weir_err err;

    if (!doc_limit_read(&a->r, v, &l)) return false;
    err = limit_find(a->write, &l, &a->entry, &old);
    if (err && err != WEIR_NOT_FOUND) return stopped(a, err);
    was_there = !err;
    same = was_there && limit_same(&old, &l);
    l.created = a->now;
    if (!same) {
        err = limit_put(a->write, &l);
        if (err) return stopped(a, err);
        if (!apply_record_limit(a, was_there ? &old : NULL, &l)) return false;
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
    return err ? stopped(a, err) : apply_record_key(a, NULL, &d->row, true);
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
    if (old.revoked) a->out->revoked++;
    d.row.id = old.id;
    same = key_same(&old, &d.row);
    if (!same) err = keys_update(a->write, &d.row);
    if (!err && d.secret.at) {
        secret_client_hash(a->master, d.secret, &hash);
        err = keys_set_secret(a->write, old.id, &hash, &new_secret);
        if (err == WEIR_EXISTS) return refuse_member(&a->r, "secret", "is another key's");
    }
    if (err) return stopped(a, err);
    if ((!same || new_secret) && !apply_record_key(a, &old, &d.row, new_secret)) return false;
    return count(a, SECTION_KEYS, true, !same || new_secret);
}

/* A stored secret cannot be read back for comparing, so an entry that brings one counts as changed. */
static bool write_jwt(struct apply *a, struct jval v)
{
    struct jwt_row old = {.name = NULL};
    struct doc_jwt d;
    bool same;
    enum weir_err err;

    if (!doc_jwt_read(&a->r, v, &d)) return false;
    err = jwt_find(a->write, d.name, &a->entry, &old);
    if (err && err != WEIR_NOT_FOUND) return stopped(a, err);
    a->out->short_secret |= d.short_secret;
    same = old.name && span_is(d.body, old.body) && !d.secret.at;
    if (!same) {
        err = jwt_put(a->write, a->master, d.name, d.body, d.secret);
        if (err) return stopped(a, err);
        if (!apply_record_text(a, old.name ? "token verifier changed" : "token verifier added", d.name, span_of(old.body),
                               d.body))
            return false;
    }
    return count(a, SECTION_JWT, old.name != NULL, !same);
}

static bool write_setting(struct apply *a, const struct setting_def *d, struct jval v)
{
    char *old;
    enum weir_err err = settings_get(a->write, d, &a->entry, &old);
    bool same = !err && span_is(v.text, old), limited = false;

    if (!err && !same) err = settings_put(a->write, d, v.text);
    if (!err && !same) err = anonymous_limits(a->write, d, v.text, a->now, &limited);
    a->out->anonymous_limited |= limited;
    if (err) return stopped(a, err);
    if (!same && !apply_record_text(a, "setting changed", d->name, span_of(old), v.text)) return false;
    return count(a, TALLY_SETTINGS, true, !same);
}

bool apply_write(struct apply *a)
{
    return apply_each_entry(a, SECTION_PROVIDERS, write_provider) && apply_each_entry(a, SECTION_MODELS, write_model)
        && apply_each_entry(a, SECTION_LIMITS, write_limit) && apply_each_entry(a, SECTION_KEYS, write_key)
        && apply_each_entry(a, SECTION_JWT, write_jwt) && apply_each_setting(a, write_setting);
}
