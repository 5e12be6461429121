/* `weir prices`: what the aliases cost, and taking prices over from a list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/command.h"
#include "admin/document.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "admin/price_file.h"
#include "admin/price_list.h"
#include "admin/price_text.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"
#include "sql/change.h"
#include "sql/price.h"
#include "sql/price_parts.h"

#define RECORD_MOST (8 << 20) /* bytes of what was, or is */

/* "long_above=200000 long_input=6.00 ..." */
static void list_parts(struct listing *l, const struct price *p)
{
    struct buf text;

    buf_init(&text, PRICE_PARTS * 64);
    for (int i = 0; i < PRICE_PARTS; i++) {
        if (!(p->stated >> i & 1)) continue;
        buf_printf(&text, "%s%s=", text.len ? " " : "", price_part_names[i]);
        price_part_text(p, i, &text);
    }
    listing_both(l, SPAN_NONE, text.len ? buf_all(&text) : SPAN("-"));
    buf_free(&text);
}

/* Dollars per million tokens: one member of the JSON, five columns of the table. Goes into five listing columns, the
 * first of which is the JSON's. */
static void list_price(struct listing *l, const struct price *p)
{
    const int64_t parts[] = {p->input, p->cached_input, p->cache_write, p->output};
    char text[MONEY_TEXT];
    struct buf json;

    buf_init(&json, 4096);
    price_json(&json, p);
    for (int i = 0; i < 4; i++) {
        if (p->known) money_text(parts[i], text);
        listing_both(l, buf_all(&json), p->known ? span_of(text) : i ? SPAN("-") : SPAN("unpriced"));
    }
    list_parts(l, p);
    buf_free(&json);
}

#define PRICE_COLUMNS {"price", "INPUT", 0}, {NULL, "CACHED", 0}, {NULL, "WRITE", 0}, {NULL, "OUTPUT", 0}, \
                      {NULL, "AND", 0}

/* ---- list ---- */

static enum weir_err snapshot_of(struct weir *w, struct db **db, struct snapshot **snap)
{
    enum weir_err err;

    if (!weir_open(w, DB_READ, db)) return WEIR_NOT_FOUND;
    err = snapshot_load(*db, NULL, snap);
    if (err) weir_failed("the aliases cannot be read", err, *db);
    return err;
}

int cmd_prices(struct weir *w, int argc, char **argv)
{
    static const struct column columns[] = {{"alias", "ALIAS", 0}, PRICE_COLUMNS, {NULL, NULL, 0}};
    bool json = false;
    const struct option_def options[] = {{"--json", OPTION_FLAG, &json}, {NULL, OPTION_FLAG, NULL}};
    struct snapshot *snap = NULL;
    struct listing l;
    struct words words;
    struct db *db = NULL;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 0, 1, &words)) return EXIT_USAGE;
    if (words.count && strcmp(words.at[0], "list") != 0) {
        say("%s: must be list, import or remove", words.at[0]);
        return EXIT_USAGE;
    }
    if (snapshot_of(w, &db, &snap)) goto out;
    listing_start(&l, columns, json ? LISTING_JSON : LISTING_TABLE);
    for (int i = 0; i < snap->model_count; i++) {
        listing_text(&l, span_of(snap->models[i].alias));
        list_price(&l, &snap->models[i].price);
    }
    code = listing_end(&l);
out:
    if (snap) snapshot_release(snap);
    db_close(db);
    return code;
}

/* ---- import ---- */

enum result { RESULT_SET, RESULT_SAME, RESULT_KEPT, RESULT_UNPRICED, RESULT_REFUSED, RESULT_COUNT };
static const char *const result_names[] = {"set", "unchanged", "not listed", "unpriced", "refused"};

struct outcome { struct listed listed; struct price price; enum result result; };

struct import {
    struct weir *w;
    const struct price_file *file; /* NULL: the built-in list */
    bool sizes, dry_run, json;
    struct db *read, *write;
    struct snapshot *now;
    struct outcome *outcomes; /* of each model */
    int tally[RESULT_COUNT];
};

/* Where a provider's own price differs from the list's, a model is left alone. */
static void find_built_in(const struct model_row *m, struct listed *out)
{
    const struct target_row *t = m->target_count ? &m->targets[0] : NULL;
    const struct list_price *l = NULL;

    *out = (struct listed){.name = NULL};
    if (t && strcmp(t->provider->dialect, "azure") == 0) return;
    l = price_list_find(span_of(m->alias));
    if (!l && t) l = price_list_find(span_of(t->model));
    if (!l) return;
    *out = (struct listed){.name = l->model, .price = price_of(l)};
}

static enum weir_err record(struct import *im, const struct model_row *before, const struct model_row *after)
{
    struct buf was, is;
    enum weir_err err;

    buf_init(&was, RECORD_MOST);
    buf_init(&is, RECORD_MOST);
    doc_model_write(&was, before);
    doc_model_write(&is, after);
    err = weir_record(im->w, im->write, "model changed", after->alias, buf_cstr(&was), buf_cstr(&is));
    buf_free(&was);
    buf_free(&is);
    return err;
}

/* A kind, length or tier that the list says nothing of keeps what somebody has stated. */
static void keep_unlisted(struct price *p, const struct price *had)
{
    static const struct { int first, count; } groups[] = {
        {PRICE_CACHE_WRITE_1H, 1}, {PRICE_AUDIO_INPUT, 1}, {PRICE_AUDIO_OUTPUT, 1}, {PRICE_SEARCHES, 1},
        {PRICE_LONG_ABOVE, 5}, {PRICE_PRIORITY, 4}, {PRICE_FLEX, 4},
    };

    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        unsigned all = ((1u << groups[g].count) - 1) << groups[g].first;

        if (p->stated & all) continue;
        p->stated |= had->stated & all;
        memcpy(&p->part[groups[g].first], &had->part[groups[g].first], (size_t)groups[g].count * sizeof *p->part);
    }
}

