/* Server-sent events, cut and written. sse_feed searches each byte once for line ends and marks how far whole
 * events reach; sse_next takes those apart. No byte is searched twice for its line end however the stream is split,
 * and bytes already given out are moved away at most once a feed. */
#include "fcgi/base/sse.h"

static const char byte_order_mark[3] = "\xEF\xBB\xBF";

void sse_init(struct sse *s, size_t event_max)
{
    *s = (struct sse){.event_max = event_max};
    buf_init(&s->in, event_max);
    buf_init(&s->joined, event_max);
}

void sse_free(struct sse *s)
{
    buf_free(&s->in);
    buf_free(&s->joined);
    sse_init(s, s->event_max);
}

static bool is_eol(char c)
{
    return c == '\n' || c == '\r';
}

/* The first \n or \r from `at` on; end if there is none. Where there are both, not two memchr: each would search past the
 * other's hit again and again. */
static const char *find_eol(const struct sse *s, const char *at, const char *end)
{
    if (!s->has_cr) {
        const char *eol = memchr(at, '\n', (size_t)(end - at));
        return eol ? eol : end;
    }
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    while (end - at >= 8) {
        uint64_t v;
        memcpy(&v, at, 8);
        uint64_t n = v ^ ones * '\n', r = v ^ ones * '\r';
        if ((((n - ones) & ~n) | ((r - ones) & ~r)) & tops)
            break;
        at += 8;
    }
    while (at < end && !is_eol(*at))
        at++;
    return at;
}

/* Behind the line end at `at`, which may be two bytes. */
static const char *past_eol(const char *at, const char *end)
{
    return at + (*at == '\r' && at + 1 < end && at[1] == '\n' ? 2 : 1);
}

/* Is `pos` the start of a line of the unfinished event? (A \r\n is never divided by s->scanned.) */
static bool at_line_start(const struct sse *s, size_t pos)
{
    return pos == s->whole || is_eol(s->in.at[pos - 1]);
}

/* Drops a byte order mark; false while there may be one that is not whole yet. */
static bool begin(struct sse *s)
{
    size_t n = s->in.len < sizeof byte_order_mark ? s->in.len : sizeof byte_order_mark;
    if (s->begun || n == 0)
        return s->begun;
    bool same = memcmp(s->in.at, byte_order_mark, n) == 0;
    if (same && n < sizeof byte_order_mark)
        return false;
    if (same)
        buf_drop(&s->in, n);
    return s->begun = true;
}

/* Moves `scanned` on to the end, and `whole` behind every event found whole. A \r at the very end waits: only the
 * next byte says where its line ends. */
static void scan(struct sse *s)
{
    const char *start = s->in.at, *end = start + s->in.len;

    while (s->scanned < s->in.len) {
        const char *at = start + s->scanned;
        const char *eol = find_eol(s, at, end);
        bool blank = eol == at && at_line_start(s, s->scanned);
        s->scanned = (size_t)(eol - start);
        if (eol == end || (*eol == '\r' && eol + 1 == end))
            break;
        s->scanned = (size_t)(past_eol(eol, end) - start);
        if (blank && s->scanned - s->whole > s->event_max)
            break;
        if (blank)
            s->whole = s->scanned;
    }
    if (s->in.len - s->whole > s->event_max)
        s->err = WEIR_FULL;
}

enum weir_err sse_feed(struct sse *s, const char *bytes, size_t n)
{
    if (s->err)
        return s->err;
    buf_clear(&s->joined);
    buf_drop(&s->in, s->given);
    s->whole -= s->given;
    s->scanned -= s->given;
    s->given = 0;
    s->in.max = n > SIZE_MAX - 2 - s->event_max ? SIZE_MAX : s->event_max + n + 2; /* two more for sse_end */
    s->joined.max = s->in.max;
    if (buf_add(&s->in, bytes, n) != WEIR_OK)
        return s->err = s->in.err;
    s->has_cr = s->has_cr || (n && memchr(bytes, '\r', n));
    if (begin(s))
        scan(s);
    return s->err;
}

