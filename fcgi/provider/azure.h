/* Azure OpenAI's dialect: OpenAI's wire at other addresses. */
#ifndef WEIR_PROVIDER_AZURE_H
#define WEIR_PROVIDER_AZURE_H

#include "fcgi/provider/provider.h"

extern const struct dialect dialect_azure;

#endif
