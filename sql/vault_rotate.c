/* A new master key, and everything sealed under it anew. The order is what makes it whole at every moment: the new file is
 * on the disk before the commit, the commit is on the disk before the file gets its name. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fcgi/base/bounds.h"
#include "sql/change.h"
#include "sql/vault_files.h"
#include "sql_ids.h"

#define SEALED_MAX (64 << 10)

struct rotation {
    struct db *db;
    struct master_key *old, *fresh;
    int *resealed;
    char *what;
};

/* ---- one value ---- */

static enum weir_err seal_anew(const struct rotation *r, struct span sealed, const char *identity, struct buf *out)
{
    struct secret *plain = NULL;
    enum weir_err err = secret_open(r->old, sealed, identity, &plain);
    if (err == WEIR_CORRUPT) snprintf(r->what, VAULT_WHAT, "%.190s", identity);
    if (err == WEIR_OK) err = secret_seal(r->fresh, secret_reveal(plain), identity, out);
    secret_free(plain);
    return err;
}

static enum weir_err put(struct db *db, int statement, int64_t id, const struct buf *sealed)
{
    struct stmt *s = db_stmt(db, statement);
    stmt_int(s, 1, id);
    stmt_blob(s, 2, buf_all(sealed));
    return stmt_run(s);
}

/* ---- all of a kind ---- */

/* Statements that give id, identity and sealed value of the next row, and that put one. */
static const struct kind { int next, put; bool own; } kinds[] = { /* own: the vault's, which nobody counts */
    {SQL_SEALED_PROVIDER_KEY_AFTER, SQL_SEALED_PROVIDER_KEY_PUT, false},
    {SQL_SEALED_JWT_AFTER, SQL_SEALED_JWT_PUT, false},
    {SQL_SEALED_CODE_AFTER, SQL_SEALED_CODE_PUT, false},
    {SQL_SEALED_EARLIER_AFTER, SQL_SEALED_EARLIER_PUT, true},
};

static enum weir_err reseal_next(const struct rotation *r, const struct kind *k, int64_t *after, bool *any)
{
    struct buf sealed;
    struct stmt *s = db_stmt(r->db, k->next);
    stmt_int(s, 1, *after);
    enum weir_err err = stmt_step(s, any);
    if (err != WEIR_OK || !*any) {
        stmt_reset(s);
        return err;
    }
    *after = stmt_get_int(s, 0);
    buf_init(&sealed, SEALED_MAX);
    err = seal_anew(r, stmt_get_blob(s, 2), stmt_get_text(s, 1).at, &sealed);
    stmt_reset(s);
    if (err == WEIR_OK) err = put(r->db, k->put, *after, &sealed);
    if (err == WEIR_OK && !k->own) ++*r->resealed;
    buf_free(&sealed);
    return err;
}

static enum weir_err reseal(const struct rotation *r, const struct kind *k)
{
    int64_t after = 0;
    bool any = true;
    enum weir_err err = WEIR_OK;
    while (err == WEIR_OK && any) err = reseal_next(r, k, &after, &any);
    return err;
}

/* ---- what stays ---- */

static enum weir_err keep_part(const struct rotation *r, enum master_part which, const char *identity, int statement,
                               int64_t number)
{
    struct buf sealed;
    buf_init(&sealed, SEALED_MAX);
    enum weir_err err = master_key_keep(r->old, which, r->fresh, identity, &sealed);
    if (err == WEIR_OK) err = put(r->db, statement, number, &sealed);
    buf_free(&sealed);
    return err;
}

static enum weir_err write_all(const struct rotation *r, const struct admin_change *record)
{
    char identity[VAULT_SEAL_BINDING];
    enum weir_err err = WEIR_OK;
    *r->resealed = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && err == WEIR_OK; i++) err = reseal(r, &kinds[i]);
    vault_seal_binding(record->time, identity);
    if (err == WEIR_OK) err = keep_part(r, MASTER_HASH, VAULT_HASH_BINDING, SQL_VAULT_HASH_PUT, 1);
    if (err == WEIR_OK) err = keep_part(r, MASTER_SEAL, identity, SQL_VAULT_SEAL_ADD, record->time);
    return err == WEIR_OK ? admin_change_add(r->db, record) : err;
}

/* ---- the whole ---- */

static enum weir_err make_new(const char *path, const char *new_path, struct master_key **fresh)
{
    enum weir_err err = master_key_make(new_path);
    if (err == WEIR_OK) err = vault_sync_names(path);
    return err == WEIR_OK ? master_key_load(new_path, fresh) : WEIR_IO;
}

/* With the writers' lock, in the change's transaction. */
static enum weir_err reseal_all(struct rotation *r, const char *path, const struct admin_change *record)
{
    char new_path[VAULT_PATH];
    enum weir_err err = vault_new_path(path, new_path);
    if (err == WEIR_OK) err = vault_settle_files(r->db, path, new_path);
    if (err == WEIR_OK) err = vault_open(r->db, path, &r->old);
    if (err == WEIR_OK) err = make_new(path, new_path, &r->fresh);
    if (err == WEIR_IO) snprintf(r->what, VAULT_WHAT, "%.190s", new_path);
    return err == WEIR_OK ? write_all(r, record) : err;
}

enum weir_err vault_rotate(struct db *db, const char *data_dir, const char *path, const struct admin_change *record,
                           int *resealed, char what[VAULT_WHAT])
{
    struct rotation r = {.db = db, .resealed = resealed, .what = what};
    struct change change;
    *what = '\0';
    enum weir_err err = db_erase_deleted(db);
    if (err == WEIR_OK) err = change_begin(&change, db, data_dir);
    if (err != WEIR_OK) return err;
    err = reseal_all(&r, path, record);
    int why = errno;
    if (err == WEIR_OK) err = change_commit(&change);
    else change_undo(&change);
    enum weir_err healed = vault_heal(db, data_dir, path); /* it is the vault that says what came of the commit */
    if (err == WEIR_OK) err = healed;
    else errno = why;
    if (err == WEIR_OK) db_checkpoint(db, false, NULL, NULL); /* what was sealed before goes from the file's pages */
    master_key_free(r.old);
    master_key_free(r.fresh);
    return err;
}
