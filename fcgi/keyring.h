/* The thread of a gateway process that fetches key sets (JWKS) when they are due. */
#ifndef WEIR_KEYRING_H
#define WEIR_KEYRING_H

#include "fcgi/door/http.h"
#include "sql/store.h"

struct keyring;

/* Its first round comes at once. WEIR_NOMEM, WEIR_IO. */
enum weir_err keyring_start(struct store *store, struct http_pool *pool, struct keyring **out);
void keyring_stop(struct keyring *k); /* NULL is fine; a fetch that is under way is given up */

#endif
