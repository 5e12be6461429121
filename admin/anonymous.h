/* What comes with letting callers in who present nothing. */
#ifndef WEIR_ADMIN_ANONYMOUS_H
#define WEIR_ADMIN_ANONYMOUS_H

#include "sql/db.h"
#include "sql/settings.h"

/* Inside a struct change that has just written setting d: if that switched anonymous callers on and user/anonymous has no
 * limit at all, it gets small hard ones. *made: whether. */
enum weir_err anonymous_limits(struct db *db, const struct setting_def *d, struct span value, int64_t now_ms, bool *made);

#define ANONYMOUS_LIMITS \
    "user/anonymous may now make 10 requests a minute and use 100000 tokens a day; `weir limit set` changes that"

#endif
