/* Reading answers. One line at a time while the length of what follows is told in lines, and bytes by the piece between. */
#include "fcgi/base/http1.h"

#include "fcgi/base/bounds.h"

#define SIZE_DIGITS 15 /* hexadecimal, of a chunk's size: always fits */

void http1_start(struct http1 *h, struct buf *headers)
{
    *h = (struct http1){.state = HTTP1_HEAD, .headers = headers};
    buf_init(&h->line, BOUND_UPSTREAM_HEADERS);
}

void http1_free(struct http1 *h)
{
    buf_free(&h->line);
}

/* ---- the head ---- */

/* HTTP/1.x SP three digits, and perhaps a reason. */
static bool read_status(struct http1 *h, struct span line)
{
    const char *at = line.at;
    if (line.len < 12 || memcmp(at, "HTTP/1.", 7) != 0 || at[8] != ' ' || (line.len > 12 && at[12] != ' ')) return false;
    if (at[7] < '0' || at[7] > '9') return false;
    h->status = 0;
    for (int i = 9; i < 12; i++) {
        if (at[i] < '0' || at[i] > '9') return false;
        h->status = h->status * 10 + (at[i] - '0');
    }
    h->keeps = at[7] != '0';
    return h->status >= 100 && h->status != 101;
}

/* Digits; the same again is no harm (RFC 9112 6.3), another one is. */
static bool read_length(struct http1 *h, struct span value)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9') return false;
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, value.at[i] - '0', &n)) return false;
    }
    if (!value.len || (h->has_length && n != h->left)) return false;
    h->has_length = true;
    h->left = n;
    return true;
}

static bool read_coding(struct http1 *h, struct span value)
{
    if (span_is_nocase(value, "identity")) return true;
    h->is_chunked = span_is_nocase(value, "chunked");
    return h->is_chunked;
}

/* A list of words; those that are not known mean nothing to us. Close stands whatever is said besides (RFC 9112 9.3). */
static void read_connection(struct http1 *h, struct span value)
{
    while (value.len) {
        const char *comma = memchr(value.at, ',', value.len);
        struct span word = {value.at, comma ? (size_t)(comma - value.at) : value.len};
        size_t step = word.len + (comma != NULL);
        h->closes |= span_is_nocase(span_trim(word), "close");
        if (span_is_nocase(span_trim(word), "keep-alive")) h->keeps = true;
        value.at += step;
        value.len -= step;
    }
}

static bool read_field(struct http1 *h, struct span line)
{
    const char *colon = memchr(line.at, ':', line.len);
    if (*line.at == ' ' || *line.at == '\t') { /* goes on with the line before (RFC 9112 5.2) */
        if (!h->headers->len) return false;
        h->headers->at[h->headers->len - 1] = ' ';
        return buf_span(h->headers, span_trim(line)) == WEIR_OK && buf_char(h->headers, '\n') == WEIR_OK;
    }
    if (!colon || colon == line.at || colon[-1] == ' ' || colon[-1] == '\t') return false; /* RFC 9112 5.1 */
    const struct span name = {line.at, (size_t)(colon - line.at)};
    const struct span value = span_trim((struct span){colon + 1, line.len - name.len - 1});
    if (span_is_nocase(name, "content-length") && !read_length(h, value)) return false;
    if (span_is_nocase(name, "transfer-encoding") && !read_coding(h, value)) return false;
    if (span_is_nocase(name, "connection")) read_connection(h, value);
    if (span_is_nocase(name, "content-encoding")) h->is_coded = value.len && !span_is_nocase(value, "identity");
    buf_span(h->headers, line);
    return buf_char(h->headers, '\n') == WEIR_OK;
}

/* The empty line behind the fields: what follows. */
static enum http1_state head_ended(struct http1 *h)
{
    if (h->status < 200) {
        int status = 0;
        struct buf line = h->line;
        buf_clear(h->headers);
        *h = (struct http1){.headers = h->headers, .told = h->told, .line = line, .status = status};
        return HTTP1_HEAD;
    }
    if (h->closes) h->keeps = false;
    if (h->is_chunked && h->has_length) h->keeps = false; /* RFC 9112 6.3: somebody may have been tricked */
    if (h->status == 204 || h->status == 304) return HTTP1_DONE;
    if (h->is_chunked) return HTTP1_CHUNK;
    if (h->has_length) return h->left ? HTTP1_LENGTH : HTTP1_DONE;
    h->keeps = false;
    return HTTP1_TO_CLOSE;
}

