/* The log. A line is put together in memory of its own and leaves with one write(2), so threads and processes that
 * share a file do not mix their lines. `sink` is the one static here: set before threads start, then only read. */
#include "fcgi/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

static struct {
    int fd;
    enum log_level level;
} sink = {STDERR_FILENO, LOG_INFO};

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

enum weir_err log_open(const char *path, enum log_level level)
{
    int fd = STDERR_FILENO;
    if (path && strcmp(path, "stderr") != 0)
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return WEIR_IO;
    if (sink.fd != STDERR_FILENO)
        close(sink.fd);
    sink.fd = fd;
    sink.level = level;
    return WEIR_OK;
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; name && i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_wants(enum log_level level)
{
    return level <= sink.level;
}

/* A text over `most` bytes is cut and ends in an ellipsis. */
static void put_text(struct buf *line, struct span text, size_t most)
{
    if (text.len <= most) {
        json_string(line, text);
        return;
    }
    json_string(line, (struct span){text.at, text_cut(text, most)});
    if (line->err == WEIR_OK)
        line->len--; /* the closing quote */
    buf_str(line, "\xE2\x80\xA6\"");
}

static enum weir_err compose(struct buf *line, enum log_level level, const char *event, const struct log_field *fields,
                             size_t most)
{
    char time[TIME_TEXT];
    time_text(clock_wall_ms(), time);
    buf_clear(line);
    buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":", time, level_names[level]);
    json_string(line, span_of(event));
    for (const struct log_field *f = fields; f && f->name; f++) {
        buf_char(line, ',');
        json_string(line, span_of(f->name));
        buf_char(line, ':');
        if (f->is == LOG_IS_INT)
            buf_int(line, f->number);
        else
            put_text(line, f->text, most);
    }
    return buf_str(line, "}\n");
}

static void put_line(struct span line)
{
    ssize_t n;
    do {
        n = write(sink.fd, line.at, line.len);
    } while (n < 0 && errno == EINTR);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    if (!log_wants(level))
        return;
    struct buf line;
    buf_init(&line, BOUND_LOG_LINE);
    size_t most = BOUND_LOG_LINE;
    enum weir_err err = compose(&line, level, event, fields, most);
    while (err == WEIR_FULL && most > 0) {
        most /= 2;
        err = compose(&line, level, event, fields, most);
    }
    if (err == WEIR_OK)
        put_line(buf_all(&line));
    else
        put_line(SPAN("{\"level\":\"error\",\"event\":\"log_line_lost\"}\n"));
    buf_free(&line);
}
