/* What `apply` never does: a provider, one of its keys, an alias or a price is taken away. What something else still leads
 * to stays. */
#include "admin/command.h"
#include "admin/manage.h"
#include "admin/option.h"

/* Says how it ended; why: who still uses it. */
static int finish(struct manager *m, const char *name, const char *what, enum weir_err err, const char *why)
{
    int code = EXIT_REFUSED;

    if (err == WEIR_NOT_FOUND) say("%s: no %s of that name", name, what);
    else if (err == WEIR_EXISTS) say("%s: not removed, for %s", name, why);
    else if (err) weir_failed("nothing was changed", err, m->db);
    else {
        say("%s: removed", name);
        code = EXIT_DONE;
    }
    db_close(m->db);
    return code;
}

int cmd_provider_remove(struct weir *w, int argc, char **argv)
{
    const char *key = NULL, *why = NULL;
    const struct option_def options[] = {{"--key", OPTION_TEXT, &key}, {NULL, OPTION_FLAG, NULL}};
    struct manager m = weir_manager(w);
    struct words words;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &m.db)) return EXIT_REFUSED;
    if (key) err = manage_provider_key_remove(&m, words.at[0], key);
    else err = manage_provider_remove(&m, words.at[0], &why);
    return finish(&m, key ? key : words.at[0], key ? "key of the provider" : "provider", err, why);
}

int cmd_model_remove(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct manager m = weir_manager(w);
    const char *why = NULL;
    struct words words;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &m.db)) return EXIT_REFUSED;
    err = manage_model_remove(&m, words.at[0], &why);
    return finish(&m, words.at[0], "alias", err, why);
}

int cmd_prices_remove(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct manager m = weir_manager(w);
    struct words words;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &m.db)) return EXIT_REFUSED;
    err = manage_price_remove(&m, words.at[0]);
    return finish(&m, words.at[0], "alias", err, "it has no price");
}
