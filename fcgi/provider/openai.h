/* OpenAI's dialect: any compatible upstream. Its readers serve every dialect that answers in the same form. */
#ifndef WEIR_PROVIDER_OPENAI_H
#define WEIR_PROVIDER_OPENAI_H

#include "fcgi/provider/provider.h"

extern const struct dialect dialect_openai;

enum event_kind openai_read_event(struct tap *t, struct span data, struct fault *fault);
bool openai_read_answer(struct tap *t, struct span body, struct fault *fault);
bool openai_read_error(struct tap *t, struct span body, struct fault *fault);

#endif
