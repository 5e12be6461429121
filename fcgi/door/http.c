/* The libcurl door: one (multi, easy) pair per pooled entry, last in first out per upstream, driven by
 * curl_multi_poll with the client's descriptor beside curl's own, so a client that leaves is noticed at once. */
#include "fcgi/door/http.h"

#include <curl/curl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"

#define STREAM_BUFFER 2048L  /* of curl's, for what is read from the network; there may be thousands */
#define ANSWER_BUFFER 16384L
#define SOCKETS_A_HANDLE 4   /* an idle connection and a new one, which may try both kinds of IP */
#define BLIND_MS 10          /* until a request is out, what its call waits for is not only its sockets */

struct handle {
    struct handle *next; /* in the idle list */
    CURLM *multi;
    CURL *easy;
    curl_socket_t sockets[SOCKETS_A_HANDLE]; /* open ones, for who waits for several calls; -1: none */
};

struct origin {
    struct origin *next;
    struct handle *idle; /* newest first */
    int idle_count;
    char name[];
};

struct http_pool {
    pthread_mutex_t lock;              /* origins and their idle lists */
    struct origin *origins;
    CURLSH *share;                     /* DNS and TLS sessions; connections never (DESIGN.md) */
    pthread_mutex_t shared[CURL_LOCK_DATA_LAST];
    int stop_fd;
};

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

enum weir_err http_start(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? WEIR_OK : WEIR_INTERNAL;
}

static void share_lock(CURL *easy, curl_lock_data part, curl_lock_access access, void *arg)
{
    (void)easy, (void)access;
    pthread_mutex_lock(&((struct http_pool *)arg)->shared[part]);
}

static void share_unlock(CURL *easy, curl_lock_data part, void *arg)
{
    (void)easy;
    pthread_mutex_unlock(&((struct http_pool *)arg)->shared[part]);
}

enum weir_err http_pool_new(int stop_fd, struct http_pool **out)
{
    struct http_pool *p = calloc(1, sizeof *p);
    if (!p) return WEIR_NOMEM;
    p->share = curl_share_init();
    if (!p->share) {
        free(p);
        return WEIR_NOMEM;
    }
    p->stop_fd = stop_fd;
    pthread_mutex_init(&p->lock, NULL);
    for (int i = 0; i < CURL_LOCK_DATA_LAST; i++) pthread_mutex_init(&p->shared[i], NULL);
    curl_share_setopt(p->share, CURLSHOPT_LOCKFUNC, share_lock);
    curl_share_setopt(p->share, CURLSHOPT_UNLOCKFUNC, share_unlock);
    curl_share_setopt(p->share, CURLSHOPT_USERDATA, p);
    curl_share_setopt(p->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(p->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    *out = p;
    return WEIR_OK;
}

static void handle_free(struct handle *h)
{
    if (!h) return;
    if (h->easy) curl_easy_cleanup(h->easy);
    if (h->multi) curl_multi_cleanup(h->multi);
    free(h);
}

void http_pool_free(struct http_pool *p)
{
    if (!p) return;
    while (p->origins) {
        struct origin *o = p->origins;
        p->origins = o->next;
        while (o->idle) {
            struct handle *h = o->idle;
            o->idle = h->next;
            handle_free(h);
        }
        free(o);
    }
    curl_share_cleanup(p->share);
    for (int i = 0; i < CURL_LOCK_DATA_LAST; i++) pthread_mutex_destroy(&p->shared[i]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

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

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct handle *h = arg;
    curl_socket_t s = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    (void)purpose;
    for (int i = 0; s >= 0 && i < SOCKETS_A_HANDLE; i++)
        if (h->sockets[i] < 0) {
            h->sockets[i] = s;
            break;
        }
    return s;
}

static int close_socket(void *arg, curl_socket_t s)
{
    struct handle *h = arg;
    for (int i = 0; i < SOCKETS_A_HANDLE; i++)
        if (h->sockets[i] == s) h->sockets[i] = -1;
    return close(s);
}

/* Who vouches for certificates, where it is not the distribution's choice: OpenSSL's own variables, which libcurl does not
 * look at by itself. */
static void take_authorities(CURL *e)
{
    const char *file = getenv("SSL_CERT_FILE"), *directory = getenv("SSL_CERT_DIR");
    if (file && *file) curl_easy_setopt(e, CURLOPT_CAINFO, file);
    if (directory && *directory) curl_easy_setopt(e, CURLOPT_CAPATH, directory);
}

static struct handle *handle_new(struct http_pool *p)
{
    struct handle *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    for (int i = 0; i < SOCKETS_A_HANDLE; i++) h->sockets[i] = -1;
    h->multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (!h->multi || !h->easy) {
        handle_free(h);
        return NULL;
    }
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 1L);
    CURL *e = h->easy;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(e, CURLOPT_SHARE, p->share);
    curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    take_authorities(e);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_request);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, h);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, h);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    /* Asks for no compression, yet decodes what comes compressed all the same. */
    curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "identity");
    return h;
}

