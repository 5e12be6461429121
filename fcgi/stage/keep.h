/* What an upstream answers, kept as it came: for the cache, and for those who wait for the same (flight.h). Attempts write
 * it beside the way to the caller, and whatever the caller gets of it; the cache step reads it. Nothing here is an error of
 * the request: what cannot be kept is not. */
#ifndef WEIR_STAGE_KEEP_H
#define WEIR_STAGE_KEEP_H

#include "fcgi/base/arena.h"
#include "fcgi/base/flight.h"
#include "fcgi/provider/provider.h"

/* How kept bytes are to be read. */
struct keep_form {
    enum face asked;  /* the face that they speak */
    bool stream;
    bool translated;  /* that is not the caller's */
    bool reasons;     /* then: the caller wants to see reasoning */
};
int keep_form_pack(const struct keep_form *f);
struct keep_form keep_form_unpack(int packed);
/* Did keep_form_pack make it? What stands in a file may be anything. */
bool keep_form_is_one(int64_t packed);

/* What followers are told before anything else, and what the cache says of an entry. */
struct keep_head { struct keep_form form; const char *provider, *model; int64_t stale_since; /* ms; 0: it is not stale */ };

struct keep {
    struct flight *flight;   /* NULL: nobody can read along */
    struct arena *memory;
    struct keep_head head;
    struct buf body;         /* all of it, but for what stands in last */
    struct buf last;         /* the bytes that end it */
    size_t told;             /* of body: what followers have */
    bool begun, whole;
    bool head_told;          /* followers have the head */
    bool is_too_long;        /* body is not kept */
    bool is_cut, is_refused, calls_tools; /* see struct tap */
    int64_t looked;          /* when it was asked who follows */
    bool followed;
};

/* most: bytes that are kept; more only goes to followers. The arena's, but the flight is the caller's. NULL: no memory. */
struct keep *keep_new(struct flight *f, size_t most, struct arena *a);

/* In all that follow, k may be NULL. */

/* An answer of that target begins to reach the caller. What was kept of an earlier one, if followers have nothing of it, is
 * forgotten. */
void keep_begin(struct keep *k, const struct target *t, bool stream);
/* Whole events of it; followers have the beginning, and them, after keep_flush. */
void keep_take(struct keep *k, struct span events);
void keep_flush(struct keep *k);
/* It is there, and whole: last are the stream's last bytes, or all of a plain answer. Followers have those after
 * keep_close. */
void keep_end(struct keep *k, const struct tap *tap, struct span last);
/* The last that followers get, if the answer is whole. */
void keep_close(struct keep *k);
/* Does anybody read along? Asked anew at most once a second. */
bool keep_is_followed(struct keep *k);

/* The head as a record, and back: spans of it live as long as the arena. False: it is none. */
void keep_tell_head(struct flight *f, const struct keep_head *h);
bool keep_read_head(struct span record, struct arena *a, struct keep_head *h);

/* In the head's place: whoever fetched it has tried, and has no answer for anybody. */
struct keep_failure { int status, retry_after_s; }; /* status 0: it is none */
void keep_tell_failure(struct flight *f, const struct keep_failure *failure);
bool keep_read_failure(struct span record, struct arena *a, struct keep_failure *failure);

#endif
