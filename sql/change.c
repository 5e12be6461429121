/* Every change of configuration or keys: one transaction, in the writers' queue, that raises config_version. */
#include <errno.h>
#include <unistd.h>
#include "sql/change.h"
#include "sql/writer.h"
#include "sql_ids.h"

static void let_go(struct change *c)
{
    stamp_end(&c->stamp);
    stamp_close(&c->stamp);
    if (c->lock >= 0) close(c->lock);
    c->lock = -1;
    c->db = NULL;
}

enum weir_err change_begin(struct change *c, struct db *db, const char *data_dir)
{
    *c = (struct change){.db = db, .lock = writer_lock(data_dir), .stamp = {-1}};
    if (c->lock < 0) {
        c->db = NULL;
        return errno == ETIMEDOUT ? WEIR_BUSY : WEIR_STORAGE;
    }
    stamp_open(data_dir, &c->stamp);
    stamp_begin(&c->stamp);
    enum weir_err err = db_survive(db, DB_SURVIVES_POWER); /* a key that was revoked does not come back */
    if (err == WEIR_OK) err = db_begin(db);
    if (err != WEIR_OK) let_go(c);
    return err;
}

enum weir_err change_commit(struct change *c)
{
    enum weir_err err = stmt_run(db_stmt(c->db, SQL_CONFIG_RAISE));
    if (err == WEIR_OK) err = db_commit(c->db);
    if (err != WEIR_OK) db_rollback(c->db);
    let_go(c);
    return err;
}

void change_undo(struct change *c)
{
    if (c->db) db_rollback(c->db);
    let_go(c);
}
