/* /sync/openai-limits: a provider's own limits, taken over as limits of Weir's. */
#ifndef WEIR_ADMIN_WEB_SYNC_H
#define WEIR_ADMIN_WEB_SYNC_H

#include "admin/web.h"

/* GET or POST, ?provider=NAME&model=M: what was read and set. */
enum weir_err web_sync(struct web_way *w, struct buf *out);

#endif
