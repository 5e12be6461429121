/* Calls that libcurl makes from beginning to end: those that may be HTTP/2. */
#include "fcgi/door/http_room.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"

struct transfer {
    struct upstream up;                /* first: the relay's view */
    struct http_pool *pool;
    struct origin *origin;
    struct handle *handle;
    struct curl_slist *lines;          /* one block of lines_size bytes; holds the secret */
    size_t lines_size;
    curl_off_t body_len;
    bool added;                        /* easy is in multi */
    bool head_told, done, paused, clean;
    CURLcode result;
    char error[CURL_ERROR_SIZE];
};

/* Bytes of the body. Past BOUND_PENDING curl is told to wait: memory stays bounded whatever the upstream sends. */
static size_t take_body(char *at, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    if (t->up.bytes.len >= BOUND_PENDING) {
        t->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return buf_add(&t->up.bytes, at, size * n) == WEIR_OK ? size * n : 0;
}

static size_t take_header(char *at, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    struct span line = {at, size * n};
    while (line.len && (line.at[line.len - 1] == '\r' || line.at[line.len - 1] == '\n')) line.len--;
    if (span_starts(line, "HTTP/")) {
        buf_clear(&t->up.headers); /* an interim answer (100, 103) before the final one */
        return size * n;
    }
    buf_span(&t->up.headers, line);
    if (line.len) buf_char(&t->up.headers, '\n');
    if (t->up.headers.err != WEIR_OK) {
        t->up.failure = FAILURE_TOO_LONG;
        return 0;
    }
    return size * n;
}

/* curl silently sends a request again when a connection it kept turns out to be dead. The upstream may have read, and
 * charged, the first one: sending twice is the relay's to decide, and to write down. */
static int before_request(void *arg, char *primary, char *local, int primary_port, int local_port)
{
    struct transfer *t = arg;
    (void)primary, (void)local, (void)primary_port, (void)local_port;
    if (t->up.sent) return CURL_PREREQFUNC_ABORT;
    t->up.sent = true;
    return CURL_PREREQFUNC_OK;
}

/* ---- header lines: one block, the list's nodes and then the texts, so that a call's many lines are one allocation ---- */

struct lines { struct curl_slist *nodes; char *text; size_t count, bytes; }; /* nodes NULL: they are only counted */

static void add_line(struct lines *l, const char *name, const char *sep, struct span value)
{
    size_t n = strlen(name), m = strlen(sep);
    if (l->nodes) {
        struct curl_slist *node = &l->nodes[l->count];
        *node = (struct curl_slist){.data = l->text + l->bytes};
        if (l->count) node[-1].next = node;
        memcpy(node->data, name, n);
        memcpy(node->data + n, sep, m);
        if (value.len) memcpy(node->data + n + m, value.at, value.len);
        node->data[n + m + value.len] = '\0';
    }
    l->count++;
    l->bytes += n + m + value.len + 1;
}

static void add_lines(struct lines *l, const struct http_call *c)
{
    l->count = l->bytes = 0;
    add_line(l, "Expect", ":", SPAN("")); /* no waiting for 100 Continue */
    if (c->body.at) add_line(l, "Content-Type", ": ", SPAN("application/json"));
    if (c->accept) add_line(l, "Accept", ": ", span_of(c->accept));
    for (int i = 0; i < c->header_count; i++) add_line(l, c->headers[i].name, ": ", span_of(c->headers[i].value));
    if (c->secret_header && c->secret) add_line(l, c->secret_header, "", secret_reveal(c->secret));
}

static bool build_lines(struct transfer *t, const struct http_call *c)
{
    struct lines l = {0};
    add_lines(&l, c);
    size_t nodes = l.count * sizeof *l.nodes;
    t->lines_size = nodes + l.bytes;
    if (!(l.nodes = t->lines = malloc(t->lines_size))) return false;
    l.text = (char *)l.nodes + nodes;
    add_lines(&l, c);
    return true;
}

static void lines_free(struct transfer *t)
{
    if (t->lines) secret_wipe(t->lines, t->lines_size);
    free(t->lines);
}

static void transfer_close(struct upstream *u)
{
    struct transfer *t = (struct transfer *)u;
    struct handle *h = t->handle;
    if (h) {
        if (t->added) curl_multi_remove_handle(h->multi, h->easy);
        curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, NULL);
        curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, NULL);
        curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, NULL);
        /* A handle whose transfer did not end well holds no connection worth keeping. */
        if (t->clean) pool_give(t->pool, t->origin, h);
        else handle_free(h);
    }
    lines_free(t);
    buf_free(&t->up.headers);
    buf_free(&t->up.bytes);
    free(t);
}

