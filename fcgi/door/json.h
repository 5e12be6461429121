/* The json-c door: documents that are kept or changed are read into trees and written from them here.
 * The only file that includes json-c. (Bytes that pass through are scanned by base/jscan instead.) */
#ifndef WEIR_DOOR_JSON_H
#define WEIR_DOOR_JSON_H

#include "fcgi/base/buf.h"
#include "fcgi/base/jscan.h"

struct json; /* a tree or a part of one */

/* Strict parse (jscan_check first, so the fault has an offset), depth up to BOUND_JSON_DEPTH. Free the root only. */
enum weir_err json_parse(struct span text, struct json **out, struct jfault *fault);
void json_free(struct json *root);
enum json_kind json_is(const struct json *j);                       /* JSON_ABSENT for NULL */
struct json *json_get(const struct json *object, const char *name); /* NULL: no such member, or not an object */
size_t json_count(const struct json *j);                            /* members or elements */
struct json *json_at(const struct json *array, size_t i);
/* Members in order: name NULL at the end. */
struct json_walk { void *place; const char *name; struct json *value; };
void json_walk_start(const struct json *object, struct json_walk *w);
bool json_walk_next(struct json_walk *w);
struct span json_text(const struct json *j);         /* of a string; absent otherwise; lives with the tree */
bool json_int(const struct json *j, int64_t *out);   /* a number without fraction that fits */
bool json_bool(const struct json *j, bool *out);
/* The number as it was written ("0.5"), for exact decimals; absent if not a number. */
struct span json_number_text(const struct json *j);

/* Building. Takes over `value`; returns false when memory is out (value freed). */
struct json *json_object(void);
struct json *json_array(void);
struct json *json_string_new(struct span s); /* absent: null */
struct json *json_int_new(int64_t n);
struct json *json_bool_new(bool b);
struct json *json_null_new(void);
bool json_set(struct json *object, const char *name, struct json *value);
bool json_push(struct json *array, struct json *value);
enum weir_err json_write(const struct json *j, bool pretty, struct buf *out);

#endif
