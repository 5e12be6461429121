/* GET /v1/models: the aliases a caller may use, or one of them. */
#ifndef WEIR_STAGE_MODELS_H
#define WEIR_STAGE_MODELS_H

#include "fcgi/stage/way.h"

/* Appends all of them, in one page, whatever was asked for; anthropic: in Anthropic's form. Sticks in out->err. */
void models_list(const struct caller *c, bool anthropic, struct buf *out);
/* Appends one. WEIR_MODEL_UNKNOWN: there is none of that name that c may use; *p says so. */
enum weir_err models_find(const struct caller *c, struct span id, bool anthropic, struct buf *out, struct problem *p);

#endif
