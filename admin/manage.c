/* Changes of configuration, limits and client keys, each with its record. Administrators are manage_people.c's, what is
 * taken from providers and models manage_routes.c's. */
#include "admin/manage.h"

#include <stdio.h>

#include "admin/manage_state.h"
#include "fcgi/base/clock.h"

struct manager weir_manager(struct weir *w)
{
    return (struct manager){.data_dir = w->data_dir, .db_path = w->db_path, .by = weir_actor(w), .memory = &w->memory};
}

/* ---- entries of the document ---- */

enum weir_err manage_document(struct manager *m, struct span text, bool dry_run, struct applied *out, struct fault *fault)
{
    struct apply_ground g = {.data_dir = m->data_dir, .write = m->db, .master = m->master, .by = m->by, .remote = true,
                             .strict = m->strict};
    enum weir_err err = db_open(m->db_path, DB_READ, MANAGE_BUSY_MS, &sql_admin, &g.read);
    if (err != WEIR_OK) return err;
    bool fine = document_change(&g, text, dry_run, out, fault);
    db_close(g.read);
    return fine ? WEIR_OK : fault->err ? fault->err : WEIR_INVALID;
}

/* "limits[0].capacity" is told as "capacity". */
static void strip_path(struct fault *fault)
{
    const char *bracket = strchr(fault->path, ']'), *rest = bracket ? bracket + 1 : strchr(fault->path, '.');
    if (!rest) return;
    rest += *rest == '.';
    memmove(fault->path, rest, strlen(rest) + 1);
}

/* "NAME<TAB>SECRET\n": the name has no tab. */
static const char *secret_of(const struct applied *done, struct arena *a)
{
    struct span made = buf_all(&done->made);
    const char *tab = made.len ? memchr(made.at, '\t', made.len) : NULL;
    return tab ? arena_str(a, (struct span){tab + 1, made.len - (size_t)(tab + 1 - made.at) - 1}) : NULL;
}

/* "keys[0].models[1]: ..." is told as "models[1]: ...", line by line. */
static const char *notes_of(const struct applied *done, struct arena *a)
{
    struct buf text;
    struct span left = buf_all(&done->notes);
    const char *kept = NULL;
    buf_init(&text, left.len + 1);
    while (left.len) {
        const char *end = memchr(left.at, '\n', left.len), *dot = memmem(left.at, left.len, "].", 2);
        struct span line = {left.at, end ? (size_t)(end - left.at) : left.len};
        left = (struct span){left.at + line.len + (end != NULL), left.len - line.len - (end != NULL)};
        if (dot && dot < line.at + line.len) line = (struct span){dot + 2, (size_t)(line.at + line.len - dot) - 2};
        if (text.len) buf_char(&text, '\n');
        buf_span(&text, line);
    }
    if (text.len && !text.err) kept = arena_str(a, buf_all(&text));
    buf_free(&text);
    return kept;
}

static enum weir_err apply_text(struct manager *m, struct buf *text, struct fault *fault, const char **secret)
{
    struct applied done;
    enum weir_err err = text->err ? text->err : manage_document(m, buf_all(text), false, &done, fault);
    if (err == WEIR_OK) {
        if (secret) *secret = secret_of(&done, m->memory);
        m->notes = notes_of(&done, m->memory);
        applied_free(&done);
    }
    if (err == WEIR_INVALID) strip_path(fault);
    buf_free(text);
    return err;
}

enum weir_err manage_entry(struct manager *m, enum section section, struct span entry, struct fault *fault,
                           const char **secret)
{
    struct buf text;
    *fault = (struct fault){0};
    if (secret) *secret = NULL;
    buf_init(&text, entry.len + 64);
    buf_printf(&text, "{\"%s\":[", section_names[section]);
    buf_span(&text, entry);
    buf_str(&text, "]}");
    return apply_text(m, &text, fault, secret);
}

enum weir_err manage_settings(struct manager *m, struct span members, struct fault *fault)
{
    struct buf text;
    *fault = (struct fault){0};
    buf_init(&text, members.len + 64);
    buf_str(&text, "{\"settings\":");
    buf_span(&text, members);
    buf_char(&text, '}');
    return apply_text(m, &text, fault, NULL);
}

