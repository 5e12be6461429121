/* Calls over HTTP/1.1. libcurl makes the connection, through names, proxies and TLS, and carries bytes where that takes TLS;
 * the messages are written and read here (base/http1.h), which costs a tenth of what it costs libcurl to begin a transfer
 * anew. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/http1.h"
#include "fcgi/base/text.h"
#include "fcgi/door/http_room.h"
#include "fcgi/door/inflate.h"

#define ALONG_MOST 16384 /* a body up to here leaves with its head, in one write */
#define HEAD_BESIDES 256 /* bytes of a head beside what is the call's own */
#define IDLE_MOST_MS 118000 /* as libcurl itself has it: what lies between forgets connections without a word */

struct transfer {
    struct upstream up;       /* first: the relay's view */
    struct http_pool *pool;
    struct origin *origin;
    struct handle *handle;
    struct buf out;           /* the head, and a short body behind it; holds the secret */
    struct span body;         /* one that is longer */
    size_t gone;              /* of both */
    struct http1 answer;
    struct inflate *inflate;  /* NULL: the body comes as it is */
    struct buf packed;        /* of it: read, and not yet undone */
    enum phase { CONNECTING, SENDING, READING } phase;
    bool in_small_pieces;
    bool may_have_more;       /* read from the network, but not by us */
    bool head_told, done, fine;
    char error[CURL_ERROR_SIZE];
};

static void fail(struct transfer *t, enum upstream_failure failure, const char *text)
{
    t->done = true;
    if (t->up.failure == FAILURE_NONE) t->up.failure = failure;
    snprintf(t->up.failure_text, sizeof t->up.failure_text, "%.159s", text);
}

/* ---- the request ---- */

static bool is_given(const struct http_call *c, const char *name)
{
    for (int i = 0; i < c->header_count; i++)
        if (strcasecmp(c->headers[i].name, name) == 0) return true;
    return false;
}

static void line(struct buf *to, const char *name, struct span value)
{
    if (!value.len) return;
    buf_str(to, name);
    buf_str(to, ": ");
    buf_span(to, value);
    buf_str(to, "\r\n");
}

/* What a provider is given of its own stands instead of ours. */
static void standard_line(struct buf *to, const struct http_call *c, const char *name, struct span value)
{
    if (!is_given(c, name)) line(to, name, value);
}

static size_t size_of(const struct http_call *c)
{
    size_t n = HEAD_BESIDES + strlen(c->url) + (c->accept ? strlen(c->accept) : 0);
    for (int i = 0; i < c->header_count; i++) n += strlen(c->headers[i].name) + strlen(c->headers[i].value) + 4;
    if (c->secret_header && c->secret) n += strlen(c->secret_header) + secret_reveal(c->secret).len;
    return n + (c->body.len <= ALONG_MOST ? c->body.len : 0);
}

static void write_head(struct buf *to, const struct http_call *c)
{
    const char *scheme = strstr(c->url, "://"), *host = scheme ? scheme + 3 : c->url;
    size_t host_len = strcspn(host, "/?");
    const char *path = host + host_len;
    buf_str(to, c->body.at ? "POST " : "GET ");
    if (*path != '/') buf_char(to, '/');
    buf_str(to, path);
    buf_str(to, " HTTP/1.1\r\n");
    standard_line(to, c, "Host", (struct span){host, host_len});
    standard_line(to, c, "User-Agent", SPAN("weir/" WEIR_VERSION));
    standard_line(to, c, "Accept-Encoding", SPAN("identity"));
    standard_line(to, c, "Accept", span_of(c->accept ? c->accept : "*/*"));
    if (c->body.at) {
        standard_line(to, c, "Content-Type", SPAN("application/json"));
        buf_str(to, "Content-Length: ");
        buf_int(to, (int64_t)c->body.len);
        buf_str(to, "\r\n");
    }
    for (int i = 0; i < c->header_count; i++) line(to, c->headers[i].name, span_of(c->headers[i].value));
    if (c->secret_header && c->secret) {
        buf_str(to, c->secret_header);
        buf_span(to, secret_reveal(c->secret));
        buf_str(to, "\r\n");
    }
    buf_str(to, "\r\n");
}

