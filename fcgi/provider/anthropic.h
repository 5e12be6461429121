/* Anthropic's dialect: messages. */
#ifndef WEIR_PROVIDER_ANTHROPIC_H
#define WEIR_PROVIDER_ANTHROPIC_H

#include "fcgi/provider/provider.h"

extern const struct dialect dialect_anthropic;

#endif
