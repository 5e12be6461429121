/* `weir export`: the configuration as the document that `weir apply` takes. Secrets are never in it. */
#include <stdio.h>

#include "admin/document.h"
#include "admin/command.h"
#include "admin/option.h"
#include "fcgi/base/text.h"

#define KEYS_A_PAGE 500

struct export { struct buf out; size_t rows, revoked; };

static void put_out(struct export *e)
{
    fwrite(e->out.at ? e->out.at : "", 1, e->out.len, stdout);
    buf_clear(&e->out);
}

/* Before each entry of a section, and behind the last. */
static void entry_lead(struct export *e)
{
    put_out(e);
    buf_str(&e->out, e->rows++ ? ",\n  " : "\n  ");
}

static void section_start(struct export *e, const char *lead)
{
    put_out(e);
    e->rows = 0;
    buf_str(&e->out, lead);
}

static void limit_row(const struct limit_rule *l, void *arg)
{
    entry_lead(arg);
    doc_limit_write(&((struct export *)arg)->out, l);
}

static void jwt_row(const struct jwt_row *j, void *arg)
{
    entry_lead(arg);
    buf_str(&((struct export *)arg)->out, j->body);
}

static enum weir_err export_routes(struct export *e, struct db *db)
{
    struct snapshot *snap;
    enum weir_err err = snapshot_load(db, NULL, &snap);

    if (err) return err;
    section_start(e, "{\"providers\":[");
    for (int i = 0; i < snap->provider_count; i++) {
        entry_lead(e);
        doc_provider_write(&e->out, &snap->providers[i]);
    }
    section_start(e, "],\n \"models\":[");
    for (int i = 0; i < snap->model_count; i++) {
        entry_lead(e);
        doc_model_write(&e->out, &snap->models[i]);
    }
    snapshot_release(snap);
    return WEIR_OK;
}

/* Revoked keys are left out: applied elsewhere, the document would make them live again. */
static enum weir_err export_keys(struct export *e, struct db *db)
{
    struct key page[KEYS_A_PAGE];
    struct arena memory;
    enum weir_err err;
    int64_t after = 0;
    int n;

    arena_init(&memory);
    do {
        err = keys_by_id_after(db, after, KEYS_A_PAGE, &memory, page, &n);
        if (err) n = 0;
        for (int i = 0; i < n; i++) {
            after = page[i].id;
            if (page[i].revoked) {
                e->revoked++;
                continue;
            }
            entry_lead(e);
            doc_key_write(&e->out, &page[i]);
        }
        arena_end(&memory);
    } while (n == KEYS_A_PAGE);
    return err;
}

static enum weir_err export_settings(struct export *e, struct db *db)
{
    struct arena memory;
    enum weir_err err = WEIR_OK;
    char *value;

    arena_init(&memory);
    for (const struct setting_def *d = setting_defs; d->name && !err; d++) {
        err = settings_get(db, d, &memory, &value);
        if (err || strcmp(value, d->standard) == 0) continue;
        entry_lead(e);
        json_string(&e->out, span_of(d->name));
        buf_char(&e->out, ':');
        buf_str(&e->out, value);
    }
    arena_end(&memory);
    return err;
}

static enum weir_err export_all(struct export *e, struct db *db)
{
    enum weir_err err = export_routes(e, db);

    if (err) return err;
    section_start(e, "],\n \"limits\":[");
    err = limits_each(db, limit_row, e);
    if (err) return err;
    section_start(e, "],\n \"keys\":[");
    err = export_keys(e, db);
    if (err) return err;
    section_start(e, "],\n \"jwt\":[");
    err = jwt_each(db, jwt_row, e);
    if (err) return err;
    section_start(e, "],\n \"settings\":{");
    err = export_settings(e, db);
    buf_str(&e->out, "}}\n");
    put_out(e);
    return err ? err : e->out.err;
}

int cmd_export(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct export e = {.rows = 0};
    struct words words;
    struct db *db;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    buf_init(&e.out, (size_t)64 << 20);
    err = export_all(&e, db);
    buf_free(&e.out);
    if (err) weir_failed("the document is not whole", err, db);
    if (e.revoked) say("%zu revoked keys were left out", e.revoked);
    db_close(db);
    return err ? EXIT_REFUSED : finish_output();
}