/* Takes the value out of "name: value" and says if the line has that name. */
static bool line_has(struct span line, struct span name, struct span *value)
{
    if (line.len < name.len || memcmp(line.at, name.at, name.len) != 0)
        return false;
    if (line.len > name.len && line.at[name.len] != ':')
        return false;
    size_t skip = line.len > name.len ? name.len + 1 : name.len;
    if (skip < line.len && line.at[skip] == ' ')
        skip++;
    *value = (struct span){line.at + skip, line.len - skip};
    return true;
}

/* Adds one more data line. Joined bytes must not move while earlier spans are valid, so with the first line room is
 * taken for all there is to give out until the next feed. */
static bool join(struct sse *s, struct span *text, bool *joined, struct span more)
{
    if (!*joined) {
        const char *room = buf_room(&s->joined, s->whole - s->given);
        if (!room)
            return false;
        buf_span(&s->joined, *text);
        text->at = room;
        *joined = true;
    }
    buf_char(&s->joined, '\n');
    text->len += 1 + more.len;
    return buf_span(&s->joined, more) == WEIR_OK;
}

bool sse_next(struct sse *s, struct sse_event *ev)
{
    *ev = (struct sse_event){SPAN_NONE, SPAN_NONE, SPAN_NONE};
    if (s->given == s->whole)
        return false;

    const char *start = s->in.at + s->given, *end = s->in.at + s->whole, *at = start;
    bool joined = false;
    for (;;) {
        const char *eol = find_eol(s, at, end);
        struct span line = {at, (size_t)(eol - at)}, value;
        at = past_eol(eol, end);
        if (line.len == 0)
            break;
        if (line_has(line, SPAN("data"), &value)) {
            if (!ev->data.at) {
                ev->data = value;
            } else if (!join(s, &ev->data, &joined, value)) {
                s->err = s->joined.err;
                s->given = s->whole;
                return false;
            }
        } else if (line_has(line, SPAN("event"), &value)) {
            ev->type = value;
        }
    }
    ev->raw = (struct span){start, (size_t)(at - start)};
    s->given += ev->raw.len;
    return true;
}

static bool has_data_line(const struct sse *s, struct span lines)
{
    const char *at = lines.at, *end = at + lines.len;
    while (at < end) {
        const char *eol = find_eol(s, at, end);
        struct span value;
        if (line_has((struct span){at, (size_t)(eol - at)}, SPAN("data"), &value))
            return true;
        at = eol < end ? past_eol(eol, end) : end;
    }
    return false;
}

enum weir_err sse_end(struct sse *s)
{
    struct span rest = {s->in.at ? s->in.at + s->whole : NULL, s->in.len - s->whole};
    if (s->err || rest.len == 0)
        return s->err;

    char last = rest.at[rest.len - 1];
    bool blank_pending = s->begun && last == '\r' && s->scanned == s->in.len - 1 && at_line_start(s, s->scanned);
    if (!blank_pending) {
        if (!has_data_line(s, rest)) {
            s->in.len = s->scanned = s->whole;
            return WEIR_OK;
        }
        if (buf_str(&s->in, last == '\n' ? "\n" : "\n\n") != WEIR_OK)
            return s->err = s->in.err;
    }
    s->whole = s->scanned = s->in.len;
    return WEIR_OK;
}

enum weir_err sse_data(struct buf *out, struct span json)
{
    buf_str(out, "data: ");
    buf_span(out, json);
    return buf_str(out, "\n\n");
}

enum weir_err sse_event_data(struct buf *out, const char *type, struct span json)
{
    buf_str(out, "event: ");
    buf_str(out, type);
    buf_char(out, '\n');
    return sse_data(out, json);
}

enum weir_err sse_comment(struct buf *out, const char *text)
{
    buf_str(out, ": ");
    buf_str(out, text);
    return buf_str(out, "\n\n");
}
