/* The built-in mock: a provider without a network, scripted by the model's name, with real usage numbers. */
#ifndef WEIR_PROVIDER_MOCK_H
#define WEIR_PROVIDER_MOCK_H

#include "fcgi/provider/provider.h"

extern const struct dialect dialect_mock;

#endif
