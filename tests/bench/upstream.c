/* The upstream the bench measures against: answers OpenAI-shaped chat requests as cheaply as one thread can.
 * The model name says how: "plain" (a completion of some 600 bytes), "big" (200 KB), "sse-N-MS" (N content events,
 * MS milliseconds apart, 0: all at once); "bench-" before it is ignored. Loopback only; ends by itself (--seconds, or with its
 * parent). Nothing of the gateway may be used here. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_MAX = 32 << 10,      /* a request's header lines, bytes */
    BODY_MAX = 64 << 20,      /* a request's body, bytes */
    IN_START = 8 << 10,       /* first input buffer of a connection, bytes */
    LOOK = 2 << 10,           /* members are looked for in this much of a body's start and end, bytes */
    BIG_CONTENT = 200 << 10,  /* content of the "big" answer, bytes */
    EVENT_ROOM = 512,         /* no event is longer, with its chunk framing */
    EVENTS_MAX = 20000,       /* N of sse-N-MS */
    INTERVAL_MAX_MS = 60000,
    BATCH = 256,              /* epoll events taken at once */
};

struct stream {
    int64_t due_ns, interval_ns; /* when the next content event goes out; monotonic */
    int left;                    /* content events to come */
    bool want_usage, chunked;
};

struct conn {
    int fd;
    bool busy, close_after;      /* an answer is under way; close when it is out */
    char *in;
    size_t in_len, in_cap;
    size_t need;                 /* head and body of the request being read, 0 while its head is incomplete */
    size_t head_len;
    bool keep, http10, expects;  /* what that head said */
    const char *out;             /* the rest of an answer the socket did not take */
    size_t out_len;
    char *out_own;               /* what out points into when it is not a fixed answer */
    struct stream stream;
    int heap_at;                 /* place among the waiting streams, -1 when not there */
};

struct answer { char *text; size_t len; };

struct server {
    int ep, listener;
    struct answer plain[2], big[2], unknown[2], bad[2]; /* [1] says "connection: close" */
    char *scratch;                                      /* where the events of one write are put together */
    struct conn **heap;                                 /* waiting streams, soonest first */
    int heap_len, heap_cap;
    uint64_t requests, connections, cut;                /* cut: connections lost while an answer was under way */
};

static volatile sig_atomic_t stop_asked;

static void on_stop(int sig)
{
    (void)sig;
    stop_asked = 1;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "upstream: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- streams waiting for their next event: a binary heap by due time ---- */

static void heap_put(struct server *s, int i, struct conn *c)
{
    s->heap[i] = c;
    c->heap_at = i;
}

static void heap_up(struct server *s, int i)
{
    struct conn *c = s->heap[i];
    for (; i > 0 && s->heap[(i - 1) / 2]->stream.due_ns > c->stream.due_ns; i = (i - 1) / 2)
        heap_put(s, i, s->heap[(i - 1) / 2]);
    heap_put(s, i, c);
}

static void heap_down(struct server *s, int i)
{
    struct conn *c = s->heap[i];
    for (int kid; (kid = 2 * i + 1) < s->heap_len; i = kid) {
        if (kid + 1 < s->heap_len && s->heap[kid + 1]->stream.due_ns < s->heap[kid]->stream.due_ns) kid++;
        if (s->heap[kid]->stream.due_ns >= c->stream.due_ns) break;
        heap_put(s, i, s->heap[kid]);
    }
    heap_put(s, i, c);
}

static void heap_add(struct server *s, struct conn *c)
{
    if (s->heap_len == s->heap_cap) {
        s->heap_cap = s->heap_cap ? 2 * s->heap_cap : 256;
        s->heap = realloc(s->heap, (size_t)s->heap_cap * sizeof(struct conn *));
        if (!s->heap) die("memory");
    }
    heap_put(s, s->heap_len, c);
    heap_up(s, s->heap_len++);
}

static void heap_remove(struct server *s, struct conn *c)
{
    int i = c->heap_at;
    if (i < 0) return;
    c->heap_at = -1;
    struct conn *last = s->heap[--s->heap_len];
    if (last == c) return;
    heap_put(s, i, last);
    heap_up(s, i);
    heap_down(s, last->heap_at);
}

/* ---- connections ---- */

static void conn_close(struct server *s, struct conn *c)
{
    if (c->busy) s->cut++;
    heap_remove(s, c);
    close(c->fd);
    free(c->out_own);
    free(c->in);
    free(c);
}

static void conn_watch(struct server *s, struct conn *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(s->ep, EPOLL_CTL_MOD, c->fd, &e) < 0) die("epoll_ctl");
}