/* ---- lines ---- */

/* Hexadecimal; what stands behind a semicolon is an extension, and nobody's. */
static bool read_size(struct http1 *h, struct span line)
{
    size_t digits = 0;
    for (h->left = 0; digits < line.len; digits++) {
        char c = line.at[digits] | 0x20;
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0) break;
        h->left = h->left << 4 | (uint64_t)value;
    }
    struct span rest = span_trim((struct span){line.at + digits, line.len - digits});
    return digits && digits <= SIZE_DIGITS && (!rest.len || *rest.at == ';');
}

static bool is_told_in_lines(const struct http1 *h) { return h->state == HTTP1_HEAD || h->state == HTTP1_TRAILER; }

static void take_line(struct http1 *h, struct span line)
{
    if (is_told_in_lines(h) && (h->told += line.len + 1) > BOUND_UPSTREAM_HEADERS) {
        h->state = HTTP1_TOO_LONG;
        return;
    }
    switch (h->state) {
    case HTTP1_HEAD:
        if (!h->status) h->state = read_status(h, line) ? HTTP1_HEAD : HTTP1_BAD;
        else if (!line.len) h->state = head_ended(h);
        else if (!read_field(h, line)) h->state = h->headers->err ? HTTP1_TOO_LONG : HTTP1_BAD;
        break;
    case HTTP1_CHUNK:
        h->state = read_size(h, line) ? h->left ? HTTP1_DATA : HTTP1_TRAILER : HTTP1_BAD;
        break;
    case HTTP1_DATA_END:
        h->state = line.len ? HTTP1_BAD : HTTP1_CHUNK;
        break;
    default: /* a trailer */
        if (!line.len) h->state = HTTP1_DONE;
    }
}

/* Up to the line's end, which may come with a later piece; a bare LF is one (RFC 9112 2.2). */
static size_t take_to_line(struct http1 *h, struct span bytes)
{
    const char *end = memchr(bytes.at, '\n', bytes.len);
    size_t n = end ? (size_t)(end - bytes.at) : bytes.len;
    struct span line = {bytes.at, n};
    if ((!end || h->line.len) && buf_span(&h->line, line) != WEIR_OK) {
        h->state = is_told_in_lines(h) ? HTTP1_TOO_LONG : HTTP1_BAD;
        return n;
    }
    if (!end) return n;
    if (h->line.len) line = buf_all(&h->line);
    if (line.len && line.at[line.len - 1] == '\r') line.len--;
    take_line(h, line);
    buf_clear(&h->line);
    return n + 1;
}

/* ---- the whole ---- */

static bool is_over(const struct http1 *h) { return h->state >= HTTP1_DONE; }

static size_t take_body(struct http1 *h, struct span bytes, struct buf *body)
{
    size_t n = h->state != HTTP1_TO_CLOSE && h->left < bytes.len ? (size_t)h->left : bytes.len;
    buf_add(body, bytes.at, n);
    if (h->state == HTTP1_TO_CLOSE) return n;
    h->left -= n;
    if (!h->left) h->state = h->state == HTTP1_DATA ? HTTP1_DATA_END : HTTP1_DONE;
    return n;
}

size_t http1_take(struct http1 *h, struct span bytes, struct buf *body)
{
    size_t taken = 0;
    while (taken < bytes.len && !is_over(h)) {
        struct span rest = {bytes.at + taken, bytes.len - taken};
        bool in_body = h->state == HTTP1_LENGTH || h->state == HTTP1_DATA || h->state == HTTP1_TO_CLOSE;
        taken += in_body ? take_body(h, rest, body) : take_to_line(h, rest);
    }
    return taken;
}

void http1_closed(struct http1 *h)
{
    if (!is_over(h)) h->state = h->state == HTTP1_TO_CLOSE ? HTTP1_DONE : HTTP1_BAD;
    h->keeps = false;
}
