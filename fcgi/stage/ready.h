/* Whether this gateway can serve anybody. */
#ifndef WEIR_STAGE_READY_H
#define WEIR_STAGE_READY_H

#include "fcgi/stage/way.h"
#include "sql/pulse.h"

/* NULL: it can; else the answer's body, which says why not; static. */
const char *unready(const struct book *b, struct pulse *pulse);

#endif