/* The answer is out: ready for the next request. False when the connection was closed and freed. */
static bool conn_done(struct server *s, struct conn *c)
{
    c->busy = false;
    if (!c->close_after) return true;
    conn_close(s, c);
    return false;
}

/* Sends; what the socket does not take is kept and goes out when it can: fixed answers as they are, others as a
 * copy. False when the connection broke and was freed. */
static bool conn_send(struct server *s, struct conn *c, const char *text, size_t len, bool fixed)
{
    if (c->out_len == 0) {
        ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            conn_close(s, c);
            return false;
        }
        if (n > 0) { text += n; len -= (size_t)n; }
        if (len == 0) return true;
        conn_watch(s, c, EPOLLIN | EPOLLOUT);
    }
    if (fixed) {
        c->out = text;
    } else {
        char *rest = malloc(c->out_len + len);
        if (!rest) die("memory");
        if (c->out_len) memcpy(rest, c->out, c->out_len);
        memcpy(rest + c->out_len, text, len);
        free(c->out_own);
        c->out = c->out_own = rest;
    }
    c->out_len += len;
    return true;
}

/* ---- answers ---- */

static struct answer answer_make(const char *status, const char *body, size_t len, bool close)
{
    char head[256];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n%s\r\n",
                     status, len, close ? "connection: close\r\n" : "");
    struct answer a = {malloc((size_t)n + len), (size_t)n + len};
    if (!a.text) die("memory");
    memcpy(a.text, head, (size_t)n);
    memcpy(a.text + n, body, len);
    return a;
}

static void answer_pair(struct answer pair[2], const char *status, const char *body, size_t len)
{
    for (int i = 0; i < 2; i++) pair[i] = answer_make(status, body, len, i);
}

static void answer_completion(struct answer pair[2], const char *model, size_t content, int tokens)
{
    static const char prose[] = "The weir holds the river back and lets through what the mill below can use, no more. ";
    char *text = malloc(content + 1024);
    if (!text) die("memory");
    size_t n = (size_t)snprintf(text, 512,
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"%s\",\"choices\":[{\"index\":0,"
        "\"message\":{\"role\":\"assistant\",\"content\":\"", model);
    for (size_t i = 0; i < content; i++) text[n + i] = prose[i % (sizeof prose - 1)];
    n += content;
    n += (size_t)snprintf(text + n, 512,
        "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":%d,"
        "\"total_tokens\":%d,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0}},\"system_fingerprint\":\"fp_bench\"}",
        tokens, tokens + 20);
    answer_pair(pair, "200 OK", text, n);
    free(text);
}

static bool answer_send(struct server *s, struct conn *c, const struct answer pair[2])
{
    c->close_after = !c->keep;
    const struct answer *a = &pair[c->close_after];
    return conn_send(s, c, a->text, a->len, true) && (c->out_len > 0 || conn_done(s, c));
}

/* Writes one piece at `at`, as a chunk of its own when the answer is chunked; returns the end. */
static char *piece_add(char *at, bool chunked, const char *text, size_t len)
{
    if (chunked) at += snprintf(at, 20, "%zx\r\n", len);
    memcpy(at, text, len);
    at += len;
    if (chunked) { memcpy(at, "\r\n", 2); at += 2; }
    return at;
}

#define CHUNK_START "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"sse\","