/* Looks the model up and writes what differs. */
static enum weir_err import_model(struct import *im, const struct model_row *m, struct outcome *o)
{
    struct model_row row = *m;
    enum weir_err err = WEIR_OK;
    bool same;
    int64_t id;

    o->price = m->price;
    if (im->file) err = price_file_find(im->file, m, &im->w->memory, &o->listed);
    else find_built_in(m, &o->listed);
    if (err) return err;
    if (!o->listed.name) {
        o->result = m->price.known ? RESULT_KEPT : RESULT_UNPRICED;
        return WEIR_OK;
    }
    if (!o->listed.price.known) {
        o->result = RESULT_REFUSED;
        return WEIR_OK;
    }
    row.price = o->listed.price;
    keep_unlisted(&row.price, &m->price);
    o->price = row.price;
    if (im->sizes && !row.context_window) row.context_window = o->listed.context_window;
    if (im->sizes && !row.max_output) row.max_output = o->listed.max_output;
    same = price_same(&row.price, &m->price) && row.context_window == m->context_window && row.max_output == m->max_output;
    o->result = same ? RESULT_SAME : RESULT_SET;
    if (o->result != RESULT_SET) return WEIR_OK;
    err = model_put(im->write, &row, &id);
    return err ? err : record(im, m, &row);
}

/* In one transaction, read behind its lock, so that nothing another administrator does is overwritten. */
static bool import_all(struct import *im)
{
    struct change change;
    enum weir_err err;

    if (!weir_open(im->w, DB_READ, &im->read) || !weir_open(im->w, DB_WRITE, &im->write)) return false;
    err = change_begin(&change, im->write, im->w->data_dir);
    if (!err) {
        err = snapshot_load(im->read, NULL, &im->now);
        if (!err) im->outcomes = calloc((size_t)im->now->model_count + 1, sizeof *im->outcomes);
        if (!err && !im->outcomes) err = WEIR_NOMEM;
        for (int i = 0; !err && i < im->now->model_count; i++) {
            err = import_model(im, &im->now->models[i], &im->outcomes[i]);
            im->tally[im->outcomes[i].result]++;
        }
        if (!err && !im->dry_run && im->tally[RESULT_SET]) err = change_commit(&change);
        change_undo(&change);
    }
    if (err) weir_failed("nothing was changed", err, im->write);
    return !err;
}

static int list_outcomes(const struct import *im)
{
    static const struct column columns[] = {{"alias", "ALIAS", 0}, {"listed_as", "LISTED AS", 0}, {"result", "RESULT", 0},
                                            PRICE_COLUMNS,         {"fault", NULL, 0},            {NULL, NULL, 0}};
    struct listing l;

    listing_start(&l, columns, im->json ? LISTING_JSON : LISTING_TABLE);
    for (int i = 0; i < im->now->model_count; i++) {
        const struct outcome *o = &im->outcomes[i];

        listing_text(&l, span_of(im->now->models[i].alias));
        listing_text(&l, span_of(o->listed.name));
        listing_text(&l, span_of(result_names[o->result]));
        list_price(&l, &o->price);
        listing_text(&l, o->result == RESULT_REFUSED ? span_of(o->listed.fault) : SPAN_NONE);
    }
    return listing_end(&l);
}

static void say_outcomes(const struct import *im)
{
    int unpriced = 0;

    for (int i = 0; i < im->now->model_count; i++) {
        const struct outcome *o = &im->outcomes[i];

        if (o->result == RESULT_REFUSED) say("%s: refused: %s", o->listed.name, o->listed.fault);
        else if (o->listed.lengths)
            say("%s: the list has prices for several lengths of prompt; the dearest is used from the shortest on",
                o->listed.name);
        unpriced += !o->price.known;
    }
    say("prices: %d set, %d unchanged, %d not in the list, %d refused; %d alias%s %s unpriced", im->tally[RESULT_SET],
        im->tally[RESULT_SAME], im->tally[RESULT_KEPT] + im->tally[RESULT_UNPRICED], im->tally[RESULT_REFUSED], unpriced,
        unpriced == 1 ? "" : "es", unpriced == 1 ? "stays" : "stay");
    if (im->dry_run) say("dry run: nothing was written");
}

static int import(struct import *im)
{
    int code = EXIT_REFUSED;

    if (import_all(im)) {
        say_outcomes(im);
        code = list_outcomes(im);
        if (im->tally[RESULT_REFUSED]) code = EXIT_REFUSED;
    }
    if (im->now) snapshot_release(im->now);
    free(im->outcomes);
    db_close(im->read);
    db_close(im->write);
    return code;
}

int cmd_prices_import(struct weir *w, int argc, char **argv)
{
    struct import im = {.w = w};
    const struct option_def options[] = {{"--sizes", OPTION_FLAG, &im.sizes},
                                         {"--dry-run", OPTION_FLAG, &im.dry_run},
                                         {"--json", OPTION_FLAG, &im.json},
                                         {NULL, OPTION_FLAG, NULL}};
    struct price_file file = {.entries = NULL};
    struct words words;
    struct buf text;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 0, 1, &words)) return EXIT_USAGE;
    if (!words.count) {
        say("the built-in list: %s, as of %s", price_list_source, price_list_date);
        return import(&im);
    }
    if (file_read(words.at[0], BOUND_DOCUMENT, &text) && price_file_read(buf_all(&text), words.at[0], &file)) {
        im.file = &file;
        code = import(&im);
    }
    price_file_free(&file);
    buf_free(&text);
    return code;
}
