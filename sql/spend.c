/* What was spent, out of the hourly rollup. */
#include "sql/spend.h"
#include "sql_ids.h"

static enum weir_err sum(struct db *db, int statement, const char *name, int64_t since_ms, struct spend *out)
{
    bool row;
    struct stmt *s = db_stmt(db, statement);
    *out = (struct spend){0};
    stmt_text(s, 1, span_of(name));
    stmt_int(s, 2, since_ms);
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && row)
        *out = (struct spend){
            .requests = stmt_get_int(s, 0), .prompt_tokens = stmt_get_int(s, 1), .cached_tokens = stmt_get_int(s, 2),
            .completion_tokens = stmt_get_int(s, 3), .cost = stmt_get_int(s, 4), .unpriced = stmt_get_int(s, 5),
        };
    stmt_reset(s);
    return err;
}

enum weir_err spend_of_user(struct db *db, const char *user, int64_t since_ms, struct spend *out)
{
    return sum(db, SQL_SPEND_USER, user, since_ms, out);
}

enum weir_err spend_of_key(struct db *db, const char *key, int64_t since_ms, struct spend *out)
{
    return sum(db, SQL_SPEND_KEY, key, since_ms, out);
}
