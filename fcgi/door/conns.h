/* Connections to the web server that nobody uses at the moment: their memory, ready for the next request. */
#ifndef WEIR_DOOR_CONNS_H
#define WEIR_DOOR_CONNS_H

#include "fcgi/door/fastcgi.h"

struct conns;
enum weir_err conns_new(bool is_cgi, struct conns **out);
void conns_free(struct conns *all); /* NULL is fine */
struct conn *conns_take(struct conns *all); /* NULL: memory is out */
void conns_give(struct conns *all, struct conn *c); /* ends its request (conn_end); NULL is fine */

#endif
