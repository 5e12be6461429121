/* `weir backup` and `weir migrate`: the database as a whole. */
#include <stdio.h>
#include <unistd.h>

#include "admin/command.h"
#include "admin/option.h"

static void show_left(int left, int total)
{
    if (total > 0 && isatty(STDERR_FILENO)) fprintf(stderr, "\r%d of %d pages ", total - left, total);
}

int cmd_backup(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct words words;
    struct db *db;
    enum weir_err err;

    if (!options_read(&w->memory, argc, argv, options, 1, 1, &words)) return EXIT_USAGE;
    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    err = db_backup(db, words.at[0], show_left);
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    if (err == WEIR_EXISTS) say("%s: is there already; a backup overwrites nothing", words.at[0]);
    else if (err) weir_failed("no backup was made", err, db);
    else say("%s: done. It holds no master key: keep a copy of %s in another place", words.at[0], w->master_path);
    db_close(db);
    return err ? EXIT_REFUSED : EXIT_DONE;
}

int cmd_migrate(struct weir *w, int argc, char **argv)
{
    const struct option_def options[] = {{NULL, OPTION_FLAG, NULL}};
    struct words words;
    enum weir_err err;
    int from, to;

    if (!options_read(&w->memory, argc, argv, options, 0, 0, &words)) return EXIT_USAGE;
    if (access(w->db_path, F_OK) != 0) {
        say("%s: no database there; make one with `weir --data %s init`", w->db_path, w->data_dir);
        return EXIT_REFUSED;
    }
    err = db_migrate(w->db_path, &from, &to);
    if (err) return weir_failed(w->db_path, err, NULL);
    if (from == to) say("schema %d: nothing to do", to);
    else say("schema %d, was %d", to, from);
    return EXIT_DONE;
}
