/* Reads the options and words of one command. Knows no command. */
#include "admin/option.h"

#include <stdlib.h>
#include <string.h>

#include "admin/command.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

static bool words_add(struct arena *a, struct words *w, struct span word)
{
    if ((w->count & (w->count - 1)) == 0) { /* room doubles at every power of two */
        const char **more = arena_alloc(a, sizeof *more * (w->count ? (size_t)w->count * 2 : 1));

        if (!more) return false;
        if (w->count) memcpy(more, w->at, sizeof *more * (size_t)w->count);
        w->at = more;
    }
    w->at[w->count] = arena_str(a, word);
    return w->at[w->count++] != NULL;
}

static bool list_add(struct arena *a, const char *option, struct words *w, const char *value)
{
    for (const char *at = value;;) {
        const char *comma = strchr(at, ',');
        struct span item = span_trim((struct span){at, comma ? (size_t)(comma - at) : strlen(at)});

        if (!item.len) {
            say("%s: an empty name in \"%s\"", option, value);
            return false;
        }
        if (!words_add(a, w, item)) {
            say("out of memory");
            return false;
        }
        if (!comma) return true;
        at = comma + 1;
    }
}

static bool count_parse(const char *text, int64_t *out)
{
    int64_t n = 0;

    if (!*text || strlen(text) > 15) return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9') return false;
        n = n * 10 + (*c - '0');
    }
    *out = n;
    return n > 0;
}

static bool value_set(struct arena *a, const struct option_def *d, const char *value)
{
    switch (d->kind) {
    case OPTION_TEXT:
        if (!*value) {
            say("%s: must not be empty", d->name);
            return false;
        }
        *(const char **)d->to = value;
        return true;
    case OPTION_COUNT:
        if (count_parse(value, d->to)) return true;
        say("%s: must be a whole number above 0", d->name);
        return false;
    case OPTION_DURATION:
        if (duration_parse(span_of(value), d->to)) return true;
        say("%s: must be a length of time like 90d, 12h, 30m or 30s", d->name);
        return false;
    case OPTION_LIST:
        return list_add(a, d->name, d->to, value);
    default:
        say("%s: takes no value", d->name);
        return false;
    }
}

static const struct option_def *option_find(const struct option_def *defs, const char *word, size_t len)
{
    for (; defs->name; defs++)
        if (strlen(defs->name) == len && memcmp(defs->name, word, len) == 0) return defs;
    return NULL;
}

/* One option at argv[*i], with its value; moves *i past it. */
static bool option_read(struct arena *a, int argc, char **argv, const struct option_def *defs, int *i)
{
    const char *word = argv[*i], *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) : strlen(word);
    const struct option_def *d = option_find(defs, word, len);

    ++*i;
    if (!d) {
        say("%.*s: no such option here", (int)len, word);
        return false;
    }
    if (d->kind == OPTION_FLAG && !equals) {
        *(bool *)d->to = true;
        return true;
    }
    if (equals) return value_set(a, d, equals + 1);
    if (*i >= argc) {
        say("%s: needs a value", d->name);
        return false;
    }
    return value_set(a, d, argv[(*i)++]);
}

bool options_read(struct arena *a, int argc, char **argv, const struct option_def *defs, int least_words, int most_words,
                  struct words *words)
{
    bool over = false;

    *words = (struct words){NULL, 0};
    for (int i = 0; i < argc;) {
        const char *word = argv[i];

        if (!over && strcmp(word, "--") == 0) {
            over = true;
            i++;
        } else if (!over && word[0] == '-' && word[1]) {
            if (!option_read(a, argc, argv, defs, &i)) return false;
        } else {
            if (words->count == most_words) {
                say("%s: one word too many", word);
                return false;
            }
            if (!words_add(a, words, span_of(word))) {
                say("out of memory");
                return false;
            }
            i++;
        }
    }
    if (words->count < least_words) say("a word is missing");
    return words->count >= least_words;
}

bool since_read(const char *text, int64_t *since)
{
    int64_t length;

    if (!text) return true;
    if (duration_parse(span_of(text), &length)) *since = clock_wall_ms() - length;
    else if (!time_parse(span_of(text), since)) {
        say("--since: must be a length of time like 1h or 7d, or a time like 2026-11-21T03:00:00Z");
        return false;
    }
    return true;
}
