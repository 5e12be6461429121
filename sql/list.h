/* Lists as rows keep them: a JSON array of texts. One that is not what we wrote has nothing in it. */
#ifndef WEIR_SQL_LIST_H
#define WEIR_SQL_LIST_H

#include <stdbool.h>
#include "fcgi/base/span.h"

bool list_has(const char *json, struct span text);        /* exactly; texts up to BOUND_PATH bytes */
bool list_has_range(const char *json, struct span ip);    /* a range or address that takes it in */

#endif
