/* What the steps book in the ledger, each in one job of the group-commit writer. The one place in the room that runs
 * writer jobs; jobs own copies of all they write, for they may outlive the request when the database is busy. */
#ifndef WEIR_STAGE_BOOK_H
#define WEIR_STAGE_BOOK_H

#include "fcgi/base/blocks.h"
#include "fcgi/stage/estimate.h"
#include "sql/content.h"
#include "sql/ledger.h"
#include "sql/store.h"

/* The ledger and its writer, the process's. */
struct book { struct store *store; struct ledger *ledger; struct experience *experience; struct blocks *jobs; };

struct blocks *book_jobs(void); /* memory for jobs (blocks_end); NULL: memory is out */

/* May `then` be left with a booking? Otherwise it is better waited for: so many are left already. */
bool book_may_send(const struct book *b);
/* May a request be begun at all: can the database be written? */
bool book_is_able(const struct book *b);

/* Admits and, in the same step, books the first attempt at target 0 (try->ticket is filled in; first NULL: there will be
 * none). On WEIR_OK either
 * grant->ticket > 0 (then *may says whether target 0 may be asked, *refusal why not, and
 * *provider_is_hard whether its limits demand a maximum), or *refusal holds. Others: nothing
 * was booked, nor will be: WEIR_STORAGE, also when the database was busy for 10 s. */
enum weir_err book_admit(const struct book *b, const struct ledger_ask *ask, const struct ledger_try *first,
                         struct ledger_grant *grant, enum ledger_may *may, bool *provider_is_hard,
                         struct ledger_refusal *refusal);

/* Who is told later how a booking went: by the thread that has written it, so `call` waits for nothing (writer_send). */
struct book_then { void (*call)(void *arg, enum weir_err err); void *arg; };

/* Admits and settles at once, with its row: what neither asks anybody nor costs anything. On WEIR_OK as book_admit;
 * the row is written with the ticket, or not at all. then NULL: waits. Otherwise `then` is told the same, once, maybe
 * before this returns; grant and refusal live until then, and what is returned says nothing. */
enum weir_err book_at_once(const struct book *b, const struct ledger_ask *ask, const struct audit_row *row, int64_t key_id,
                           struct ledger_grant *grant, struct ledger_refusal *refusal, const struct book_then *then);

/* Gives back what book_admit held without an attempt, as if it had never been asked (ledger_release): now, or once the
 * database is able to. */
void book_release(const struct book *b, int64_t ticket);

/* Books the ends of attempts and the next one, in one step. */
enum weir_err book_attempt(const struct book *b, const struct ledger_use *ended, int ended_count,
                           const struct ledger_try *next, enum ledger_may *may, bool *provider_is_hard,
                           struct ledger_refusal *refusal);

/* Settles the ticket, held by that estimate, with its row (or, bill->ticket 0, writes the row alone), marks the key
 * as used (key_id; 0: not), and writes the content (content->ticket 0: none), sealed. Waits up to 2 s to have it
 * committed; it is written later then, in any case once: WEIR_BUSY or WEIR_STORAGE say that it is late. Content never
 * keeps the books waiting: what cannot be written at the first try is written without it, and the log says so. then: as
 * with book_at_once; e lives until then. */
enum weir_err book_settle(const struct book *b, const struct ledger_bill *bill, const struct estimate *e, int64_t key_id,
                          const struct content *content, const struct book_then *then);

#endif