/* The event carries when it was due ("@" and 20 digits of monotonic nanoseconds): the load tool measures the delay. */
static char *event_content(char *at, const struct stream *st)
{
    char text[EVENT_ROOM];
    int n = snprintf(text, sizeof text, CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@%020lld token\"},"
                     "\"logprobs\":null,\"finish_reason\":null}]}\n\n", (long long)st->due_ns);
    return piece_add(at, st->chunked, text, (size_t)n);
}

static char *event_end(char *at, const struct stream *st)
{
    static const char finish[] = CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n";
    static const char usage[] = CHUNK_START "\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":40,\"total_tokens\":60,"
                                            "\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n";
    static const char done[] = "data: [DONE]\n\n";
    at = piece_add(at, st->chunked, finish, sizeof finish - 1);
    if (st->want_usage) at = piece_add(at, st->chunked, usage, sizeof usage - 1);
    at = piece_add(at, st->chunked, done, sizeof done - 1);
    if (st->chunked) { memcpy(at, "0\r\n\r\n", 5); at += 5; }
    return at;
}

/* Sends every content event that is due, and the end with the last. `at` is where in the scratch to go on writing.
 * False when the connection was closed and freed. */
static bool stream_step(struct server *s, struct conn *c, char *at, int64_t now)
{
    struct stream *st = &c->stream;
    while (st->left > 0 && st->due_ns <= now) {
        at = event_content(at, st);
        st->left--;
        st->due_ns += st->interval_ns;
    }
    bool ended = st->left == 0;
    if (ended) at = event_end(at, st);
    if (!conn_send(s, c, s->scratch, (size_t)(at - s->scratch), false)) return false;
    if (ended) return c->out_len > 0 || conn_done(s, c);
    heap_add(s, c);
    return true;
}

/* The first write holds the head, the role event and the first content event, as a provider's first token does. */
static bool stream_start(struct server *s, struct conn *c, int events, int interval_ms, bool want_usage)
{
    static const char role[] = CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
                                           "\"logprobs\":null,\"finish_reason\":null}]}\n\n";
    int64_t now = now_ns();
    c->stream = (struct stream){.due_ns = now, .interval_ns = (int64_t)interval_ms * 1000000, .left = events,
                                .want_usage = want_usage, .chunked = !c->http10};
    c->close_after = !c->keep || c->http10;
    char *at = s->scratch + snprintf(s->scratch, EVENT_ROOM, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n%s%s\r\n",
                                    c->http10 ? "" : "transfer-encoding: chunked\r\n", c->close_after ? "connection: close\r\n" : "");
    at = piece_add(at, c->stream.chunked, role, sizeof role - 1);
    return stream_step(s, c, at, now);
}

/* ---- requests ---- */

/* Where the value of "name" starts in the body's first or last bytes; NULL when it is in neither. */
static const char *member_find(const char *body, size_t len, const char *name, const char **end)
{
    size_t name_len = strlen(name);
    const char *ends[2] = {body, len > 2 * LOOK ? body + len - LOOK : NULL};
    for (int i = 0; i < 2 && ends[i]; i++) {
        size_t span = ends[1] ? LOOK : len;
        const char *at = memmem(ends[i], span, name, name_len);
        if (!at) continue;
        *end = ends[i] + span;
        at += name_len;
        while (at < *end && (*at == ' ' || *at == ':')) at++;
        return at;
    }
    return NULL;
}

static bool member_true(const char *body, size_t len, const char *name)
{
    const char *end, *at = member_find(body, len, name, &end);
    return at && end - at >= 4 && memcmp(at, "true", 4) == 0;
}

/* Copies the model's name without "bench-" into out; "" when there is none of sensible size. */
static void member_model(const char *body, size_t len, char out[32])
{
    const char *end, *at = member_find(body, len, "\"model\"", &end);
    out[0] = 0;
    if (!at || at >= end || *at++ != '"') return;
    if (end - at > 6 && memcmp(at, "bench-", 6) == 0) at += 6;
    const char *quote = memchr(at, '"', (size_t)(end - at));
    if (!quote || quote - at > 31) return;
    memcpy(out, at, (size_t)(quote - at));
    out[quote - at] = 0;
}

