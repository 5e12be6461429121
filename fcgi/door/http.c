/* The libcurl door's common part: handles, pooled last in first out per upstream, one (multi, easy) pair each, and the
 * waiting with the client's descriptor beside curl's own, so a client that leaves is noticed at once. */
#include "fcgi/door/http_room.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"

#define SPARE_MS 10000 /* idle so long, a handle above BOUND_IDLE_UPSTREAM is not needed */

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
    bool is_proxied;                   /* requests without TLS go to a proxy perhaps */
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

/* To a proxy plain requests are written otherwise, and few proxies make a tunnel to other ports than 443. Whether one is in
 * the way, and what it is to be told, libcurl finds out. */
static bool may_be_proxied(void)
{
    static const char *const names[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    bool set = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        set |= value && *value;
    }
    return set;
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
    p->is_proxied = may_be_proxied();
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

int pool_stop_fd(const struct http_pool *p) { return p->stop_fd; }

/* ---- handles ---- */

void handle_free(struct handle *h)
{
    if (!h) return;
    if (h->easy) curl_easy_cleanup(h->easy);
    if (h->multi) curl_multi_cleanup(h->multi);
    free(h);
}

static void free_all(struct handle *h)
{
    while (h) {
        struct handle *next = h->next;
        handle_free(h);
        h = next;
    }
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

static struct handle *handle_new(struct http_pool *p, bool is_plain)
{
    struct handle *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    for (int i = 0; i < SOCKETS_A_HANDLE; i++) h->sockets[i] = -1;
    h->is_plain = is_plain;
    h->socket = CURL_SOCKET_BAD;
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
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    take_authorities(e);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, h);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, h);
    return h;
}

static CURLcode result_of(ssize_t moved, CURLcode failure, size_t *n)
{
    *n = moved > 0 ? (size_t)moved : 0;
    if (moved >= 0) return CURLE_OK;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? CURLE_AGAIN : failure;
}

CURLcode handle_send(const struct handle *h, struct span bytes, size_t *n)
{
    if (h->is_tls) return curl_easy_send(h->easy, bytes.at, bytes.len, n);
    return result_of(send(h->socket, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT), CURLE_SEND_ERROR, n);
}

CURLcode handle_recv(const struct handle *h, char *in, size_t size, size_t *n)
{
    if (h->is_tls) return curl_easy_recv(h->easy, in, size, n);
    return result_of(recv(h->socket, in, size, MSG_DONTWAIT), CURLE_RECV_ERROR, n);
}

/* ---- the pool ---- */

void http_pool_free(struct http_pool *p)
{
    if (!p) return;
    while (p->origins) {
        struct origin *o = p->origins;
        p->origins = o->next;
        free_all(o->idle);
        free(o);
    }
    curl_share_cleanup(p->share);
    for (int i = 0; i < CURL_LOCK_DATA_LAST; i++) pthread_mutex_destroy(&p->shared[i]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static struct handle *take_newest(struct origin *o)
{
    struct handle *h = o->idle;
    o->idle = h->next;
    o->idle_count--;
    return h;
}

/* A new handle takes the place of one that is spare elsewhere: after a burst on one upstream all its connections are idle,
 * and there are not descriptors for as many again to the next. */
static struct handle *take_place(const struct http_pool *p)
{
    struct origin *o = p->origins;
    while (o && o->idle_count <= BOUND_IDLE_UPSTREAM) o = o->next;
    return o ? take_newest(o) : NULL;
}

struct handle *pool_take(struct http_pool *p, const char *name, bool is_plain, struct origin **origin)
{
    struct handle *h = NULL, *spare = NULL;
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
    if (o && o->idle) h = take_newest(o);
    else spare = take_place(p);
    pthread_mutex_unlock(&p->lock);
    handle_free(spare);
    *origin = o;
    if (h && h->is_plain != is_plain) { /* from before the setting was changed */
        handle_free(h);
        h = NULL;
    }
    return !o ? NULL : h ? h : handle_new(p, is_plain);
}

void pool_give(struct http_pool *p, struct origin *o, struct handle *h)
{
    h->idle_since = clock_mono_ms();
    pthread_mutex_lock(&p->lock);
    h->next = o->idle;
    o->idle = h;
    o->idle_count++;
    pthread_mutex_unlock(&p->lock);
}

/* Takes away those that nobody needed lately: the older end of the list. */
static struct handle *take_spare(struct origin *o, int64_t before)
{
    struct handle **at = &o->idle;
    int kept = 0;
    while (*at && (kept < BOUND_IDLE_UPSTREAM || (*at)->idle_since >= before)) {
        at = &(*at)->next;
        kept++;
    }
    struct handle *spare = *at;
    *at = NULL;
    o->idle_count = kept;
    return spare;
}

void http_pool_tidy(struct http_pool *p)
{
    int64_t before = clock_mono_ms() - SPARE_MS;
    pthread_mutex_lock(&p->lock);
    for (struct origin *o = p->origins; o; o = o->next) {
        struct handle *spare = take_spare(o, before);
        pthread_mutex_unlock(&p->lock); /* an origin stays where it is as long as the pool */
        free_all(spare);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
}

/* ---- what both kinds of calls share ---- */

enum upstream_failure failure_of(CURLcode code)
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

bool handle_result(struct handle *h, CURLcode *result)
{
    bool done = false;
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(h->multi, &left)))
        if (m->msg == CURLMSG_DONE) {
            done = true;
            *result = m->data.result;
        }
    return done;
}

enum upstream_event handle_wait(struct handle *h, int client_fd, int stop_fd, int64_t left_ms)
{
    struct curl_waitfd extra[2];
    unsigned count = 0;
    if (client_fd >= 0) extra[count++] = (struct curl_waitfd){.fd = client_fd, .events = CURL_WAIT_POLLIN};
    if (stop_fd >= 0) extra[count++] = (struct curl_waitfd){.fd = stop_fd, .events = CURL_WAIT_POLLIN};
    curl_multi_poll(h->multi, extra, count, left_ms > 60000 ? 60000 : (int)left_ms, NULL);
    for (unsigned i = 0; i < count; i++)
        if (extra[i].revents) return extra[i].fd == client_fd ? UPSTREAM_GONE : UPSTREAM_STOP;
    return UPSTREAM_BYTES;
}

bool http_client_is_gone(int client_fd)
{
    struct pollfd p = {.fd = client_fd, .events = POLLIN | POLLRDHUP};
    /* The request was read to its end, so anything more is the web server's close, or its FCGI_ABORT_REQUEST. */
    return client_fd >= 0 && poll(&p, 1, 0) > 0;
}

enum weir_err http_open(struct http_pool *p, const struct http_call *c, struct upstream **out)
{
    bool proxied = p->is_proxied && strncasecmp(c->url, "http:", 5) == 0;
    return c->http2 || proxied ? http_two_open(p, c, out) : http_one_open(p, c, out);
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
