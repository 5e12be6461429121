/* Prints every listing: a table for people, or JSON for programs, from the same calls. */
#ifndef WEIR_ADMIN_LISTING_H
#define WEIR_ADMIN_LISTING_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/buf.h"

/* A column of the table, a member of the JSON object, or both (either name may be NULL). */
struct column { const char *json, *title; int width; /* only for LISTING_STREAM: at least so wide */ };

enum listing_form {
    LISTING_TABLE,  /* aligned; kept until listing_end */
    LISTING_STREAM, /* a table whose rows are printed as they come */
    LISTING_JSON,   /* one array */
    LISTING_LINES   /* one object a line */
};

struct listing {
    const struct column *columns;
    int count, at; /* at: the next column */
    enum listing_form form;
    size_t rows;
    struct buf cells; /* table: NUL-ended texts in order; else the row being written */
};

/* columns end with both names NULL. */
void listing_start(struct listing *l, const struct column *columns, enum listing_form form);
/* One call for each column, in order; a row ends by itself. */
void listing_text(struct listing *l, struct span s); /* absent: null, "-" */
void listing_int(struct listing *l, int64_t n);
void listing_bool(struct listing *l, bool b);
void listing_time(struct listing *l, int64_t wall_ms); /* 0: null, "-" */
void listing_money(struct listing *l, int64_t nano);   /* -1: null, "-" */
/* json: a whole JSON value; shown: what the table shows. */
void listing_both(struct listing *l, struct span json, struct span shown);
/* Prints what is left, frees. Gives the exit code. */
int listing_end(struct listing *l);

#endif
