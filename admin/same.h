/* Does an entry of the document say what is stored already? So that applying twice changes nothing. */
#ifndef WEIR_ADMIN_SAME_H
#define WEIR_ADMIN_SAME_H

#include "admin/document.h"

bool provider_same(const struct provider_row *old, const struct provider_row *now); /* but for keys */
const struct upstream_key *provider_key_of(const struct provider_row *p, const char *name); /* NULL: none, or p NULL */
/* now without a secret keeps the old one. old NULL is not the same. */
bool upstream_key_same(const struct upstream_key *old, const struct doc_upstream_key *now);
bool model_same(const struct model_row *old, const struct model_row *now); /* but for targets */
bool model_targets_same(const struct model_row *old, const struct doc_model *now);
bool limit_same(const struct limit_rule *old, const struct limit_rule *now); /* of the same identity */
bool key_same(const struct key *old, const struct key *now);

#endif
