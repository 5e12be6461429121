/* The content of requests. It is plain text only between its caller and content_seal, and behind content_read. The
 * statement of reading stands only in admin.sql. */
#include "sql/content.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"
#include "sql/vault.h"
#include "sql_ids.h"

#define DAY_MS 86400000LL
#define SEAL_ROOM 64 /* what sealing adds, and more */
#define IDENTITY_MAX (BOUND_REQUEST_ID + 64)

/* The name that a sealed value is bound to: under any other ticket or request id it does not open. */
static const char *identity(const struct content *c, const char *which, char to[IDENTITY_MAX])
{
    snprintf(to, IDENTITY_MAX, "content/%lld/%s/%s", (long long)c->ticket, c->request_id, which);
    return to;
}

static void free_buf(void *b) { buf_free(b); }

static enum weir_err seal(const struct master_key *m, const struct content *c, const char *which, struct arena *a,
                          struct span *text, bool *cut)
{
    char bound_to[IDENTITY_MAX];
    struct buf *b = arena_alloc(a, sizeof *b);
    if (!b) return WEIR_NOMEM;
    buf_init(b, BOUND_CONTENT + SEAL_ROOM);
    if (!arena_defer(a, free_buf, b)) return WEIR_NOMEM;
    if (text->len > BOUND_CONTENT) {
        text->len = text_cut(*text, BOUND_CONTENT);
        *cut = true;
    }
    enum weir_err err = secret_seal(m, *text, identity(c, which, bound_to), b);
    *text = buf_all(b);
    return err;
}

enum weir_err content_seal(const struct master_key *m, const struct content *plain, struct arena *a,
                           struct content *sealed)
{
    *sealed = *plain;
    if (!(sealed->request_id = arena_str(a, span_of(plain->request_id)))) return WEIR_NOMEM;
    enum weir_err err = seal(m, plain, "prompt", a, &sealed->prompt, &sealed->prompt_cut);
    if (err == WEIR_OK && plain->answer.at) err = seal(m, plain, "answer", a, &sealed->answer, &sealed->answer_cut);
    return err;
}

enum weir_err content_insert(struct db *db, const struct content *c)
{
    struct stmt *s = db_stmt(db, SQL_CONTENT_INSERT);
    stmt_int(s, 1, c->ticket);
    stmt_int(s, 2, c->time);
    stmt_text(s, 3, span_of(c->request_id));
    stmt_blob(s, 4, c->prompt);
    stmt_int(s, 5, c->prompt_cut);
    stmt_blob(s, 6, c->answer);
    stmt_int(s, 7, c->answer_cut);
    return stmt_run(s);
}

/* ---- reading ---- */

static enum weir_err open_one(struct db *db, const struct master_key *m, const struct content *c, const char *which,
                              struct span sealed, struct secret **secret, struct span *text)
{
    char bound_to[IDENTITY_MAX];
    if (!sealed.at) return WEIR_OK;
    enum weir_err err = secret_open(m, sealed, identity(c, which, bound_to), secret);
    if (err == WEIR_CORRUPT) err = vault_open_earlier(db, m, sealed, bound_to, secret);
    if (err == WEIR_OK) *text = secret_reveal(*secret);
    return err;
}

static enum weir_err give_row(struct db *db, struct stmt *s, const struct master_key *m, const char *request_id,
                              void (*give)(const struct content *, void *), void *arg)
{
    struct secret *prompt = NULL, *answer = NULL;
    struct content c = {.ticket = stmt_get_int(s, 0), .time = stmt_get_int(s, 1), .request_id = request_id,
                        .prompt_cut = stmt_get_int(s, 3) != 0, .answer_cut = stmt_get_int(s, 5) != 0};
    enum weir_err err = open_one(db, m, &c, "prompt", stmt_get_blob(s, 2), &prompt, &c.prompt);
    if (err == WEIR_OK) err = open_one(db, m, &c, "answer", stmt_get_blob(s, 4), &answer, &c.answer);
    if (err == WEIR_OK) give(&c, arg);
    secret_free(prompt);
    secret_free(answer);
    return err;
}

enum weir_err content_read(struct db *db, const struct master_key *m, const char *request_id,
                           void (*give)(const struct content *, void *), void *arg)
{
    struct stmt *s = db_stmt(db, SQL_CONTENT_OF_REQUEST);
    bool row;
    enum weir_err err;
    if (strlen(request_id) > BOUND_REQUEST_ID) return WEIR_OK; /* none has such an id */
    stmt_text(s, 1, span_of(request_id));
    while ((err = stmt_step(s, &row)) == WEIR_OK && row)
        if ((err = give_row(db, s, m, request_id, give, arg)) != WEIR_OK) break;
    stmt_reset(s);
    return err;
}

enum weir_err content_forget(struct db *db, const struct settings *settings, int64_t now_ms, int most, int *deleted)
{
    int64_t days = settings->content_keep_days, with_row = settings->audit_keep_days;
    enum weir_err err = WEIR_OK;
    *deleted = 0;
    if (!days || (with_row && with_row < days)) days = with_row;
    if (days) {
        struct stmt *s = db_stmt(db, SQL_CONTENT_FORGET);
        stmt_int(s, 1, now_ms - days * DAY_MS);
        stmt_int(s, 2, most);
        err = stmt_run(s);
        if (err == WEIR_OK) *deleted = db_changes(db);
    }
    return err == WEIR_OK && *deleted < most ? vault_forget(db, now_ms) : err;
}
