/* /config/budget: token buckets in TokenGuard's form, {"scope":"team","id":"data","capacity":5000,"refillPerSec":25}. */
#ifndef WEIR_ADMIN_WEB_BUDGET_H
#define WEIR_ADMIN_WEB_BUDGET_H

#include "admin/web.h"

/* GET: with scope and id in the query one budget, WEIR_NOT_FOUND if there is none; without a query
 * {"object":"list","data":[...]} of all, in order of scope. */
enum weir_err web_budget_show(struct web_way *w, struct buf *out);

/* POST: sets the token bucket of that scope, which keeps what it has counted, and answers it as it then is. The same
 * again changes nothing. WEIR_INVALID names the field. */
enum weir_err web_budget_set(struct web_way *w, struct buf *out);

#endif