/* The newest idle handle of the call's upstream, or a new one. */
static struct handle *pool_take(struct http_pool *p, const char *name, struct origin **origin)
{
    struct handle *h = NULL;
    pthread_mutex_lock(&p->lock);
    struct origin *o = p->origins;
    while (o && strcmp(o->name, name) != 0) o = o->next;
    if (!o && (o = malloc(sizeof *o + strlen(name) + 1))) {
        memcpy(o->name, name, strlen(name) + 1);
        o->idle = NULL;
        o->idle_count = 0;
        o->next = p->origins;
        p->origins = o;
    }
    if (o && o->idle) {
        h = o->idle;
        o->idle = h->next;
        o->idle_count--;
    }
    pthread_mutex_unlock(&p->lock);
    *origin = o;
    return !o ? NULL : h ? h : handle_new(p);
}

static void pool_give(struct http_pool *p, struct origin *o, struct handle *h)
{
    pthread_mutex_lock(&p->lock);
    bool keep = o->idle_count < BOUND_IDLE_UPSTREAM;
    if (keep) {
        h->next = o->idle;
        o->idle = h;
        o->idle_count++;
    }
    pthread_mutex_unlock(&p->lock);
    if (!keep) handle_free(h);
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

static enum upstream_failure failure_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return FAILURE_RESOLVE;
    case CURLE_COULDNT_CONNECT: return FAILURE_CONNECT;
    case CURLE_OPERATION_TIMEDOUT: return FAILURE_CONNECT_TIMEOUT; /* the only curl time-out set */
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER: return FAILURE_TLS;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return FAILURE_OURS;
    default: return FAILURE_BROKEN;
    }
}

static void note_result(struct transfer *t)
{
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(t->handle->multi, &left)))
        if (m->msg == CURLMSG_DONE) {
            t->done = true;
            t->result = m->data.result;
        }
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

bool http_client_is_gone(int client_fd)
{
    struct pollfd p = {.fd = client_fd, .events = POLLIN | POLLRDHUP};
    /* The request was read to its end, so anything more is the web server's close, or its FCGI_ABORT_REQUEST. */
    return client_fd >= 0 && poll(&p, 1, 0) > 0;
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
        struct curl_waitfd extra[2];
        unsigned count = 0;
        if (client_fd >= 0) extra[count++] = (struct curl_waitfd){.fd = client_fd, .events = CURL_WAIT_POLLIN};
        if (t->pool->stop_fd >= 0) extra[count++] = (struct curl_waitfd){.fd = t->pool->stop_fd, .events = CURL_WAIT_POLLIN};
        curl_multi_poll(t->handle->multi, extra, count, left > 60000 ? 60000 : (int)left, NULL);
        for (unsigned i = 0; i < count; i++)
            if (extra[i].revents) return extra[i].fd == client_fd ? UPSTREAM_GONE : UPSTREAM_STOP;
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

enum weir_err http_open(struct http_pool *p, const struct http_call *c, struct upstream **out)
{
    struct transfer *t = calloc(1, sizeof *t);
    if (!t) return WEIR_NOMEM;
    t->up.ops = &http_ops;
    t->pool = p;
    buf_init(&t->up.headers, BOUND_UPSTREAM_HEADERS);
    buf_init(&t->up.bytes, BOUND_PENDING + CURL_MAX_WRITE_SIZE);
    t->handle = pool_take(p, c->origin, &t->origin);
    if (!t->handle || !build_lines(t, c)) {
        transfer_close(&t->up);
        return WEIR_NOMEM;
    }
    CURL *e = t->handle->easy;
    curl_easy_setopt(e, CURLOPT_URL, c->url);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->lines);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_ms);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, c->http2 ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, c->in_small_pieces ? STREAM_BUFFER : ANSWER_BUFFER);
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

struct span upstream_header(const struct upstream *u, const char *name)
{
    struct span rest = buf_all(&u->headers);
    while (rest.len) {
        const char *end = memchr(rest.at, '\n', rest.len);
        struct span line = {rest.at, end ? (size_t)(end - rest.at) : rest.len};
        const char *colon = memchr(line.at, ':', line.len);
        if (colon && span_is_nocase((struct span){line.at, (size_t)(colon - line.at)}, name))
            return span_trim((struct span){colon + 1, line.len - (size_t)(colon + 1 - line.at)});
        size_t step = line.len + (end != NULL);
        rest.at += step;
        rest.len -= step;
    }
    return SPAN_NONE;
}
