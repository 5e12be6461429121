/* What teams and users used, added up. The hourly rollup has a row for each key and model an hour, so a large site's month
 * is millions of them; a fold is one row that holds the sums of an hour or of a day by name. Folds are made in the
 * background, by the administrators' responder and `weir tick`. Each says how many requests it counts; where the rollup of
 * the last two days counts others by now it is not read, and an older one is made anew in the next round. */
#ifndef WEIR_SQL_FOLD_H
#define WEIR_SQL_FOLD_H

#include "fcgi/base/buf.h"
#include "sql/chart.h"

struct fold { enum chart_by by; int64_t start, length, requests; struct buf sums; };

/* Adds up the next period whose fold is missing or out of date, the newest first. Reads only. *due false: there is none.
 * The caller frees sums, whatever came of it. */
enum weir_err fold_make(struct db *db, int64_t now_ms, struct fold *out, bool *due);
/* Writes it, and forgets those that are too old to be read; in the caller's transaction. */
enum weir_err fold_put(struct db *db, const struct fold *f, int64_t now_ms);

/* The sums from since_ms on by team or user, as chart_cells gives them, in periods of at most `length` (an hour or a day, of
 * which since_ms is a multiple): the newest first, out of folds where there are any. *begins: since_ms, or where it was
 * broken off for too much is not folded. */
enum weir_err fold_cells(struct db *db, enum chart_by by, int64_t since_ms, int64_t length, int64_t *begins,
                         void (*cell)(int64_t start, const char *name, const struct chart_sum *, void *), void *arg);

#endif
