/* `weir provider open|close|auto`: an administrator's word against the breakers'. */
#include "admin/command.h"
#include "admin/manage.h"
#include "admin/option.h"

static int force(struct weir *w, int argc, char **argv, const char *wish, const char *done)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct manager m = weir_manager(w);
    struct words words;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &m.db)) return EXIT_REFUSED;
    err = manage_provider_breaker(&m, words.at[0], wish);
    if (err == WEIR_NOT_FOUND) say("%s: no provider of that name", words.at[0]);
    else if (err) weir_failed("nothing was changed", err, m.db);
    else say("%s: %s", words.at[0], done);
    db_close(m.db);
    return err ? EXIT_REFUSED : EXIT_DONE;
}

int cmd_provider_open(struct weir *w, int argc, char **argv)
{
    return force(w, argc, argv, "open", "is asked no more, until `weir provider close` or `auto`");
}

int cmd_provider_close(struct weir *w, int argc, char **argv)
{
    return force(w, argc, argv, "closed", "is asked whatever its breakers say, until `weir provider open` or `auto`");
}

int cmd_provider_auto(struct weir *w, int argc, char **argv)
{
    return force(w, argc, argv, "auto", "its breakers decide, and begin afresh; its keys are all in use again");
}
