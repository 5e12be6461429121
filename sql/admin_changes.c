/* The record of changes: its rows. Written only together with what they tell of. */
#include "sql/admin_changes.h"

#include "sql_ids.h"

enum weir_err admin_change_add(struct db *db, const struct admin_change *c)
{
    const char *const texts[] = {c->by.name, c->by.via, c->by.request_id, c->action, c->subject, c->before, c->after};
    struct stmt *s = db_stmt(db, SQL_ADMIN_CHANGE_ADD);
    stmt_int(s, 1, c->time);
    for (int i = 0; i < 7; i++) stmt_text(s, 2 + i, span_of(texts[i]));
    return stmt_run(s);
}

enum weir_err admin_changes_page(struct db *db, int64_t below, int most, void (*row)(const struct admin_change *, void *),
                                 void *arg)
{
    struct stmt *s = db_stmt(db, SQL_ADMIN_CHANGE_PAGE);
    bool more;
    enum weir_err err;
    stmt_int(s, 1, below ? below : INT64_MAX);
    stmt_int(s, 2, most);
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        const struct admin_change c = {
            .id = stmt_get_int(s, 0), .time = stmt_get_int(s, 1),
            .by = {stmt_get_text(s, 2).at, stmt_get_text(s, 3).at, stmt_get_text(s, 4).at},
            .action = stmt_get_text(s, 5).at, .subject = stmt_get_text(s, 6).at,
            .before = stmt_get_text(s, 7).at, .after = stmt_get_text(s, 8).at};
        row(&c, arg);
    }
    stmt_reset(s);
    return err;
}
