/* What an alias says before its callers do: a system text that goes before theirs, and parameters for those they did not
 * give. Done to the request itself, so that everything after it (estimates, limits, translation) goes by what is sent. */
#ifndef WEIR_PROVIDER_PRESET_H
#define WEIR_PROVIDER_PRESET_H

#include "fcgi/base/arena.h"
#include "fcgi/provider/chat.h"
#include "sql/routes.h"

/* Appends the request's body with the alias's preset in it. The parameters' names are chat's; each is told as the caller's
 * face calls it, and left out where the face has none of the kind. Embeddings have no system text. WEIR_NOMEM. */
enum weir_err preset_write(const struct model_row *m, const struct chat *c, struct arena *a, struct buf *out);

#endif