/* ---- one transaction with its record ---- */

enum weir_err managed_begin(struct manager *m, struct managed *c)
{
    *c = (struct managed){.now = clock_wall_ms()};
    buf_init(&c->before, RECORD_MAX);
    buf_init(&c->after, RECORD_MAX);
    return change_begin(&c->change, m->db, m->data_dir);
}

enum weir_err managed_end(struct manager *m, struct managed *c, enum weir_err err, const char *action, const char *subject)
{
    const struct admin_change record = {.time = c->now, .by = m->by, .action = action, .subject = subject,
                                        .before = c->before.len ? buf_cstr(&c->before) : NULL,
                                        .after = c->after.len ? buf_cstr(&c->after) : NULL};
    if (err == WEIR_OK) err = admin_change_add(m->db, &record);
    if (err == WEIR_OK) err = change_commit(&c->change);
    else change_undo(&c->change);
    buf_free(&c->before);
    buf_free(&c->after);
    return err;
}

/* ---- limits ---- */

/* The limit as it is, where its whole identity is given; else what was asked for. */
static void note_limit(struct manager *m, const struct limit_key *k, struct buf *out)
{
    const struct limit_rule like = {.scope = k->scope, .metric = k->metric, .shape = k->shape,
                                    .period = k->period ? k->period : "",
                                    .seconds = k->seconds};
    struct limit_rule found;
    if (k->shape && limit_find(m->db, &like, m->memory, &found) == WEIR_OK) {
        doc_limit_write(out, &found);
        return;
    }
    buf_str(out, "{\"metric\":");
    json_string(out, span_of(k->metric));
    buf_str(out, ",\"shape\":");
    json_string(out, span_of(k->shape));
    buf_char(out, '}');
}

enum weir_err manage_limit_remove(struct manager *m, const struct limit_key *k, int *removed)
{
    struct managed c;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    note_limit(m, k, &c.before);
    err = limit_remove(m->db, k, removed);
    return managed_end(m, &c, err, "limit removed", k->scope);
}

enum weir_err manage_limit_reset(struct manager *m, const struct limit_key *k, const char *member, int *reset)
{
    struct managed c;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    note_limit(m, k, &c.before);
    err = limit_reset(m->db, k, member, c.now, reset);
    return managed_end(m, &c, err, "limit reset", member ? member : k->scope);
}

/* ---- client keys ---- */

enum weir_err manage_key_rotate(struct manager *m, const char *name, int64_t overlap_ms, char *secret)
{
    struct managed c;
    struct client_hash hash;
    struct key k;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    err = keys_by_name(m->db, span_of(name), m->memory, &k);
    if (err == WEIR_OK && !key_is_live(&k, c.now)) err = WEIR_INVALID;
    secret_client_key(secret);
    secret_client_hash(m->master, span_of(secret), &hash);
    if (err == WEIR_OK) err = keys_rotate(m->db, k.id, &hash, c.now, c.now + overlap_ms);
    buf_printf(&c.after, "{\"overlap_s\":%lld}", (long long)(overlap_ms / 1000));
    err = managed_end(m, &c, err, "key rotated", name);
    if (err != WEIR_OK) secret_wipe(secret, CLIENT_KEY_LEN + 1);
    return err;
}

enum weir_err manage_key_revoke(struct manager *m, const char *name)
{
    struct managed c;
    struct key k;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    err = keys_by_name(m->db, span_of(name), m->memory, &k);
    if (err == WEIR_OK) doc_key_write(&c.before, &k);
    if (err == WEIR_OK) err = keys_revoke(m->db, k.id, c.now);
    return managed_end(m, &c, err, "key revoked", name);
}

/* ---- token verifiers ---- */

enum weir_err manage_jwt_remove(struct manager *m, const char *name)
{
    struct managed c;
    struct jwt_row row;
    enum weir_err err = managed_begin(m, &c);
    if (err != WEIR_OK) return err;
    err = jwt_find(m->db, name, m->memory, &row);
    if (err == WEIR_OK) buf_str(&c.before, row.body);
    if (err == WEIR_OK) err = jwt_remove(m->db, name);
    return managed_end(m, &c, err, "token verifier removed", name);
}
