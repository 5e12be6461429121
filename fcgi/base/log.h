/* The log: one JSON object a line, to stderr or a file. There is no field type for a secret. */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include "fcgi/base/err.h"
#include "fcgi/base/span.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_field {
    const char *name; /* NULL ends the list */
    enum { LOG_IS_TEXT, LOG_IS_INT } is;
    struct span text;
    int64_t number;
};

#define LOG_TEXT(n, cstr) ((struct log_field){(n), LOG_IS_TEXT, span_of(cstr), 0})
#define LOG_SPAN(n, sp)   ((struct log_field){(n), LOG_IS_TEXT, (sp), 0})
#define LOG_INT(n, v)     ((struct log_field){(n), LOG_IS_INT, {NULL, 0}, (int64_t)(v)})

/* path NULL or "stderr": file descriptor 2. Opened O_APPEND, 0600, close-on-exec. Call before threads start. */
enum weir_err log_open(const char *path, enum log_level level);
bool log_level_parse(const char *name, enum log_level *out); /* "error", "warn", "info", "debug" */
bool log_wants(enum log_level level);

/* Writes {"time":RFC3339 ms,"level":...,"event":...,fields...}\n with one write(2); a line over BOUND_LOG_LINE has
 * its longest texts cut. Strings are JSON-escaped: control characters and invalid UTF-8 never get out raw. */
void log_write(enum log_level level, const char *event, const struct log_field *fields);

#define LOG_END {NULL, LOG_IS_INT, {NULL, 0}, 0}

#define log_event(level, event, ...) \
    do { \
        if (log_wants(level)) \
            log_write((level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(,) LOG_END}); \
    } while (0)

#endif
