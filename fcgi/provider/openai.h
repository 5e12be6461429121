/* OpenAI's dialect and the dialects of those who speak it too, each with its own address or habits. */
#ifndef WEIR_PROVIDER_OPENAI_H
#define WEIR_PROVIDER_OPENAI_H

#include "fcgi/provider/provider.h"

extern const struct dialect dialect_openai, dialect_groq, dialect_gemini, dialect_ollama;

/* A usage object of OpenAI's chat. A figure that is nonsense makes the whole of it unknown: false, and *out stays; details
 * that are nonsense are only left out. */
bool openai_read_usage(struct jval v, struct usage *out);

#endif