static void note_result(struct transfer *t)
{
    t->done |= handle_result(t->handle, &t->result);
    if (!t->done || t->result == CURLE_OK) return;
    if (t->up.failure == FAILURE_NONE) t->up.failure = failure_of(t->result);
    const char *text = t->result == CURLE_ABORTED_BY_CALLBACK ? "closed its connection without an answer"
                     : *t->error ? t->error : curl_easy_strerror(t->result);
    snprintf(t->up.failure_text, sizeof t->up.failure_text, "%.159s", text);
}

/* What there is to tell before waiting any longer; false: nothing. */
static bool have_event(struct transfer *t, enum upstream_event *event)
{
    if (!t->head_told && (t->up.bytes.len || (t->done && t->result == CURLE_OK))) {
        long status = 0;
        curl_easy_getinfo(t->handle->easy, CURLINFO_RESPONSE_CODE, &status);
        t->up.status = (int)status;
        t->head_told = true;
        *event = UPSTREAM_HEAD;
        return true;
    }
    if (t->up.bytes.len) {
        *event = UPSTREAM_BYTES;
        return true;
    }
    if (t->done) {
        t->clean = t->result == CURLE_OK;
        *event = t->clean ? UPSTREAM_END : UPSTREAM_FAILED;
        return true;
    }
    return false;
}

static enum upstream_event transfer_wait(struct upstream *u, int client_fd, int64_t deadline)
{
    struct transfer *t = (struct transfer *)u;
    enum upstream_event event;
    for (;;) {
        if (have_event(t, &event)) return event;
        if (t->paused) {
            t->paused = false;
            curl_easy_pause(t->handle->easy, CURLPAUSE_CONT); /* may call take_body at once */
            if (have_event(t, &event)) return event;
        }
        int running;
        curl_multi_perform(t->handle->multi, &running);
        if (!running) note_result(t);
        if (have_event(t, &event)) return event;

        int64_t left = deadline - clock_mono_ms();
        if (left <= 0) return UPSTREAM_TIMEOUT;
        event = handle_wait(t->handle, client_fd, pool_stop_fd(t->pool), left);
        if (event != UPSTREAM_BYTES) return event;
    }
}

static int64_t sooner(int64_t a, int64_t b) { return a < b ? a : b; }

/* curl's own time-outs count too; and while it resolves, connects or sends, it waits for more than bytes to read. */
static int transfer_watch(struct upstream *u, struct pollfd *fds, int most, int64_t *until)
{
    struct transfer *t = (struct transfer *)u;
    int64_t now = clock_mono_ms();
    long timeout = -1;
    curl_off_t gone = 0;
    int n = 0;
    curl_multi_timeout(t->handle->multi, &timeout);
    curl_easy_getinfo(t->handle->easy, CURLINFO_SIZE_UPLOAD_T, &gone);
    if (timeout >= 0) *until = sooner(*until, now + timeout);
    if (!u->sent || gone < t->body_len) *until = sooner(*until, now + BLIND_MS);
    if (u->bytes.len || t->done || t->paused) *until = now;
    for (int i = 0; i < SOCKETS_A_HANDLE && n < most; i++)
        if (t->handle->sockets[i] >= 0) fds[n++] = (struct pollfd){.fd = t->handle->sockets[i], .events = POLLIN};
    return n;
}

static const struct upstream_ops http_ops = {transfer_wait, transfer_close, transfer_watch};

enum weir_err http_two_open(struct http_pool *p, const struct http_call *c, struct upstream **out)
{
    struct transfer *t = calloc(1, sizeof *t);
    if (!t) return WEIR_NOMEM;
    t->up.ops = &http_ops;
    t->pool = p;
    buf_init(&t->up.headers, BOUND_UPSTREAM_HEADERS);
    buf_init(&t->up.bytes, BOUND_PENDING + CURL_MAX_WRITE_SIZE);
    t->handle = pool_take(p, c->origin, false, &t->origin);
    if (!t->handle || !build_lines(t, c)) {
        transfer_close(&t->up);
        return WEIR_NOMEM;
    }
    CURL *e = t->handle->easy;
    curl_easy_setopt(e, CURLOPT_URL, c->url);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_request);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    /* Asks for no compression, yet decodes what comes compressed all the same. */
    curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "identity");
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->lines);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_ms);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, c->in_small_pieces ? (long)STREAM_BUFFER : (long)ANSWER_BUFFER);
    if (c->body.at) {
        t->body_len = (curl_off_t)c->body.len;
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->body.at);
    } else {
        curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    }
    t->added = curl_multi_add_handle(t->handle->multi, e) == CURLM_OK;
    if (!t->added) {
        transfer_close(&t->up);
        return WEIR_INTERNAL;
    }
    *out = &t->up;
    return WEIR_OK;
}
