/* Single-flight: of those who want the same thing at the same time one fetches it and the others read along, in one process
 * and across processes. A flight is a file, flight/NAME in the data directory: whoever has its flock leads and appends
 * records, the last of which says that it is whole; the others follow. A lock that is free and no such record: the leader
 * failed, and somebody else may lead. Knows nothing of what is in a record. */
#ifndef WEIR_BASE_FLIGHT_H
#define WEIR_BASE_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/buf.h"
#include "fcgi/base/err.h"
#include "fcgi/base/span.h"

/* One a process: what wakes followers. Any number of threads. */
struct flights;
enum weir_err flights_new(const char *data_dir, struct flights **out); /* WEIR_NOMEM */
void flights_free(struct flights *f);       /* no flight may be open; NULL is fine */
/* Removes what crashed leaders left behind. Now and then. */
void flights_sweep(struct flights *f);

struct flight;
/* name: of letters, digits, '-' and '_', at most 100. *leads: this caller fetches; else it reads along. WEIR_IO (the file
 * cannot be made: then everyone fetches for himself), WEIR_NOMEM. */
enum weir_err flight_join(struct flights *f, const char *name, bool *leads, struct flight **out);
/* A leader that has not ended leaves without the last record: it has failed. NULL is fine. */
void flight_leave(struct flight *t);

/* ---- leading ---- */

/* Appends a record. Failures stick: followers will find that the leader failed. */
void flight_tell(struct flight *t, struct span record);
/* The last record: with it all is told, and nobody else may join. */
void flight_end(struct flight *t, struct span record);
bool flight_is_followed(struct flight *t); /* is anyone reading along now? */

/* ---- following ---- */

enum flight_event {
    FLIGHT_RECORD,  /* *record is the next one; valid until the next call */
    FLIGHT_END,     /* *record is the last one, and that was all */
    FLIGHT_FAILED,  /* the leader has gone without an end: leave, and join again to lead or follow anew */
    FLIGHT_TIMEOUT, /* the deadline passed */
    FLIGHT_GONE,    /* client_fd was closed by its peer */
    FLIGHT_STOP     /* stop_fd became readable */
};
/* client_fd: watched for its peer's going; -1 for none, of either. deadline: clock_mono_ms. */
enum flight_event flight_wait(struct flight *t, int client_fd, int stop_fd, int64_t deadline, struct span *record);

#endif
