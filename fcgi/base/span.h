/* A piece of somebody else's bytes: not owned, not terminated. */
#ifndef WEIR_BASE_SPAN_H
#define WEIR_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *at; /* NULL: absent, as against empty */
    size_t len;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
#define SPAN_NONE ((struct span){NULL, 0})

static inline struct span span_of(const char *text) /* NULL gives SPAN_NONE */
{
    return text ? (struct span){text, strlen(text)} : SPAN_NONE;
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
    return a.at && span_eq(a, span_of(text));
}

/* ASCII case folded, for header names and the like. */
static inline bool span_is_nocase(struct span a, const char *text)
{
    return a.at && a.len == strlen(text) && strncasecmp(a.at, text, a.len) == 0;
}

static inline bool span_starts(struct span a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.len >= n && memcmp(a.at, prefix, n) == 0;
}

/* Is `word` somewhere in it? For short words whose first byte is rare in long texts: memmem takes twenty times as long. */
static inline bool span_has(struct span a, const char *word)
{
    const char *at = a.at, *end = a.at + a.len;
    size_t n = strlen(word);
    for (; a.len && (at = memchr(at, *word, (size_t)(end - at))); at++)
        if ((size_t)(end - at) >= n && memcmp(at, word, n) == 0) return true;
    return false;
}

static inline struct span span_trim(struct span a) /* spaces and tabs off both ends */
{
    while (a.len && (*a.at == ' ' || *a.at == '\t')) a.at++, a.len--;
    while (a.len && (a.at[a.len - 1] == ' ' || a.at[a.len - 1] == '\t')) a.len--;
    return a;
}

#endif
