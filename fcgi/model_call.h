/* The answer to a POST at one of a model's endpoints. */
#ifndef WEIR_MODEL_CALL_H
#define WEIR_MODEL_CALL_H

#include "fcgi/gateway.h"
#include "fcgi/stage/way.h"

/* Answers r, whatever becomes of it, and leaves its audit row; then calls done(arg), maybe on another thread and after this
 * has returned: r and memory live until then. endpoint: as the row names it. counts: the tokens are counted, nobody is
 * asked. */
void model_call_run(const struct gateway *g, struct request *r, enum face face, const char *endpoint, bool counts,
                    struct arena *memory, void (*done)(void *arg), void *arg);

#endif
