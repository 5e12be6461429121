/* Reads the options and words of one command. A fault is said on stderr, naming the option. */
#ifndef WEIR_ADMIN_OPTION_H
#define WEIR_ADMIN_OPTION_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/arena.h"

enum option_kind {
    OPTION_FLAG,     /* bool: true when given */
    OPTION_TEXT,     /* const char *: not empty, given once */
    OPTION_COUNT,    /* int64_t: a number above 0 */
    OPTION_DURATION, /* int64_t: milliseconds, written "90d" */
    OPTION_LIST      /* struct words: comma-separated, may be given again */
};

struct words { const char **at; int count; };

struct option_def { const char *name; enum option_kind kind; void *to; }; /* name with its dashes; NULL ends the list */

/* Options may stand before or behind the words; `--` ends them; `--name=value` is as good as `--name value`. A lone
 * `-` is a word. False: it was said what is wrong (the command is misused). Memory is the arena's. */
bool options_read(struct arena *a, int argc, char **argv, const struct option_def *defs, int least_words, int most_words,
                  struct words *words);

/* The value of --since: a length of time ago ("1h"), or a time. NULL: leaves *since. False: it was said what is wrong. */
bool since_read(const char *text, int64_t *since);

#endif
