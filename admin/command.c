/* The ground under the commands: saying things, opening the data directory, reading files.
 * Nothing here knows what a command does. */
#include "admin/command.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sql/vault.h"
#include "fcgi/base/clock.h"

#define BUSY_MS 10000 /* an administrator waits for the gateway's writers */

void say(const char *fmt, ...)
{
    va_list ap;

    fputs("weir: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

const char *err_words(enum weir_err err)
{
    switch (err) {
    case WEIR_OK:        return "done";
    case WEIR_INVALID:   return "not valid";
    case WEIR_NOT_FOUND: return "not there";
    case WEIR_STORAGE:   return "the database cannot be written (full disk, I/O error or read-only)";
    case WEIR_NOMEM:     return "out of memory";
    case WEIR_FULL:      return "larger than its bound";
    case WEIR_IO:        return "cannot be read or written";
    case WEIR_BUSY:      return "the database is busy; try again";
    case WEIR_EXISTS:    return "there already";
    case WEIR_OTHER_KEY: return "not the master key that the database is sealed under";
    case WEIR_CORRUPT:   return "damaged, or written by a newer version or under another master key";
    default:             return weir_err_info(err)->text;
    }
}

int finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return EXIT_DONE;
    say("the output could not be written: %s", strerror(errno));
    return EXIT_REFUSED;
}

int weir_failed(const char *what, enum weir_err err, const struct db *db)
{
    const char *more = db ? db_message(db) : NULL;
    bool tell =
        more && *more &&
        (err == WEIR_STORAGE || err == WEIR_IO || err == WEIR_CORRUPT || err == WEIR_INTERNAL || err == WEIR_INVALID);

    if (tell) say("%s: %s (%s)", what, err_words(err), more);
    else say("%s: %s", what, err_words(err));
    return EXIT_REFUSED;
}

bool weir_open(struct weir *w, enum db_mode mode, struct db **out)
{
    enum weir_err err;
    int schema;

    *out = NULL;
    if (access(w->db_path, F_OK) != 0) {
        say("%s: no database there; make one with `weir --data %s init`", w->db_path, w->data_dir);
        return false;
    }
    err = db_open(w->db_path, mode, BUSY_MS, &sql_admin, out);
    if (err) {
        weir_failed(w->db_path, err, NULL);
        return false;
    }
    schema = db_schema(*out);
    if (schema == db_schema_newest()) return true;
    if (schema < db_schema_newest())
        say("%s is of schema %d, this program needs %d: run `weir migrate`", w->db_path, schema, db_schema_newest());
    else
        say("%s is of schema %d, newer than this program knows (%d): use the newer weir", w->db_path, schema,
            db_schema_newest());
    db_close(*out);
    *out = NULL;
    return false;
}

void weir_master_fault(const struct weir *w, enum weir_err err)
{
    switch (err) {
    case WEIR_NOT_FOUND:
        say("%s: no master key there; `weir init` makes one, or put the old one back", w->master_path);
        break;
    case WEIR_INVALID:   say("%s: group or others may read it; run `chmod 600 %s`", w->master_path, w->master_path); break;
    case WEIR_CORRUPT:   say("%s: is not 32 bytes long, so it is no master key", w->master_path); break;
    default:             say("%s: %s", w->master_path, err_words(err)); break;
    }
}

/* On a connection of its own, before the one that works is there. */
bool weir_master(struct weir *w, struct master_key **out)
{
    struct db *db;
    enum weir_err err;

    if (!weir_open(w, DB_READ, &db)) return false;
    err = vault_open(db, w->master_path, out);
    if (err) weir_master_fault(w, err);
    else if (vault_heal(db, w->data_dir, w->master_path))
        say("%s" VAULT_NEW " is in force since a rotation that was cut short, but cannot be renamed: %s", w->master_path,
            strerror(errno));
    db_close(db);
    return !err;
}

struct actor weir_actor(struct weir *w)
{
    char text[1024];
    struct passwd user, *found = NULL;
    char *name = NULL;

    if (getpwuid_r(geteuid(), &user, text, sizeof text, &found) == 0 && found)
        name = arena_str(&w->memory, span_of(found->pw_name));
    return (struct actor){name ? name : "unknown", "command", NULL};
}

enum weir_err weir_record(struct weir *w, struct db *db, const char *action, const char *subject, const char *before,
                          const char *after)
{
    const struct admin_change c = {.time = clock_wall_ms(), .by = weir_actor(w), .action = action, .subject = subject,
                                   .before = before, .after = after};

    return admin_change_add(db, &c);
}

bool file_read(const char *path, size_t most, struct buf *out)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;

    buf_init(out, most);
    if (fd < 0) {
        say("%s: %s", path, strerror(errno));
        return false;
    }
    for (;;) {
        size_t left = most - out->len;
        char one, *at = left ? buf_room(out, left < 65536 ? left : 65536) : &one;

        if (!at) break;
        n = read(fd, at, left ? (left < 65536 ? left : 65536) : 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        if (!left) {
            out->err = WEIR_FULL;
            break;
        }
        buf_added(out, (size_t)n);
    }
    if (n < 0) say("%s: %s", path, strerror(errno));
    else if (out->err) say("%s: %s (%zu bytes at most)", path, err_words(out->err), most);
    if (fd != STDIN_FILENO) close(fd);
    return n >= 0 && !out->err;
}
