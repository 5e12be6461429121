/* What was spent, out of the hourly rollup. */
#include "sql/spend.h"
#include "sql_ids.h"

/* Six columns from `col` on. */
static struct spend read_sums(struct stmt *s, int col)
{
    return (struct spend){.requests = stmt_get_int(s, col), .prompt_tokens = stmt_get_int(s, col + 1),
                          .cached_tokens = stmt_get_int(s, col + 2), .completion_tokens = stmt_get_int(s, col + 3),
                          .cost = stmt_get_int(s, col + 4), .unpriced = stmt_get_int(s, col + 5)};
}

static enum weir_err sum(struct db *db, int statement, const char *name, int64_t since_ms, struct spend *out)
{
    bool row;
    struct stmt *s = db_stmt(db, statement);
    *out = (struct spend){0};
    stmt_text(s, 1, span_of(name));
    stmt_int(s, 2, since_ms);
    enum weir_err err = stmt_step(s, &row);
    if (err == WEIR_OK && row) *out = read_sums(s, 0);
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

enum weir_err spend_by(struct db *db, enum spend_by by, int64_t since_ms,
                       void (*row)(const char *name, const struct spend *, void *), void *arg)
{
    static const int statement[] = {[SPEND_USER] = SQL_SPEND_BY_USER,         [SPEND_TEAM] = SQL_SPEND_BY_TEAM,
                                    [SPEND_ROLE] = SQL_SPEND_BY_ROLE,         [SPEND_MODEL] = SQL_SPEND_BY_MODEL,
                                    [SPEND_PROVIDER] = SQL_SPEND_BY_PROVIDER, [SPEND_KEY] = SQL_SPEND_BY_KEY};
    struct stmt *s = db_stmt(db, statement[by]);
    bool more;
    enum weir_err err;
    stmt_int(s, 1, since_ms);
    while ((err = stmt_step(s, &more)) == WEIR_OK && more) {
        struct spend sums = read_sums(s, 1);
        row(stmt_get_text(s, 0).at, &sums, arg);
    }
    stmt_reset(s);
    return err;
}
