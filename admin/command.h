/* What every command of the command line shares: where the data lies, how it says things, how it ends.
 * Results go to stdout, talk to stderr. */
#ifndef WEIR_ADMIN_COMMAND_H
#define WEIR_ADMIN_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include "fcgi/base/arena.h"
#include "fcgi/base/buf.h"
#include "fcgi/base/err.h"
#include "fcgi/base/secret.h"
#include "sql/admin_changes.h"

#define EXIT_DONE 0
#define EXIT_REFUSED 1 /* refused or failed */
#define EXIT_USAGE 2

struct weir {
    const char *data_dir;    /* --data, else WEIR_DATA, else "var" */
    const char *db_path;     /* weir.db in it */
    const char *master_path; /* WEIR_MASTER_KEY_FILE, else master.key in it */
    struct arena memory;     /* as long as the command */
};

/* One line of the dispatch table in main.c. */
struct command {
    const char *name; /* "key create"; NULL ends the table */
    int (*run)(struct weir *w, int argc, char **argv); /* argv[0] is the first word behind the name; gives the exit code */
    const char *usage; /* what stands behind the name */
    const char *help;  /* one line */
};

/* "weir: ..." and a line end, on stderr. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What an error means to somebody at a terminal; static. */
const char *err_words(enum weir_err err);
/* Flushes stdout; EXIT_REFUSED, said on stderr, if what was printed did not get out. */
int finish_output(void);

/* Opens weir.db after asking whether it is there and of this program's schema. False: it was said why. */
bool weir_open(struct weir *w, enum db_mode mode, struct db **out);
bool weir_master(struct weir *w, struct master_key **out);
void weir_master_fault(const struct weir *w, enum weir_err err); /* says why the master key cannot be had */
/* Who runs the command, for the record of changes: the name of the process's user, the arena's. */
struct actor weir_actor(struct weir *w);
/* In a change: records it as this user's. before and after: JSON or NULL. */
enum weir_err weir_record(struct weir *w, struct db *db, const char *action, const char *subject, const char *before,
                          const char *after);
/* Says what failed and what SQLite added to it. Always EXIT_REFUSED. */
int weir_failed(const char *what, enum weir_err err, const struct db *db);

/* A whole file, or stdin for "-", up to most bytes. False: it was said why. The buffer is the caller's. */
bool file_read(const char *path, size_t most, struct buf *out);

/* For `weir audit --content`. */
int audit_content(struct weir *w, const char *request_id);

/* The commands. */
int cmd_init(struct weir *w, int argc, char **argv);
int cmd_apply(struct weir *w, int argc, char **argv);
int cmd_export(struct weir *w, int argc, char **argv);
int cmd_settings(struct weir *w, int argc, char **argv);
int cmd_key_create(struct weir *w, int argc, char **argv);
int cmd_key_list(struct weir *w, int argc, char **argv);
int cmd_key_rotate(struct weir *w, int argc, char **argv);
int cmd_key_revoke(struct weir *w, int argc, char **argv);
int cmd_provider_add(struct weir *w, int argc, char **argv);
int cmd_provider_list(struct weir *w, int argc, char **argv);
int cmd_provider_remove(struct weir *w, int argc, char **argv);
int cmd_provider_test(struct weir *w, int argc, char **argv);
int cmd_provider_sync(struct weir *w, int argc, char **argv);
int cmd_provider_open(struct weir *w, int argc, char **argv);
int cmd_provider_close(struct weir *w, int argc, char **argv);
int cmd_provider_auto(struct weir *w, int argc, char **argv);
int cmd_model_add(struct weir *w, int argc, char **argv);
int cmd_model_import(struct weir *w, int argc, char **argv);
int cmd_model_remove(struct weir *w, int argc, char **argv);
int cmd_model_list(struct weir *w, int argc, char **argv);
int cmd_audit(struct weir *w, int argc, char **argv);
int cmd_limit_set(struct weir *w, int argc, char **argv);
int cmd_limit_list(struct weir *w, int argc, char **argv);
int cmd_limit_remove(struct weir *w, int argc, char **argv);
int cmd_jwt_list(struct weir *w, int argc, char **argv);
int cmd_jwt_remove(struct weir *w, int argc, char **argv);
int cmd_limit_reset(struct weir *w, int argc, char **argv);
int cmd_prices(struct weir *w, int argc, char **argv);
int cmd_prices_import(struct weir *w, int argc, char **argv);
int cmd_prices_remove(struct weir *w, int argc, char **argv);
int cmd_ledger_check(struct weir *w, int argc, char **argv);
int cmd_cache_stats(struct weir *w, int argc, char **argv);
int cmd_cache_clear(struct weir *w, int argc, char **argv);
int cmd_tick(struct weir *w, int argc, char **argv);
int cmd_usage(struct weir *w, int argc, char **argv);
int cmd_admin_add(struct weir *w, int argc, char **argv);
int cmd_admin_list(struct weir *w, int argc, char **argv);
int cmd_admin_password(struct weir *w, int argc, char **argv);
int cmd_admin_revoke(struct weir *w, int argc, char **argv);
int cmd_backup(struct weir *w, int argc, char **argv);
int cmd_master_key_rotate(struct weir *w, int argc, char **argv);
int cmd_migrate(struct weir *w, int argc, char **argv);
int cmd_doctor(struct weir *w, int argc, char **argv);

#endif