/* Room for all of it first: a buffer that grows leaves copies of the secret behind. */
static bool write_request(struct transfer *t, const struct http_call *c)
{
    if (!buf_room(&t->out, size_of(c))) return false;
    write_head(&t->out, c);
    if (c->body.len > ALONG_MOST) t->body = c->body;
    else if (c->body.len) buf_span(&t->out, c->body);
    return t->out.err == WEIR_OK;
}

/* ---- steps ---- */

static void connect_on(struct transfer *t)
{
    CURLcode result;
    int running;
    curl_multi_perform(t->handle->multi, &running);
    if (running || !handle_result(t->handle, &result)) return;
    curl_easy_setopt(t->handle->easy, CURLOPT_ERRORBUFFER, NULL);
    if (result == CURLE_OK) result = curl_easy_getinfo(t->handle->easy, CURLINFO_ACTIVESOCKET, &t->handle->socket);
    if (result == CURLE_OK) t->phase = SENDING;
    else fail(t, failure_of(result), *t->error ? t->error : curl_easy_strerror(result));
}

static struct span left_to_send(const struct transfer *t)
{
    size_t n = t->gone - (t->gone < t->out.len ? t->gone : t->out.len);
    if (t->gone < t->out.len) return (struct span){t->out.at + t->gone, t->out.len - t->gone};
    return (struct span){t->body.at + n, t->body.len - n};
}

/* An upstream that takes no more may have said why: then its answer is there to be read. */
static void send_on(struct transfer *t)
{
    for (struct span left; (left = left_to_send(t)).len; ) {
        size_t n = 0;
        t->up.sent = true;
        CURLcode result = handle_send(t->handle, left, &n);
        if (result == CURLE_AGAIN) return;
        t->gone += n;
        if (result != CURLE_OK) break;
    }
    t->phase = READING;
}

static void begin_inflating(struct transfer *t)
{
    struct span coding = upstream_header(&t->up, "content-encoding");
    enum weir_err err = inflate_new(coding, &t->inflate);
    if (err == WEIR_INVALID) fail(t, FAILURE_BROKEN, "answered in an encoding that was not asked for");
    else if (err != WEIR_OK) fail(t, FAILURE_OURS, "memory is out");
}

static void inflate_on(struct transfer *t)
{
    enum weir_err err = WEIR_OK;
    while (t->packed.len && t->up.bytes.len < BOUND_PENDING && err == WEIR_OK)
        err = inflate_take(t->inflate, &t->packed, &t->up.bytes, BOUND_PENDING);
    if (err == WEIR_NOMEM) fail(t, FAILURE_OURS, "memory is out");
    else if (err != WEIR_OK) fail(t, FAILURE_BROKEN, "its answer is not compressed as it says");
}

/* After bytes were taken, or the connection ended. */
static void look(struct transfer *t)
{
    const struct http1 *a = &t->answer;
    if (a->is_coded && a->state != HTTP1_HEAD && !t->inflate && !t->done) begin_inflating(t);
    if (t->inflate && !t->done) inflate_on(t);
    if (t->done) return;
    if (a->line.err == WEIR_NOMEM || t->up.headers.err == WEIR_NOMEM || t->up.bytes.err || t->packed.err)
        fail(t, FAILURE_OURS, "memory is out");
    else if (a->state == HTTP1_TOO_LONG) fail(t, FAILURE_TOO_LONG, "its head is too long");
    else if (a->state == HTTP1_BAD) fail(t, FAILURE_BROKEN, "its answer is no HTTP");
    else if (a->state == HTTP1_DONE && !t->packed.len) {
        bool cut = t->inflate && !inflate_is_whole(t->inflate);
        if (cut) fail(t, FAILURE_BROKEN, "its compressed answer ends too early");
        t->done = true;
        t->fine = !cut;
    }
}

static void closed(struct transfer *t)
{
    bool said_nothing = t->answer.state == HTTP1_HEAD && !t->answer.status;
    http1_closed(&t->answer);
    if (t->answer.state == HTTP1_BAD)
        fail(t, FAILURE_BROKEN, said_nothing ? "closed its connection without an answer" : "its answer ends too early");
}

