/* `weir provider open|close|auto`: an administrator's word against the breakers'. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "admin/command.h"
#include "admin/option.h"
#include "fcgi/base/clock.h"
#include "sql/pulse.h"

enum wish { WISH_OPEN, WISH_CLOSED, WISH_AUTO };

static enum weir_err write_wish(struct weir *w, struct db *db, const char *provider, enum wish wish)
{
    struct health_row row;
    enum weir_err err;

    if (wish == WISH_AUTO) return health_forget(db, provider);
    err = health_read(db, &w->memory, HEALTH_PROVIDER, provider, "", &row);
    row.forced = wish == WISH_OPEN ? FORCED_OPEN : FORCED_CLOSED;
    return err ? err : health_put(db, &row, clock_wall_ms());
}

static enum weir_err transact(struct weir *w, struct db *db, const char *provider, enum wish wish)
{
    int lock = writer_lock(w->data_dir);
    enum weir_err err;

    if (lock < 0) return errno == ETIMEDOUT ? WEIR_BUSY : WEIR_STORAGE;
    err = db_begin(db);
    if (!err) err = write_wish(w, db, provider, wish);
    if (!err) err = db_commit(db);
    if (err) db_rollback(db);
    close(lock);
    if (!err) pulse_ring(w->data_dir);
    return err;
}

static int force(struct weir *w, int argc, char **argv, enum wish wish, const char *done)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct snapshot *snap = NULL;
    struct words words;
    struct db *db;
    int code = EXIT_REFUSED;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &db)) return EXIT_REFUSED;
    err = snapshot_load(db, NULL, &snap);
    if (err) {
        weir_failed("the providers cannot be read", err, db);
    } else if (!snapshot_provider(snap, span_of(words.at[0]))) {
        say("%s: no provider of that name", words.at[0]);
    } else if ((err = transact(w, db, words.at[0], wish)) != WEIR_OK) {
        weir_failed("nothing was changed", err, db);
    } else {
        say("%s: %s", words.at[0], done);
        code = EXIT_DONE;
    }
    if (snap) snapshot_release(snap);
    db_close(db);
    return code;
}

int cmd_provider_open(struct weir *w, int argc, char **argv)
{
    return force(w, argc, argv, WISH_OPEN, "is asked no more, until `weir provider close` or `auto`");
}

int cmd_provider_close(struct weir *w, int argc, char **argv)
{
    return force(w, argc, argv, WISH_CLOSED, "is asked whatever its breakers say, until `weir provider open` or `auto`");
}

int cmd_provider_auto(struct weir *w, int argc, char **argv)
{
    return force(w, argc, argv, WISH_AUTO, "its breakers decide, and begin afresh; its keys are all in use again");
}
