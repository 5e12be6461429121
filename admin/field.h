/* Reads members of JSON objects into C structs by a table of fields, and keeps the path of what it refuses. */
#ifndef WEIR_ADMIN_FIELD_H
#define WEIR_ADMIN_FIELD_H

#include <stdint.h>
#include "fcgi/base/arena.h"
#include "fcgi/base/jscan.h"

/* Where the reading stands, and the first fault. Texts read go into memory, which the caller empties. */
struct reader {
    struct arena *memory;
    char path[400];  /* "limits[2].capacity" */
    size_t path_len;
    char fault[240]; /* one sentence; empty: none yet */
    bool no_memory;  /* that is the fault, and not the text's */
    bool remote;     /* who wrote this may not name files and environment variables of this machine */
};

enum field_type {
    FIELD_NAME,   /* const char *: 1 to BOUND_NAME bytes, no control characters */
    FIELD_TEXT,   /* const char *: least to most bytes, no control characters */
    FIELD_LINES,  /* the same with line breaks */
    FIELD_INT,    /* int64_t: least to most */
    FIELD_BOOL,   /* bool */
    FIELD_MONEY,  /* int64_t: nano-dollars from a decimal text */
    FIELD_CHOICE, /* const char *: one of choices, "a|b|c" */
    FIELD_OBJECT, /* struct jval, unread */
    FIELD_ARRAY,
    FIELD_ANY
};

struct field {
    const char *name; /* NULL ends the table */
    enum field_type type;
    size_t offset;    /* in the struct read into */
    bool required;
    int64_t least, most;
    const char *choices;
};

/* An absent member leaves what the struct holds, so defaults are set before. Members not in the table, twice the same
 * member and wrong types are refused. False: r->path and r->fault say what and why. */
bool fields_read(struct reader *r, struct jval object, const struct field *table, void *into);
/* One value by itself, at the present path. */
bool field_read(struct reader *r, struct jval value, const struct field *f, void *into);

/* Going down and back up. After a fault one stays down: the path is the fault's. */
size_t path_member(struct reader *r, const char *name);
size_t path_key(struct reader *r, struct span name); /* any text as a member's name */
size_t path_index(struct reader *r, size_t i);
void path_back(struct reader *r, size_t before);

/* Always false. The second form is about a member of what the path names. */
bool refuse(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool refuse_member(struct reader *r, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool refuse_memory(struct reader *r);

/* What a JSON string means, in the reader's memory. False: it is none, or holds a NUL, or memory is out. */
bool text_read(struct reader *r, struct jval value, struct span *out);
bool text_has_controls(struct span s, bool lines_allowed);
bool choice_is(const char *choices, struct span word);

#endif
