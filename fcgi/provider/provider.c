/* The registry of dialects, and the tap that adds up what an answer told. */
#include "fcgi/provider/provider.h"

#include "fcgi/provider/mock.h"
#include "fcgi/provider/openai.h"

static const struct dialect *const dialects[] = {&dialect_openai, &dialect_mock};

const struct dialect *dialect_find(const char *name)
{
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (strcmp(dialects[i]->name, name) == 0) return dialects[i];
    return NULL;
}

void tap_start(struct tap *t, const struct chat *chat)
{
    *t = (struct tap){.face = chat->face, .expected = chat->choices, .counts = true};
}

bool tap_is_finished(const struct tap *t)
{
    int64_t count = 0;
    for (int i = 0; i < 2; i++) {
        if (t->seen[i] & ~t->finished[i]) return false;
        count += __builtin_popcountll(t->finished[i]);
    }
    /* Some providers answer n=2 with one choice: it is theirs to say, and no truncation. */
    return count > 0;
}