static bool request_answer(struct server *s, struct conn *c)
{
    static const char path[] = "POST /v1/chat/completions ";
    char model[32];
    const char *body = c->in + c->head_len;
    size_t len = c->need - c->head_len;
    s->requests++;
    c->busy = true;
    if (c->head_len < sizeof path || memcmp(c->in, path, sizeof path - 1) != 0) return answer_send(s, c, s->unknown);
    member_model(body, len, model);
    if (strncmp(model, "sse-", 4) == 0 && member_true(body, len, "\"stream\"")) {
        char *rest;
        long events = strtol(model + 4, &rest, 10), interval = *rest == '-' ? strtol(rest + 1, &rest, 10) : -1;
        if (*rest || events < 1 || events > EVENTS_MAX || interval < 0 || interval > INTERVAL_MAX_MS) return answer_send(s, c, s->unknown);
        return stream_start(s, c, (int)events, (int)interval, member_true(body, len, "\"include_usage\""));
    }
    if (strcmp(model, "plain") == 0) return answer_send(s, c, s->plain);
    if (strcmp(model, "big") == 0) return answer_send(s, c, s->big);
    return answer_send(s, c, s->unknown);
}

/* Reads the head when it is whole. False: not a request we can serve. */
static bool request_head(struct conn *c)
{
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!end) return c->in_len < HEAD_MAX;
    size_t body = 0;
    char *line = memchr(c->in, '\n', c->in_len);
    c->http10 = line - c->in > 9 && memcmp(line - 9, "HTTP/1.0", 8) == 0;
    c->keep = !c->http10;
    c->expects = false;
    for (line++; line < end; line = (char *)memchr(line, '\n', (size_t)(end + 4 - line)) + 1) {
        if (strncasecmp(line, "content-length:", 15) == 0) body = strtoul(line + 15, NULL, 10);
        else if (strncasecmp(line, "transfer-encoding:", 18) == 0) return false;
        else if (strncasecmp(line, "connection: close", 17) == 0) c->keep = false;
        else if (strncasecmp(line, "expect: 100", 11) == 0) c->expects = true;
    }
    if (body > BODY_MAX) return false;
    c->head_len = (size_t)(end + 4 - c->in);
    c->need = c->head_len + body;
    return true;
}

static void room_make(struct conn *c)
{
    size_t want = c->need + 1 > c->in_cap ? c->need + 1 : c->in_len == c->in_cap ? 2 * c->in_cap : c->in_cap;
    if (want == c->in_cap) return;
    c->in = realloc(c->in, want);
    c->in_cap = want;
    if (!c->in) die("memory");
}

/* Serves every whole request the buffer holds, one answer at a time. */
static void conn_serve(struct server *s, struct conn *c)
{
    while (!c->busy && c->in_len > 0) {
        if (c->need == 0) {
            if (!request_head(c)) {
                c->keep = false;
                c->busy = true;
                answer_send(s, c, s->bad);
                return;
            }
            if (c->need == 0) return;
            if (c->expects && c->in_len < c->need && !conn_send(s, c, "HTTP/1.1 100 Continue\r\n\r\n", 25, false)) return;
        }
        if (c->in_len < c->need) return;
        size_t used = c->need;
        if (!request_answer(s, c)) return;
        c->in_len -= used;
        c->need = 0;
        if (c->in_len) memmove(c->in, c->in + used, c->in_len);
    }
}

static void conn_readable(struct server *s, struct conn *c)
{
    room_make(c);
    ssize_t n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0 || (c->busy && c->in_len > HEAD_MAX)) {
        conn_close(s, c);
        return;
    }
    c->in_len += (size_t)n;
    conn_serve(s, c);
}

