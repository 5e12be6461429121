/* The registry of dialects, and which faces a provider speaks. */
#include "fcgi/provider/provider.h"

#include "fcgi/provider/anthropic.h"
#include "fcgi/provider/azure.h"
#include "fcgi/provider/mock.h"
#include "fcgi/provider/openai.h"

static const struct dialect *const dialects[] = {
    &dialect_openai, &dialect_anthropic, &dialect_azure, &dialect_gemini, &dialect_groq, &dialect_ollama, &dialect_mock,
};

const char *const face_names[FACE_COUNT] = {"chat", "completions", "embeddings", "responses", "messages"};

const struct dialect *dialect_find(const char *name)
{
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (strcmp(dialects[i]->name, name) == 0) return dialects[i];
    return NULL;
}

static unsigned named_faces(const char *names)
{
    unsigned faces = 0;
    while (*names) {
        size_t n = strcspn(names, ",");
        for (int f = 0; f < FACE_COUNT; f++)
            if (span_is((struct span){names, n}, face_names[f])) faces |= 1u << f;
        names += n + (names[n] == ',');
    }
    return faces;
}

unsigned provider_faces(const struct provider_row *p)
{
    const struct dialect *d = dialect_find(p->dialect);
    if (p->faces && *p->faces) return named_faces(p->faces);
    return d ? d->faces(p) : 0;
}

bool provider_face_for(const struct provider_row *p, enum face face, enum face *asked)
{
    unsigned faces = provider_faces(p);
    const enum face ways[] = {face, dialect_find(p->dialect)->base, FACE_CHAT, FACE_MESSAGES};
    size_t count = face == FACE_EMBEDDINGS ? 1 : sizeof ways / sizeof *ways;
    for (size_t i = 0; i < count; i++)
        if (faces & (1u << ways[i])) {
            *asked = ways[i];
            return true;
        }
    return false;
}
