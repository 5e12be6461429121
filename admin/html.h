/* Writes HTML: a literal with places {} that are filled with values, each escaped for where it stands. Pages are written
 * with this and nothing else (`make lint` looks), so what somebody sent cannot become markup. */
#ifndef WEIR_ADMIN_HTML_H
#define WEIR_ADMIN_HTML_H

#include <stdint.h>
#include "fcgi/base/buf.h"

enum html_kind { HTML_END, HTML_TEXT, HTML_NAME, HTML_ARG, HTML_INT, HTML_COUNT, HTML_MONEY, HTML_TIME };
struct html_value { enum html_kind kind; struct span text; int64_t n; };

#define H_TEXT(cstr)  ((struct html_value){HTML_TEXT, span_of(cstr), 0})  /* between tags, or in a quoted attribute */
#define H_SPAN(sp)    ((struct html_value){HTML_TEXT, (sp), 0})
#define H_NAME(cstr)  ((struct html_value){HTML_NAME, span_of(cstr), 0})  /* somebody's text between tags,
    its direction kept to itself */
#define H_ARG(cstr)   ((struct html_value){HTML_ARG, span_of(cstr), 0})   /* in the query of an address */
#define H_INT(i)      ((struct html_value){HTML_INT, {NULL, 0}, (int64_t)(i)}) /* digits only */
#define H_COUNT(i)    ((struct html_value){HTML_COUNT, {NULL, 0}, (int64_t)(i)}) /* grouped by threes, between tags */
#define H_MONEY(nano) ((struct html_value){HTML_MONEY, {NULL, 0}, (nano)}) /* "$1,234.56"; below 0: a dash */
#define H_TIME(ms)    ((struct html_value){HTML_TIME, {NULL, 0}, (ms)})    /* <time>,
    which the script shows in local time; 0: a dash */

/* HTML(out, "<p>{}</p>", H_TEXT(name)); the first argument behind out is a literal. Places and values that do not match in
 * number: out->err becomes WEIR_INTERNAL. */
#define HTML(out, literal, ...) \
    html_fill((out), "" literal, (const struct html_value[]){__VA_ARGS__ __VA_OPT__(,) {HTML_END, {NULL, 0}, 0}})
void html_fill(struct buf *out, const char *form, const struct html_value *values);

/* The parts, for those who need one alone. */
void html_text(struct buf *out, struct span s); /* & < > " ' and control characters; what is no UTF-8 becomes U+FFFD */
void url_arg(struct buf *out, struct span s);   /* RFC 3986 2.3: all but the unreserved in percent */

#endif
