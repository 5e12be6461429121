/* Forms and queries as browsers send them (application/x-www-form-urlencoded): read, asked by name, turned into an entry of
 * the configuration document, so that one place checks what a page, a program or a command sends. */
#ifndef WEIR_ADMIN_FORM_H
#define WEIR_ADMIN_FORM_H

#include "fcgi/base/arena.h"
#include "fcgi/base/jscan.h"

#define FORM_FIELDS 512

struct form_field { const char *name, *value; };
struct form { struct form_field *at; int count; };

/* The texts are the arena's. WEIR_INVALID: a bad escape, a NUL, not UTF-8, or more than FORM_FIELDS fields; *p says it. */
enum weir_err form_read(struct span text, struct arena *a, struct form *out, struct problem *p);
/* The first of that name; NULL: none. form_text: "" for none. */
const char *form_get(const struct form *f, const char *name);
const char *form_text(const struct form *f, const char *name);
/* A whole number in bounds, else `standard`. */
int64_t form_int(const struct form *f, const char *name, int64_t least, int64_t most, int64_t standard);

/* How a field becomes a member of the same name. Empty ones are left out, but for flags. */
enum member_kind {
    MEMBER_TEXT,
    MEMBER_NUMBER, /* what is no number goes in as a text, and is refused as such */
    MEMBER_FLAG,   /* checked or not */
    MEMBER_LIST,   /* one text a line */
    MEMBER_RAW     /* JSON that the page made itself */
};
struct member { const char *name; enum member_kind kind; }; /* name NULL ends the table */

/* The other way: an entry's members as fields. Lists become lines, members of objects "timeouts.connect_ms", entries of
 * lists of objects "targets.0.model". The texts are the arena's. WEIR_NOMEM, or WEIR_INVALID: not an entry. */
enum weir_err form_of_entry(struct span json, struct arena *a, struct form *out);

/* Appends one JSON object. stored: the entry as it is now (a JSON object), whose members that are not in the table are taken
 * over; absent for none. */
enum weir_err form_entry(const struct form *f, const struct member *table, struct span stored, struct buf *out);

/* The object whose members are the fields of the table behind `lead` ("timeouts." for "timeouts.connect_ms"), the arena's;
 * NULL: none of them was given, or memory is out. */
const char *form_object(const struct form *f, const char *lead, const struct member *table, struct arena *a);

#endif
