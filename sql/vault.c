/* Which master key opens this database. What only administrators do with it stands in vault_rotate.c. */
#include "sql/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/base/text.h"
#include "sql/vault_files.h"
#include "sql/writer.h"
#include "sql_ids.h"

#define LOOKS 50         /* at a vault and files that change while they are looked at */
#define LOOK_AGAIN_MS 10
#define DAY_MS 86400000LL /* longer than any request */

/* ---- the files ---- */

enum weir_err vault_new_path(const char *path, char out[VAULT_PATH])
{
    int n = snprintf(out, VAULT_PATH, "%s" VAULT_NEW, path);
    return n > 0 && n < VAULT_PATH ? WEIR_OK : WEIR_FULL;
}

enum weir_err vault_sync_names(const char *path)
{
    char dir[VAULT_PATH];
    const char *slash = strrchr(path, '/');
    int n = slash ? snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path) : snprintf(dir, 2, ".");
    int fd = n < VAULT_PATH ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0) return WEIR_IO;
    int rc = fsync(fd), why = errno;
    close(fd);
    errno = why;
    return rc == 0 ? WEIR_OK : WEIR_IO;
}

/* ---- the row ---- */

/* *hash: the vault's row opened with m; NULL: the vault is empty. WEIR_OTHER_KEY: m does not open it. */
static enum weir_err open_row(struct db *db, const struct master_key *m, struct secret **hash)
{
    struct stmt *s = db_stmt(db, SQL_VAULT_HASH);
    bool row;
    *hash = NULL;
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && row) {
        err = secret_open(m, stmt_get_blob(s, 0), VAULT_HASH_BINDING, hash);
        if (err == WEIR_CORRUPT) err = WEIR_OTHER_KEY;
    }
    stmt_reset(s);
    return err;
}

enum weir_err vault_check(struct db *db, const struct master_key *m)
{
    struct secret *hash;
    enum weir_err err = open_row(db, m, &hash);
    secret_free(hash);
    return err;
}

/* ---- which file it is ---- */

/* only_if_used: an empty vault has nothing to say for this file. */
static enum weir_err try_file(struct db *db, const char *path, bool only_if_used, struct master_key **out)
{
    struct master_key *m = NULL;
    struct secret *hash = NULL;
    enum weir_err err = master_key_load(path, &m);
    if (err == WEIR_OK) err = open_row(db, m, &hash);
    if (err == WEIR_OK && hash) err = master_key_take(m, MASTER_HASH, hash);
    else if (err == WEIR_OK && only_if_used) err = WEIR_OTHER_KEY;
    secret_free(hash);
    if (err == WEIR_OK) *out = m;
    else master_key_free(m);
    return err;
}

/* Between the reading of the file and that of the vault a rotation may come, so the vault is asked after the file; and
 * between the two files a renaming may, so both are asked again. */
enum weir_err vault_open(struct db *db, const char *path, struct master_key **out)
{
    char new_path[VAULT_PATH];
    enum weir_err err = vault_new_path(path, new_path), other;
    if (err != WEIR_OK) return err;
    for (int looks = 0; looks < LOOKS; looks++) {
        if (looks) nanosleep(&(struct timespec){0, LOOK_AGAIN_MS * 1000000L}, NULL);
        err = try_file(db, path, false, out);
        if (err != WEIR_OTHER_KEY && err != WEIR_NOT_FOUND) return err;
        other = try_file(db, new_path, true, out);
        if (other == WEIR_OK) return WEIR_OK;
        if (access(new_path, F_OK) != 0 && looks) break; /* it was not only just renamed */
    }
    return err;
}

enum weir_err vault_renew(struct db *db, const char *path, struct master_key *m)
{
    struct master_key *fresh;
    enum weir_err err = vault_check(db, m);
    if (err != WEIR_OTHER_KEY) return err;
    err = vault_open(db, path, &fresh);
    if (err != WEIR_OK) return err;
    err = master_key_renew(m, fresh);
    master_key_free(fresh);
    return err;
}

