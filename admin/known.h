/* Is a name one that a request could mean? */
#ifndef WEIR_ADMIN_KNOWN_H
#define WEIR_ADMIN_KNOWN_H

#include "sql/routes.h"

/* An alias; or, where the setting direct_models lets callers name them, "provider/model" of a provider that is there. */
bool alias_is_known(const struct snapshot *s, struct span name);

#endif
