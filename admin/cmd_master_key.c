/* `weir master-key rotate`: a new master key, while the gateway runs. */
#include <errno.h>
#include <string.h>

#include "admin/command.h"
#include "admin/option.h"
#include "fcgi/base/clock.h"
#include "sql/vault.h"

static void tell_failure(struct weir *w, enum weir_err err, const char *what, const struct db *db)
{
    switch (err) {
    case WEIR_IO:
        if (*what) say("%s: cannot be made (%s); nothing was changed", what, strerror(errno));
        else
            say("%s" VAULT_NEW " is in force, but cannot be renamed to %s: %s", w->master_path, w->master_path,
                strerror(errno));
        break;
    case WEIR_CORRUPT:
        if (*what)
            say("%s does not open under the present master key; nothing was changed. Give it a new secret first", what);
        else weir_master_fault(w, err);
        break;
    case WEIR_NOT_FOUND: case WEIR_INVALID: case WEIR_OTHER_KEY: weir_master_fault(w, err); break;
    default: weir_failed("nothing was changed", err, db);
    }
}

int cmd_master_key_rotate(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    char what[VAULT_WHAT];
    const struct admin_change record = {
        .time = clock_wall_ms(), .by = weir_actor(w), .action = "master key rotate", .subject = "master key"};
    struct words words;
    struct db *db;
    int resealed = 0;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_WRITE, &db)) return EXIT_REFUSED;
    err = vault_rotate(db, w->data_dir, w->master_path, &record, &resealed, what);
    if (err) tell_failure(w, err, what, db);
    else
        say("%s: is a new one, and %d secrets are sealed under it. Keep a copy in another place; backups of the database "
            "made before want the old one", w->master_path, resealed);
    db_close(db);
    return err ? EXIT_REFUSED : EXIT_DONE;
}