static void take(struct transfer *t, struct span bytes)
{
    bool in_head = t->answer.state == HTTP1_HEAD;
    size_t n = http1_take(&t->answer, bytes, t->inflate ? &t->packed : &t->up.bytes);
    if (in_head && t->answer.is_coded) { /* what came with the head is packed too */
        buf_span(&t->packed, buf_all(&t->up.bytes));
        buf_clear(&t->up.bytes);
    }
    if (n < bytes.len) t->answer.keeps = false; /* what nobody asked for */
}

static void read_from(struct transfer *t, char *in, size_t size)
{
    size_t n = 0;
    CURLcode result = handle_recv(t->handle, in, size, &n);
    t->may_have_more = result == CURLE_OK && (t->handle->is_tls || n == size);
    if (result == CURLE_AGAIN) return;
    if (result == CURLE_OK && n) take(t, (struct span){in, n});
    else if (result == CURLE_OK) closed(t);
    else fail(t, FAILURE_BROKEN, t->answer.status ? "broke its answer off" : "closed its connection without an answer");
    look(t);
}

static void read_piece(struct transfer *t)
{
    char in[STREAM_BUFFER];
    read_from(t, in, sizeof in);
}

static void read_much(struct transfer *t)
{
    char in[ANSWER_BUFFER]; /* in a frame of its own: thousands of streams keep the stack they once touched */
    read_from(t, in, sizeof in);
}

/* Memory stays bounded whatever the upstream sends: who has not taken what there is gets no more. */
static void read_on(struct transfer *t)
{
    if (t->packed.len) look(t);
    else if (t->in_small_pieces) read_piece(t);
    else read_much(t);
}

/* ---- the relay's view ---- */

static bool have_event(struct transfer *t, enum upstream_event *event)
{
    if (!t->head_told && (t->up.bytes.len || (t->done && t->fine))) {
        t->up.status = t->answer.status;
        t->head_told = true;
        *event = UPSTREAM_HEAD;
    } else if (t->up.bytes.len) {
        *event = UPSTREAM_BYTES;
    } else if (t->done) {
        *event = t->fine ? UPSTREAM_END : UPSTREAM_FAILED;
    } else {
        return false;
    }
    return true;
}

static short awaited(const struct transfer *t) { return t->phase == SENDING ? POLLIN | POLLOUT : POLLIN; }

/* UPSTREAM_BYTES: there is something to do; *readable: to read. */
static enum upstream_event pause_for(struct transfer *t, int client_fd, int64_t left_ms, bool *readable)
{
    struct pollfd fds[] = {{.fd = t->handle->socket, .events = awaited(t)}, {.fd = client_fd, .events = POLLIN},
                           {.fd = pool_stop_fd(t->pool), .events = POLLIN}};
    *readable = false;
    if (t->phase == CONNECTING) return handle_wait(t->handle, client_fd, fds[2].fd, left_ms);
    if (poll(fds, 3, left_ms > 60000 ? 60000 : (int)left_ms) <= 0) return UPSTREAM_BYTES;
    *readable = fds[0].revents & ~POLLOUT;
    return fds[1].revents ? UPSTREAM_GONE : fds[2].revents ? UPSTREAM_STOP : UPSTREAM_BYTES;
}

static bool has_more(const struct transfer *t) { return t->may_have_more || t->packed.len; }

/* For who has waited already. */
static bool has_bytes(const struct transfer *t)
{
    struct pollfd p = {.fd = t->handle->socket, .events = POLLIN};
    return t->phase != CONNECTING && poll(&p, 1, 0) > 0;
}

/* Bytes that tell nothing (interim answers, trailers, empty blocks of what is compressed) may come without end: past the
 * deadline there is one more look, and between two of them the client and the process's stop are asked for. */
static enum upstream_event transfer_wait(struct upstream *u, int client_fd, int64_t deadline)
{
    struct transfer *t = (struct transfer *)u;
    enum upstream_event event;
    for (bool readable = false, late = false;; ) {
        if (have_event(t, &event)) return event;
        if (t->phase == CONNECTING) connect_on(t);
        if (t->phase == SENDING && !t->done) send_on(t);
        if (t->phase != CONNECTING && !t->done && (readable || has_more(t))) read_on(t);
        if (have_event(t, &event)) return event;
        int64_t left = deadline - clock_mono_ms();
        if (left <= 0) {
            if (late || !((readable = has_bytes(t)) || has_more(t))) return UPSTREAM_TIMEOUT;
            late = true;
            continue;
        }
        event = pause_for(t, client_fd, has_more(t) ? 0 : left, &readable);
        if (event != UPSTREAM_BYTES) return event;
    }
}

