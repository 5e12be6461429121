/* `weir provider sync`: a provider's own limits become limits on scope provider/NAME. */
#include <stdio.h>

#include "admin/apply.h"
#include "admin/limit_sync.h"
#include "admin/option.h"
#include "admin/provider_open.h"

/* *changed: a limit was added or changed. */
static bool apply(struct weir *w, struct limit_sync *s, bool *changed)
{
    struct applied done;
    struct buf text;
    struct db *db;
    enum weir_err err;
    bool fine;

    if (!weir_open(w, DB_READ, &db)) return false;
    buf_init(&text, 65536);
    err = limit_sync_document(db, &w->memory, s, &text);
    if (err) weir_failed("the limits cannot be read", err, db);
    db_close(db);
    fine = !err && document_apply(w, buf_all(&text), false, NULL, &done);
    buf_free(&text);
    if (!fine) return false;
    *changed = done.tally[SECTION_LIMITS].added || done.tally[SECTION_LIMITS].changed;
    applied_free(&done);
    return true;
}

static int print(const struct limit_sync *s, bool changed, bool as_json)
{
    struct buf json;

    for (int i = 0; i < s->count && !as_json; i++)
        printf("%s: %lld %s in %lld s, %s\n", s->limits[i].scope, (long long)s->limits[i].amount, s->limits[i].metric,
               (long long)s->limits[i].seconds, s->limits[i].mode);
    if (!as_json) {
        say(changed ? "set as %s tells them" : "as they were; %s tells no others", s->provider->name);
        return finish_output();
    }
    buf_init(&json, 65536);
    limit_sync_write(s, changed, &json);
    puts(buf_cstr(&json));
    buf_free(&json);
    return finish_output();
}

int cmd_provider_sync(struct weir *w, int argc, char **argv)
{
    bool json = false, changed = false;
    const char *model = NULL;
    const struct option_def options[] = {{"--model", OPTION_TEXT, &model}, {"--json", OPTION_FLAG, &json},
                                         {NULL, OPTION_FLAG, NULL}};
    struct limit_sync s;
    struct problem problem;
    struct opened o;
    struct words words;
    int code = EXIT_REFUSED;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!provider_open(w, words.at[0], &o)) return EXIT_REFUSED;
    if (limit_sync_ask(o.snap, o.provider, model, &w->memory, &s, &problem))
        say("%s", *problem.text ? problem.text : weir_err_info(problem.err)->text);
    else if (apply(w, &s, &changed)) code = print(&s, changed, json);
    provider_close(&o);
    return code;
}