/* False when the connection was freed or may have been. */
static bool conn_writable(struct server *s, struct conn *c)
{
    ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n < 0) {
        conn_close(s, c);
        return false;
    }
    c->out += n;
    c->out_len -= (size_t)n;
    if (c->out_len > 0) return true;
    free(c->out_own);
    c->out_own = NULL;
    conn_watch(s, c, EPOLLIN);
    if (c->stream.left > 0 || !c->busy) return true;
    if (!conn_done(s, c)) return false;
    conn_serve(s, c);
    return false;
}

static void server_accept(struct server *s)
{
    for (int i = 0; i < BATCH; i++) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        struct conn *c = calloc(1, sizeof *c);
        if (!c || !(c->in = malloc(IN_START))) die("memory");
        c->fd = fd;
        c->in_cap = IN_START;
        c->heap_at = -1;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(s->ep, EPOLL_CTL_ADD, fd, &e) < 0) die("epoll_ctl");
        s->connections++;
    }
}

/* ---- start and end ---- */

static int server_listen(struct server *s, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int one = 1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener < 0) die("socket");
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(s->listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(s->listener, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
    if (listen(s->listener, 4096) < 0) die("listen");
    if (getsockname(s->listener, (struct sockaddr *)&at, &len) < 0) die("getsockname");
    s->ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    if (s->ep < 0 || epoll_ctl(s->ep, EPOLL_CTL_ADD, s->listener, &e) < 0) die("epoll");
    return ntohs(at.sin_port);
}

static void server_init(struct server *s)
{
    static const char unknown[] = "{\"error\":{\"message\":\"the bench's upstream does not know this\",\"type\":\"invalid_request_error\","
                                  "\"param\":null,\"code\":\"not_found\"}}";
    answer_completion(s->plain, "plain", 200, 40);
    answer_completion(s->big, "big", BIG_CONTENT, 40000);
    answer_pair(s->unknown, "404 Not Found", unknown, sizeof unknown - 1);
    answer_pair(s->bad, "400 Bad Request", unknown, sizeof unknown - 1);
    s->scratch = malloc((size_t)(EVENTS_MAX + 8) * EVENT_ROOM);
    if (!s->scratch) die("memory");
}

static void server_run(struct server *s, int64_t end_ns)
{
    struct epoll_event got[BATCH];
    while (!stop_asked) {
        int64_t now = now_ns();
        while (s->heap_len > 0 && s->heap[0]->stream.due_ns <= now) {
            struct conn *c = s->heap[0];
            heap_remove(s, c);
            if (stream_step(s, c, s->scratch, now) && !c->busy) conn_serve(s, c);
        }
        if (now >= end_ns) return;
        int64_t until = s->heap_len > 0 && s->heap[0]->stream.due_ns < end_ns ? s->heap[0]->stream.due_ns : end_ns;
        struct timespec wait = {.tv_sec = (until - now) / 1000000000, .tv_nsec = (until - now) % 1000000000};
        int n = epoll_pwait2(s->ep, got, BATCH, &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct conn *c = got[i].data.ptr;
            if (!c) server_accept(s);
            else if ((got[i].events & EPOLLOUT) && !conn_writable(s, c)) continue;
            else if (got[i].events & ~(uint32_t)EPOLLOUT) conn_readable(s, c);
        }
    }
}

int main(int argc, char **argv)
{
    int port = 0;
    long seconds = 600;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) port = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) seconds = strtol(argv[++i], NULL, 10);
        else {
            fprintf(stderr, "usage: upstream [--port N] [--seconds N]   (prints \"port N\", at its end what it served)\n");
            return 2;
        }
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct sigaction stop = {.sa_handler = on_stop};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);

    struct server s = {0};
    server_init(&s);
    printf("port %d\n", server_listen(&s, port));
    fflush(stdout);
    server_run(&s, now_ns() + (int64_t)seconds * 1000000000);
    printf("{\"requests\":%llu,\"connections\":%llu,\"cut\":%llu}\n", (unsigned long long)s.requests,
           (unsigned long long)s.connections, (unsigned long long)s.cut);
    return 0;
}
