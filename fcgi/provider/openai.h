/* OpenAI's dialect: any compatible upstream. Its readers serve every dialect that answers in the same form. */
#ifndef WEIR_PROVIDER_OPENAI_H
#define WEIR_PROVIDER_OPENAI_H

#include "fcgi/provider/provider.h"

extern const struct dialect dialect_openai;

enum event_kind openai_read_event(struct tap *t, struct span data, struct fault *fault);
bool openai_read_answer(struct tap *t, struct span body, struct fault *fault);
/* A usage object. A figure that is nonsense makes the whole of it unknown: false, and *out stays; details that are nonsense
 * are only left out. */
bool openai_read_usage(struct jval v, struct usage *out);
bool openai_read_error(struct tap *t, struct span body, struct fault *fault);

#endif
