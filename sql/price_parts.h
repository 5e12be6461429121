/* A price's parts by their names, as the document has them and as they are stored. */
#ifndef WEIR_SQL_PRICE_PARTS_H
#define WEIR_SQL_PRICE_PARTS_H

#include "fcgi/base/buf.h"
#include "fcgi/base/jscan.h"
#include "sql/routes.h"

extern const char *const price_part_names[PRICE_PARTS]; /* "cache_write_1h", "long_above" ... */
bool price_part_is_money(int part); /* else it is a number of tokens */

/* Money in decimal text, tokens as a number. */
enum weir_err price_part_text(const struct price *p, int part, struct buf *out);
/* `,"long_above":200000,"long_input":"6.00"`: all that is stated, as members behind others. */
enum weir_err price_parts_write(const struct price *p, struct buf *out);
/* The same as an object; nothing where nothing is stated. */
enum weir_err price_parts_object(const struct price *p, struct buf *out);
/* From an object of such members; others and what is no amount are passed over. */
void price_parts_read(struct jval object, struct price *p);

#endif
