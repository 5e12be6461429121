/* Names that lead somewhere. */
#include "admin/known.h"

bool alias_is_known(const struct snapshot *s, struct span name)
{
    const char *slash = memchr(name.at, '/', name.len);

    if (snapshot_model(s, name)) return true;
    return slash && s->settings.direct_models &&
           snapshot_provider(s, (struct span){name.at, (size_t)(slash - name.at)}) != NULL;
}
