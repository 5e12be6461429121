/* `weir provider test`: every key of a provider is really tried, on its list of models and on the smallest completion. */
#include <stdio.h>
#include <string.h>

#include "admin/call.h"
#include "admin/listing.h"
#include "admin/option.h"
#include "admin/provider_open.h"

static const struct column columns[] = {{"provider", NULL, 0},   {"key", NULL, 0},    {"call", NULL, 0},
                                        {"model", NULL, 0},      {"fine", NULL, 0},   {"status", NULL, 0},
                                        {"latency_ms", NULL, 0}, {"detail", NULL, 0}, {NULL, NULL, 0}};

struct testing {
    const struct provider_row *provider;
    const char *model; /* for the completion; NULL: none is known */
    bool json, failed;
    struct listing listing;
};

static void list(struct testing *t, const struct upstream_key *key, const char *model, const struct call_result *r)
{
    struct listing *l = &t->listing;

    listing_text(l, span_of(t->provider->name));
    listing_text(l, key ? span_of(key->name) : SPAN_NONE);
    listing_text(l, span_of(model ? "completion" : "models"));
    listing_text(l, span_of(model));
    listing_bool(l, r->fine);
    if (r->status) listing_int(l, r->status);
    else listing_text(l, SPAN_NONE);
    if (r->latency_ms >= 0) listing_int(l, r->latency_ms);
    else listing_text(l, SPAN_NONE);
    listing_text(l, span_of(r->text));
}

static void print(const struct testing *t, const struct upstream_key *key, const struct call_result *r)
{
    bool several = key && t->provider->key_count > 1;
    const char *name = several ? key->name : "", *lead = several ? ", key " : "";

    if (r->fine) printf("%s%s%s: %s\n", t->provider->name, lead, name, r->text);
    else say("%s%s%s: %s", t->provider->name, lead, name, r->text);
}

static void report(struct testing *t, const struct upstream_key *key, const char *model, const struct call_result *r)
{
    t->failed |= !r->fine;
    if (t->json) list(t, key, model, r);
    else print(t, key, r);
}

static void test_key(struct testing *t, const struct upstream_key *key)
{
    struct call_result models, word;

    call_models(t->provider, key, CALL_TEST_MS, NULL, NULL, &models);
    if (t->model) call_word(t->provider, key, t->model, CALL_TEST_MS, &word);
    if (t->model && word.fine && !models.fine && models.status == 404) {
        models.fine = true; /* some servers have no list */
        snprintf(models.text, sizeof models.text, "answers 404 to the list of models, and serves all the same");
    }
    report(t, key, NULL, &models);
    if (t->model) report(t, key, t->model, &word);
}

/* key NULL: each that opens. */
static bool test_keys(struct testing *t, const char *key)
{
    const struct provider_row *p = t->provider;
    bool any = false;

    for (int i = 0; i < p->key_count; i++) {
        if (!p->keys[i].secret || (key && strcmp(p->keys[i].name, key) != 0)) continue;
        test_key(t, &p->keys[i]);
        any = true;
    }
    if (any) return true;
    if (key) say("%s: no key \"%s\" that opens is stored", p->name, key);
    else test_key(t, NULL);
    return !key;
}

int cmd_provider_test(struct weir *w, int argc, char **argv)
{
    struct testing t = {0};
    const char *key = NULL, *model = NULL;
    const struct option_def options[] = {{"--model", OPTION_TEXT, &model}, {"--key", OPTION_TEXT, &key},
                                         {"--json", OPTION_FLAG, &t.json}, {NULL, OPTION_FLAG, NULL}};
    struct opened o;
    struct words words;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!provider_open(w, words.at[0], &o)) return EXIT_REFUSED;
    t.provider = o.provider;
    t.model = model ? model : call_known_model(o.snap, o.provider);
    if (t.json) listing_start(&t.listing, columns, LISTING_JSON);
    bool tested = test_keys(&t, key);
    code = t.json ? listing_end(&t.listing) : finish_output();
    provider_close(&o);
    return tested && !t.failed ? code : EXIT_REFUSED;
}
