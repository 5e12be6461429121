/* FastCGI's records (FastCGI Specification 1.0, 3 and 5): a request's are read, in whatever pieces they come, and an
 * answer's are framed. Knows no sockets. */
#ifndef WEIR_BASE_RECORDS_H
#define WEIR_BASE_RECORDS_H

#include "fcgi/base/bounds.h"
#include "fcgi/base/buf.h"

#define RECORD_HEAD 8
#define RECORD_MOST 65528 /* content bytes of a record that we write, a multiple of 8 */
#define RECORDS_END (RECORD_HEAD + RECORD_HEAD + 8)

/* One request. */
struct records {
    uint16_t id;               /* its number; 0: none has begun */
    enum { AWAITED, VARIABLES, BODY, WHOLE } stage;
    unsigned char head[RECORD_HEAD], begin[8];
    size_t have;               /* bytes of head */
    size_t left, padding;      /* of the record's content and of what follows it */
    struct buf variables;      /* FCGI_PARAMS, as they come; once they are whole "NAME=value", a NUL behind each */
    struct buf pointers;       /* to each of them, NULL at the end */
};

void records_init(struct records *r);
void records_start(struct records *r); /* a new request; keeps the memory of the last one's variables */
void records_free(struct records *r);

enum records_event {
    RECORDS_MORE,   /* all of `in` was used */
    RECORDS_BEGUN,  /* the variables are whole */
    RECORDS_BODY,   /* some of it comes next: records_body_next */
    RECORDS_WHOLE,  /* the body has ended */
    RECORDS_GIVEN_UP, /* by the web server: FCGI_ABORT_REQUEST */
    RECORDS_BROKEN  /* that is no FastCGI, not for a responder, or has variables of more than BOUND_VARIABLES bytes */
};

/* Reads on, up to the next event; takes what it has used off *in. Records of other requests, for nobody may send several
 * over one connection unasked, and of management are passed over. After GIVEN_UP and BROKEN nothing more may be read. */
enum records_event records_next(struct records *r, struct span *in);

/* "NAME=value" strings, NULL at the end; good until the next start. After RECORDS_BEGUN. What a NUL stands in ends there. */
char **records_environ(const struct records *r);

/* How many bytes of the body come next, from wherever; records_took says how many of them were taken. */
size_t records_body_next(const struct records *r);
void records_took(struct records *r, size_t n);

/* The head of a record of n <= RECORD_MOST bytes of answer; and what ends an answer. */
void records_answer(const struct records *r, size_t n, unsigned char out[RECORD_HEAD]);
void records_end(const struct records *r, unsigned char out[RECORDS_END]);

#endif