static void transfer_close(struct upstream *u)
{
    struct transfer *t = (struct transfer *)u;
    bool keeps = t->fine && t->answer.keeps && !left_to_send(t).len;
    if (t->handle) curl_easy_setopt(t->handle->easy, CURLOPT_ERRORBUFFER, NULL);
    if (t->handle && keeps) pool_give(t->pool, t->origin, t->handle);
    else handle_free(t->handle);
    if (t->out.at) secret_wipe(t->out.at, t->out.len);
    buf_free(&t->out);
    buf_free(&t->packed);
    buf_free(&t->up.headers);
    buf_free(&t->up.bytes);
    http1_free(&t->answer);
    inflate_free(t->inflate);
    free(t);
}

/* While it is connected libcurl waits for more than bytes to read. */
static int transfer_watch(struct upstream *u, struct pollfd *fds, int most, int64_t *until)
{
    struct transfer *t = (struct transfer *)u;
    int64_t now = clock_mono_ms(), soon = t->phase == CONNECTING ? now + BLIND_MS : INT64_MAX;
    int n = 0;
    if (t->up.bytes.len || t->done || has_more(t)) soon = now;
    if (soon < *until) *until = soon;
    for (int i = 0; i < SOCKETS_A_HANDLE && n < most; i++)
        if (t->handle->sockets[i] >= 0) fds[n++] = (struct pollfd){.fd = t->handle->sockets[i], .events = awaited(t)};
    return n;
}

static const struct upstream_ops http_one_ops = {transfer_wait, transfer_close, transfer_watch};

/* ---- opening ---- */

/* An idle connection has nothing to say, unless that it is closed. */
static bool is_alive(const struct handle *h)
{
    char byte;
    size_t n;
    return clock_mono_ms() - h->idle_since < IDLE_MOST_MS && handle_recv(h, &byte, 1, &n) == CURLE_AGAIN;
}

static bool begin_connecting(struct transfer *t, const struct http_call *c)
{
    CURL *e = t->handle->easy;
    t->phase = CONNECTING;
    t->handle->is_tls = strncasecmp(c->url, "https:", 6) == 0;
    curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(e, CURLOPT_HTTPPROXYTUNNEL, 1L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_ms);
    return curl_easy_setopt(e, CURLOPT_URL, c->url) == CURLE_OK && curl_multi_add_handle(t->handle->multi, e) == CURLM_OK;
}

/* A kept connection that lives, or a new one on its way. */
static bool take_handle(struct transfer *t, const struct http_call *c)
{
    while ((t->handle = pool_take(t->pool, c->origin, true, &t->origin)) && t->handle->socket != CURL_SOCKET_BAD) {
        t->phase = SENDING;
        if (is_alive(t->handle)) return true;
        handle_free(t->handle);
    }
    return t->handle && begin_connecting(t, c);
}

enum weir_err http_one_open(struct http_pool *p, const struct http_call *c, struct upstream **out)
{
    if (!text_is_header_safe(span_of(c->url)) || strpbrk(c->url, " #")) return WEIR_INVALID;
    struct transfer *t = malloc(sizeof *t);
    if (!t) return WEIR_NOMEM;
    *t = (struct transfer){.up.ops = &http_one_ops, .pool = p, .in_small_pieces = c->in_small_pieces};
    buf_init(&t->out, SIZE_MAX - 1);
    buf_init(&t->packed, SIZE_MAX - 1);
    buf_init(&t->up.headers, BOUND_UPSTREAM_HEADERS);
    buf_init(&t->up.bytes, BOUND_PENDING + ANSWER_BUFFER);
    http1_start(&t->answer, &t->up.headers);
    if (!take_handle(t, c) || !write_request(t, c)) {
        transfer_close(&t->up);
        return WEIR_NOMEM;
    }
    *out = &t->up;
    return WEIR_OK;
}
