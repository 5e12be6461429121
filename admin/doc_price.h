/* A price in the document. */
#ifndef WEIR_ADMIN_DOC_PRICE_H
#define WEIR_ADMIN_DOC_PRICE_H

#include "admin/field.h"
#include "fcgi/base/buf.h"
#include "sql/routes.h"

/* The member "price" of what the path names. False: r says what is wrong. */
bool doc_price_read(struct reader *r, struct jval v, struct price *out);
/* `,"price":{...}`; nothing where it is not known. */
void doc_price_write(struct buf *out, const struct price *p);

#endif
