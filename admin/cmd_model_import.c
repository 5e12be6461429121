/* `weir model import`: what a provider offers, and what of it becomes an alias. */
#include <stdio.h>
#include <string.h>

#include "admin/apply.h"
#include "admin/call.h"
#include "admin/document.h"
#include "admin/listing.h"
#include "admin/names.h"
#include "admin/option.h"
#include "admin/price_list.h"
#include "admin/price_text.h"
#include "admin/provider_open.h"

#define SIZE_MOST 1000000000 /* tokens: what an alias may say; a provider that says more says nothing */
#define DOCUMENT_MOST (64 << 20)

/* KNOWN: an alias leads to it. TAKEN: its alias would be one that leads elsewhere. CHOSEN: it is to be added. */
enum state { OFFERED, KNOWN, TAKEN, CHOSEN };
static const char *const state_names[] = {[OFFERED] = "offered", [KNOWN] = "known", [TAKEN] = "taken", [CHOSEN] = "added"};

struct offer { struct listed_model model; const char *alias; struct price price; enum state state; };

struct import {
    struct weir *w;
    const struct snapshot *snap;
    const struct provider_row *provider;
    const char *prefix;
    struct offer *offers;
    int count, chosen;
};

static const struct column columns[] = {{"model", "MODEL", 0},          {"alias", "ALIAS", 0},
                                        {"state", "STATE", 0},          {"price", "IN/OUT", 0},
                                        {"context_window", "CONTEXT", 0}, {"max_output", NULL, 0},
                                        {NULL, NULL, 0}};

/* ---- what is offered ---- */

/* NULL: none. */
static const char *alias_to(const struct import *im, const char *model)
{
    for (int i = 0; i < im->snap->model_count; i++) {
        const struct model_row *m = &im->snap->models[i];

        for (int t = 0; t < m->target_count; t++)
            if (m->targets[t].provider == im->provider && strcmp(m->targets[t].model, model) == 0) return m->alias;
    }
    return NULL;
}

/* Azure's prices differ by region, and an alias of the same name elsewhere says nothing of them. */
static struct price price_here(const struct import *im, const char *model)
{
    const struct list_price *l = NULL;

    if (strcmp(im->provider->dialect, "azure") != 0) l = price_list_find(span_of(model));
    return l ? price_of(l) : (struct price){.known = false};
}

static int64_t size_of(int64_t told) { return told <= SIZE_MOST ? told : 0; }

static bool offer_read(struct import *im, const struct listed_model *model, struct offer *o)
{
    const char *known = alias_to(im, model->id);
    char *name = arena_printf(&im->w->memory, "%s%s", im->prefix, model->id);

    *o = (struct offer){.model = *model, .alias = known ? known : name, .price = price_here(im, model->id),
                        .state = known ? KNOWN : OFFERED};
    o->model.context_window = size_of(model->context_window);
    o->model.max_output = size_of(model->max_output);
    if (!name) return false;
    if (!known && snapshot_model(im->snap, span_of(name))) o->state = TAKEN;
    return true;
}

/* Each once, for some lists repeat themselves. */
static bool offers_read(struct import *im, const struct model_list *list)
{
    struct names seen = {0};
    enum weir_err err = WEIR_OK;

    im->offers = arena_alloc(&im->w->memory, sizeof *im->offers * (size_t)(list->count + 1));
    bool whole = im->offers != NULL;
    for (int i = 0; i < list->count && whole; i++) {
        err = names_add(&seen, span_of(list->models[i].id), i);
        if (err == WEIR_OK) whole = offer_read(im, &list->models[i], &im->offers[im->count++]);
        else whole = err == WEIR_EXISTS;
    }
    names_free(&seen);
    if (!whole) say("the list cannot be read: out of memory");
    return whole;
}

static bool ask(struct import *im)
{
    struct model_list list;
    struct call_result found;

    call_models(im->provider, call_first_key(im->provider), CALL_TEST_MS, &im->w->memory, &list, &found);
    if (found.fine && found.status == 200) return offers_read(im, &list);
    say("%s: %s", im->provider->name, found.text);
    return false;
}

/* ---- what is chosen ---- */

static bool choose(struct import *im, const char *name)
{
    for (int i = 0; i < im->count; i++) {
        struct offer *o = &im->offers[i];

        if (strcmp(o->model.id, name) != 0) continue;
        if (o->state == TAKEN)
            say("the alias %s is there already and leads elsewhere; --prefix gives it another name", o->alias);
        if (o->state == KNOWN) say("%s: the alias %s leads there already", name, o->alias);
        if (o->state == OFFERED) o->state = CHOSEN, im->chosen++;
        return o->state != TAKEN;
    }
    say("%s: offers no model of that name", name);
    return false;
}

