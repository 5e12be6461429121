/* Places where requests are served: a connection to the web server, and memory. Used again and again. */
#ifndef WEIR_PLACE_H
#define WEIR_PLACE_H

#include "fcgi/base/arena.h"
#include "fcgi/door/fastcgi.h"

struct place { struct conn *conn; struct arena memory; /* of one request */ };

/* Those that nobody uses at the moment. */
struct places;
enum weir_err places_new(bool is_cgi, struct places **out);
void places_free(struct places *all); /* NULL is fine */
/* For a connection that was accepted (conn_open). NULL: memory is out, and it is closed. */
struct place *places_take(struct places *all, int fd);
/* Ends its request (conn_end) and what its memory holds. */
void places_give(struct places *all, struct place *p);

#endif