/* ---- a rotation cut short ---- */

enum weir_err vault_settle_files(struct db *db, const char *path, const char *new_path)
{
    struct master_key *m;
    enum weir_err err;
    if (access(new_path, F_OK) != 0) return WEIR_OK;
    if (try_file(db, new_path, true, &m) == WEIR_OK) {
        master_key_free(m);
        return rename(new_path, path) == 0 ? vault_sync_names(path) : WEIR_IO;
    }
    err = try_file(db, path, false, &m);
    if (err != WEIR_OK) return err; /* neither: leave what somebody may still want to look at */
    master_key_free(m);
    return unlink(new_path) == 0 ? WEIR_OK : WEIR_IO;
}

enum weir_err vault_heal(struct db *db, const char *data_dir, const char *path)
{
    char new_path[VAULT_PATH];
    enum weir_err err = vault_new_path(path, new_path);
    if (err != WEIR_OK || access(new_path, F_OK) != 0) return err;
    int lock = writer_lock(data_dir);
    if (lock < 0) return WEIR_BUSY;
    err = vault_settle_files(db, path, new_path);
    int why = errno;
    close(lock);
    errno = why;
    return err;
}

/* ---- keys of before ---- */

void vault_seal_binding(int64_t ended, char out[VAULT_SEAL_BINDING])
{
    snprintf(out, VAULT_SEAL_BINDING, "vault/seal/%lld", (long long)ended);
}

static enum weir_err open_with(struct stmt *s, const struct master_key *m, struct master_key *earlier, struct span sealed,
                               const char *bound_to, struct secret **out)
{
    char identity[VAULT_SEAL_BINDING];
    struct secret *kept = NULL;
    vault_seal_binding(stmt_get_int(s, 0), identity);
    enum weir_err err = secret_open(m, stmt_get_blob(s, 1), identity, &kept);
    if (err == WEIR_OK) err = master_key_take(earlier, MASTER_SEAL, kept);
    if (err == WEIR_OK) err = secret_open(earlier, sealed, bound_to, out);
    secret_free(kept);
    return err;
}

enum weir_err vault_open_earlier(struct db *db, const struct master_key *m, struct span sealed, const char *bound_to,
                                 struct secret **out)
{
    struct stmt *s = db_stmt(db, SQL_VAULT_SEAL_ALL);
    struct master_key *earlier = master_key_blank();
    enum weir_err err = WEIR_CORRUPT, stepped = WEIR_OK;
    bool row = true;
    if (!earlier) return WEIR_NOMEM;
    while (err == WEIR_CORRUPT && (stepped = stmt_step(s, &row)) == WEIR_OK && row)
        err = open_with(s, m, earlier, sealed, bound_to, out);
    stmt_reset(s);
    master_key_free(earlier);
    return stepped != WEIR_OK ? stepped : err;
}

/* What is sealed by a process that had not noticed yet was admitted before the day after. */
enum weir_err vault_forget(struct db *db, int64_t now_ms)
{
    struct stmt *s = db_stmt(db, SQL_VAULT_FORGET);
    stmt_int(s, 1, now_ms);
    stmt_int(s, 2, DAY_MS);
    return stmt_run(s);
}

/* ---- for doctor ---- */

enum weir_err vault_look(struct db *db, const char *path, struct vault_state *out)
{
    char new_path[VAULT_PATH];
    bool row;
    enum weir_err err = vault_new_path(path, new_path);
    if (err != WEIR_OK) return err;
    struct stmt *s = db_stmt(db, SQL_VAULT_STATE);
    if ((err = stmt_step(s, &row)) == WEIR_OK)
        *out = (struct vault_state){.rotated = stmt_get_int(s, 0) > 0, .earlier = stmt_get_int(s, 1),
                                    .unfinished = access(new_path, F_OK) == 0};
    stmt_reset(s);
    return err;
}
