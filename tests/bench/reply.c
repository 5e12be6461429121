/* Reads one HTTP/1.1 answer piece by piece: head, content-length or chunked or until close, the stamps of SSE events.
 * No allocation, no sockets. */
#include "tests/bench/reply.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { IN_HEAD, IN_LENGTH, IN_CHUNK_SIZE, IN_CHUNK, IN_CHUNK_END, IN_TRAILER, IN_REST, FINISHED };

enum { STAMP_DIGITS = 20 };

void reply_init(struct reply *r, void (*stamp)(void *arg, int64_t due_ns), void *arg)
{
    memset(r, 0, offsetof(struct reply, head));
    r->length = -1;
    r->stamp = stamp;
    r->arg = arg;
    r->framing = IN_HEAD;
    r->head_len = r->chunk_left = r->tail_len = 0;
    r->digits = -1;
}

/* Finds "@" and 20 digits wherever the pieces are cut. */
static void stamps_take(struct reply *r, const char *at, const char *end)
{
    while (at < end) {
        if (r->digits < 0) {
            at = memchr(at, '@', (size_t)(end - at));
            if (!at) return;
            at++;
            r->digits = 0;
            r->due_ns = 0;
            continue;
        }
        if (*at < '0' || *at > '9') {
            r->digits = -1;
            continue;
        }
        r->due_ns = r->due_ns * 10 + (*at++ - '0');
        if (++r->digits < STAMP_DIGITS) continue;
        r->digits = -1;
        r->events++;
        if (r->stamp) r->stamp(r->arg, r->due_ns);
    }
}

static void body_take(struct reply *r, const char *at, size_t len)
{
    if (len == 0) return;
    r->body_bytes += len;
    if (!r->data_seen) r->data_seen = !r->sse || memmem(at, len, "data:", 5);
    if (!r->sse) return;
    stamps_take(r, at, at + len);
    if (len >= sizeof r->tail) {
        memcpy(r->tail, at + len - sizeof r->tail, sizeof r->tail);
        r->tail_len = sizeof r->tail;
        return;
    }
    size_t keep = r->tail_len + len > sizeof r->tail ? sizeof r->tail - len : r->tail_len;
    memmove(r->tail, r->tail + r->tail_len - keep, keep);
    memcpy(r->tail + keep, at, len);
    r->tail_len = keep + len;
}

static bool line_is(const char *line, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncasecmp(line, name, n) != 0) return false;
    for (line += n; *line == ' '; line++) continue;
    *value = line;
    return true;
}

/* The head is whole and ends in a NUL. */
static bool head_read(struct reply *r)
{
    const char *value;
    bool chunked = false;
    if (strncmp(r->head, "HTTP/1.", 7) != 0 || r->head_len < 14) return false;
    r->status = (int)strtol(r->head + 9, NULL, 10);
    r->close = r->head[7] == '0';
    for (char *line = strchr(r->head, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        if (line_is(line + 1, "content-length:", &value)) r->length = strtoll(value, NULL, 10);
        else if (line_is(line + 1, "transfer-encoding:", &value)) chunked = strncasecmp(value, "chunked", 7) == 0;
        else if (line_is(line + 1, "connection:", &value)) r->close = strncasecmp(value, "close", 5) == 0;
        else if (line_is(line + 1, "content-type:", &value)) r->sse = strncasecmp(value, "text/event-stream", 17) == 0;
    }
    r->framing = chunked ? IN_CHUNK_SIZE : r->length > 0 ? IN_LENGTH : r->length == 0 ? FINISHED : IN_REST;
    return r->status >= 200 && r->length >= -1;
}

/* Collects the head; returns how much of the piece belonged to it, 0 when it is broken. */
static size_t head_take(struct reply *r, const char *at, size_t len)
{
    size_t before = r->head_len, from = before > 3 ? before - 3 : 0;
    size_t room = sizeof r->head - 1 - before, n = len < room ? len : room;
    memcpy(r->head + before, at, n);
    r->head_len += n;
    char *end = memmem(r->head + from, r->head_len - from, "\r\n\r\n", 4);
    if (!end) return r->head_len < sizeof r->head - 1 ? n : 0;
    r->head_len = (size_t)(end + 4 - r->head);
    end[2] = 0;
    return head_read(r) ? r->head_len - before : 0;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One byte of chunk framing; false when it is none. */
static bool frame_take(struct reply *r, char c)
{
    switch (r->framing) {
    case IN_CHUNK_SIZE:
        if (hex(c) >= 0) {
            r->chunk_left = r->chunk_left * 16 + (size_t)hex(c);
            return r->chunk_left < (size_t)1 << 40;
        }
        if (c == '\n') r->framing = r->chunk_left ? IN_CHUNK : IN_TRAILER;
        return c == '\n' || c == '\r';
    case IN_CHUNK_END:
        if (c == '\n') r->framing = IN_CHUNK_SIZE;
        return c == '\n' || c == '\r';
    default: /* no trailers: the empty line ends it */
        if (c == '\n') r->framing = FINISHED;
        return c == '\n' || c == '\r';
    }
}

enum reply_is reply_feed(struct reply *r, const char *at, size_t len)
{
    while (len > 0) {
        size_t n = len;
        switch (r->framing) {
        case IN_HEAD:
            n = head_take(r, at, len);
            if (n == 0) return REPLY_BROKEN;
            break;
        case IN_LENGTH:
            if (n > (uint64_t)r->length - r->body_bytes) n = (size_t)((uint64_t)r->length - r->body_bytes);
            body_take(r, at, n);
            if (r->body_bytes == (uint64_t)r->length) r->framing = FINISHED;
            break;
        case IN_CHUNK:
            if (n > r->chunk_left) n = r->chunk_left;
            body_take(r, at, n);
            r->chunk_left -= n;
            if (r->chunk_left == 0) r->framing = IN_CHUNK_END;
            break;
        case IN_REST:
            body_take(r, at, n);
            break;
        case FINISHED:
            return REPLY_BROKEN;
        default:
            n = 1;
            if (!frame_take(r, *at)) return REPLY_BROKEN;
        }
        at += n;
        len -= n;
    }
    return r->framing == FINISHED ? REPLY_DONE : REPLY_MORE;
}

enum reply_is reply_eof(struct reply *r)
{
    r->close = true;
    if (r->framing == IN_HEAD) return REPLY_BROKEN;
    return REPLY_DONE;
}

bool reply_short(const struct reply *r)
{
    static const char done[] = "data: [DONE]\n\n";
    size_t n = sizeof done - 1;
    if (r->framing != FINISHED && r->framing != IN_REST) return true;
    return r->sse && (r->tail_len < n || memcmp(r->tail + r->tail_len - n, done, n) != 0);
}