static void choose_all(struct import *im)
{
    for (int i = 0; i < im->count; i++) {
        if (im->offers[i].state != OFFERED) continue;
        im->offers[i].state = CHOSEN;
        im->chosen++;
    }
}

static bool choose_named(struct import *im, const struct words *words)
{
    bool fine = true;

    for (int i = 1; i < words->count; i++) fine &= choose(im, words->at[i]);
    return fine;
}

/* ---- adding and showing ---- */

static void write_offer(const struct import *im, const struct offer *o, struct buf *json)
{
    buf_str(json, "{\"alias\":");
    json_string(json, span_of(o->alias));
    buf_str(json, ",\"targets\":[{\"provider\":");
    json_string(json, span_of(im->provider->name));
    buf_str(json, ",\"model\":");
    json_string(json, span_of(o->model.id));
    buf_str(json, "}]");
    if (o->price.known) {
        buf_str(json, ",\"price\":");
        price_json(json, &o->price);
    }
    if (o->model.context_window) buf_printf(json, ",\"context_window\":%lld", (long long)o->model.context_window);
    if (o->model.max_output) buf_printf(json, ",\"max_output\":%lld", (long long)o->model.max_output);
    buf_char(json, '}');
}

static bool add_chosen(struct import *im, bool dry_run)
{
    struct applied done;
    struct buf json;
    int written = 0;

    buf_init(&json, DOCUMENT_MOST);
    buf_str(&json, "{\"models\":[");
    for (int i = 0; i < im->count; i++) {
        if (im->offers[i].state != CHOSEN) continue;
        if (written++) buf_char(&json, ',');
        write_offer(im, &im->offers[i], &json);
    }
    buf_str(&json, "]}");
    if (json.err) weir_failed("the document cannot be written", json.err, NULL);
    bool fine = !json.err && document_apply(im->w, buf_all(&json), dry_run, NULL, &done);
    if (fine) applied_free(&done);
    buf_free(&json);
    return fine;
}

static void show_price(struct listing *l, const struct price *p)
{
    char in[MONEY_TEXT], out[MONEY_TEXT];
    struct buf json, shown;

    buf_init(&json, 1024);
    buf_init(&shown, 1024);
    price_json(&json, p);
    if (p->known) {
        money_text(p->input, in);
        money_text(p->output, out);
        buf_printf(&shown, "%s/%s", in, out);
    }
    listing_both(l, buf_all(&json), p->known ? buf_all(&shown) : SPAN("-"));
    buf_free(&json);
    buf_free(&shown);
}

static void show_size(struct listing *l, int64_t tokens)
{
    if (tokens) listing_int(l, tokens);
    else listing_text(l, SPAN_NONE);
}

static int show(const struct import *im, bool json)
{
    struct listing l;

    listing_start(&l, columns, json ? LISTING_JSON : LISTING_TABLE);
    for (int i = 0; i < im->count; i++) {
        const struct offer *o = &im->offers[i];

        listing_text(&l, span_of(o->model.id));
        listing_text(&l, span_of(o->alias));
        listing_text(&l, span_of(state_names[o->state]));
        show_price(&l, &o->price);
        show_size(&l, o->model.context_window);
        show_size(&l, o->model.max_output);
    }
    return listing_end(&l);
}

int cmd_model_import(struct weir *w, int argc, char **argv)
{
    struct import im = {.w = w, .prefix = ""};
    bool all = false, dry_run = false, json = false;
    const struct option_def options[] = {{"--all", OPTION_FLAG, &all}, {"--prefix", OPTION_TEXT, &im.prefix},
                                         {"--dry-run", OPTION_FLAG, &dry_run}, {"--json", OPTION_FLAG, &json},
                                         {NULL, OPTION_FLAG, NULL}};
    struct opened o;
    struct words words;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 1, 10000, &words)) return EXIT_USAGE;
    if (all && words.count > 1) {
        say("--all: and names do not go together");
        return EXIT_USAGE;
    }
    if (!provider_open(w, words.at[0], &o)) return EXIT_REFUSED;
    im.snap = o.snap;
    im.provider = o.provider;
    if (!ask(&im) || !choose_named(&im, &words)) goto out;
    if (all) choose_all(&im);
    if (im.chosen && !add_chosen(&im, dry_run)) goto out;
    code = show(&im, json);
    say("%d of %d %s%s", im.chosen, im.count, dry_run ? "would be added" : "were added",
        all || words.count > 1 ? "" : "; name some, or say --all");
out:
    provider_close(&o);
    return code;
}
