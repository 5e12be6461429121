/* The table of well-known providers (addresses: WIRE.md 3). Data only. */
#include "admin/wellknown.h"

#include <stddef.h>

static const char *const openai[] = {"gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "gpt-4.1", "gpt-5-mini", "gpt-5", "o4-mini",
                                     "text-embedding-3-small", "text-embedding-3-large", NULL};
static const char *const anthropic[] = {"claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-1", NULL};
static const char *const groq[] = {"llama-3.1-8b=llama-3.1-8b-instant", "llama-3.3-70b=llama-3.3-70b-versatile", NULL};
/* Azure's model names are deployments, which people mostly name after the model. */
static const char *const azure[] = {"azure-gpt-4o-mini=gpt-4o-mini", "azure-gpt-4o=gpt-4o", NULL};
static const char *const gemini[] = {"gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro", NULL};
static const char *const ollama[] = {"llama3.2", "qwen3", "nomic-embed-text", NULL};

const struct wellknown wellknown[] = {
    {"openai", "openai", "OPENAI_API_KEY", NULL, "https://api.openai.com/v1", openai},
    {"anthropic", "anthropic", "ANTHROPIC_API_KEY", NULL, "https://api.anthropic.com/v1", anthropic},
    {"groq", "groq", "GROQ_API_KEY", NULL, "https://api.groq.com/openai/v1", groq},
    {"azure", "azure", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "/openai/v1", azure},
    {"gemini", "gemini", "GEMINI_API_KEY", NULL, "https://generativelanguage.googleapis.com/v1beta/openai", gemini},
    {"ollama", "ollama", NULL, "OLLAMA_HOST", "/v1", ollama},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
