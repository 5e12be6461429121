/* The content of requests, where setting audit_content has it kept: sealed before it comes near the database, written with
 * the audit row, and gone before it or with it. */
#ifndef WEIR_SQL_CONTENT_H
#define WEIR_SQL_CONTENT_H

#include "fcgi/base/secret.h"
#include "sql/settings.h"

struct content {
    int64_t ticket;        /* of the audit row; 0: none */
    int64_t time;          /* of the audit row */
    const char *request_id;
    struct span prompt;    /* the request's body as the caller sent it */
    bool prompt_cut;       /* only its beginning */
    struct span answer;    /* what the caller was given; absent: not kept, or nothing was given */
    bool answer_cut;
};

/* Cuts prompt and answer at BOUND_CONTENT and seals them, bound to ticket and request id. *sealed is the arena's. Only
 * WEIR_NOMEM. */
enum weir_err content_seal(const struct master_key *m, const struct content *plain, struct arena *a,
                           struct content *sealed);
/* In the transaction that writes the audit row. */
enum weir_err content_insert(struct db *db, const struct content *sealed);

/* Gives what is kept of the requests of that id (ids may repeat), opened, oldest first, also what was sealed before a
 * rotation; spans live during the call and are wiped after it. Whoever calls it answers for the reader being of role
 * admin. WEIR_CORRUPT: a row does not open: of another master key, or of another row. Needs the administrators' list. */
enum weir_err content_read(struct db *db, const struct master_key *m, const char *request_id,
                           void (*give)(const struct content *, void *), void *arg);

/* Deletes the oldest that are older than the settings allow, up to `most`; also those whose audit row is to go by its age,
 * for a row so large wants smaller steps than that one. *deleted: how many; as many as `most`: ask again. With the last of
 * them goes the key of before that opened it (vault.h). */
#define CONTENT_STEP 8 /* of rows with half a megabyte: below 20 ms */
enum weir_err content_forget(struct db *db, const struct settings *settings, int64_t now_ms, int most, int *deleted);

#endif
