/* The bench's load: one thread, C keep-alive connections, each sending its next request when the last answer is whole;
 * with --rate R a request is due every 1/R second, whatever became of those before, and its time counts from then; or,
 * with --once, C requests spread over --ramp seconds and all open together. With --keys the lines of a file are the keys
 * of the requests in turn. Prints one line of JSON: requests,
 * errors by kind, latencies. Loopback addresses only; never runs longer than --max seconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "tests/bench/reply.h"

enum { CONNECTIONS_MAX = 16000, HEAD_MAX = 16 << 10, BATCH = 256, READ = 256 << 10 };

#define SECOND INT64_C(1000000000)

struct samples { int64_t *ns; size_t len, cap; };

struct message { char *at; size_t len; };

struct conn {
    int fd;                       /* -1: none */
    const struct message *message;
    bool busy, connecting, want_write, body_seen, finished, fresh;
    size_t sent;
    int64_t start_ns;             /* first byte of the request handed to the socket, or the connect begun for it */
    struct reply reply;
};

struct plan {
    struct sockaddr_in to;
    char path[512];
    char headers[HEAD_MAX];
    struct message *messages; size_t message_count; /* sent in turn */
    int connections;
    double rate;                  /* requests a second; 0: as fast as they are answered */
    uint64_t count;               /* stop after so many requests; 0: by time */
    double seconds, warmup, ramp, timeout, max;
    bool once;
    uint64_t events;              /* each answer must hold so many content events; 0: any */
};

struct load {
    struct plan plan;
    int ep;
    struct conn *conns;
    struct conn **idle; int idle_count; /* --rate: those that wait until a request is due */
    char *in;
    int64_t now, begin, counted_from, stop, end;
    uint64_t started, finished, counted, reconnects, bytes, events;
    uint64_t bad_status, broken, cut_short, timed_out;
    int first_bad_status, busy, open, open_peak;
    int64_t last_counted;
    struct samples latency, first_byte, delay;
};

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void usage(const char *why)
{
    fprintf(stderr, "load: %s\n"
        "usage: load --url http://127.0.0.1:PORT/PATH [--connections C] [--seconds S | --count N] [--warmup S]\n"
        "            [--body FILE | --model M [--stream] [--include-usage] [--prompt-bytes N]] [--header 'name: value']...\n"
        "            [--rate R] [--keys FILE] [--once [--ramp S] [--events N]] [--timeout S] [--max S]\n", why);
    exit(2);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

/* ---- what was measured ---- */

static void samples_add(struct samples *s, int64_t ns)
{
    if (s->len == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 65536;
        s->ns = realloc(s->ns, s->cap * sizeof *s->ns);
        if (!s->ns) die("memory");
    }
    s->ns[s->len++] = ns;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void samples_print(const char *name, struct samples *s)
{
    static const struct { const char *name; double at; } marks[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    if (s->len) qsort(s->ns, s->len, sizeof *s->ns, by_size);
    printf(",\"%s\":{", name);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t at = (size_t)(marks[i].at * (double)s->len);
        if (at >= s->len) at = s->len ? s->len - 1 : 0;
        printf("%s\"%s\":%.1f", i ? "," : "", marks[i].name, s->len ? (double)s->ns[at] / 1000 : 0.0);
    }
    printf("}");
}

static void report(struct load *l)
{
    double seconds = (double)(l->last_counted - l->counted_from) / SECOND;
    printf("{\"requests\":%llu,\"all_requests\":%llu,\"errors\":{\"status\":%llu,\"broken\":%llu,\"short\":%llu,\"timeout\":%llu},"
           "\"first_bad_status\":%d,\"seconds\":%.4f,\"per_second\":%.1f,\"bytes\":%llu,\"reconnects\":%llu,\"events\":%llu,\"open_peak\":%d",
           (unsigned long long)l->counted, (unsigned long long)l->finished, (unsigned long long)l->bad_status,
           (unsigned long long)l->broken, (unsigned long long)l->cut_short, (unsigned long long)l->timed_out, l->first_bad_status, seconds,
           seconds > 0 ? (double)l->counted / seconds : 0.0, (unsigned long long)l->bytes, (unsigned long long)l->reconnects,
           (unsigned long long)l->events, l->open_peak);
    samples_print("latency_us", &l->latency);
    samples_print("first_byte_us", &l->first_byte);
    samples_print("event_delay_us", &l->delay);
    printf("}\n");
}

/* ---- one connection ---- */

static void on_stamp(void *arg, int64_t due_ns)
{
    struct load *l = arg;
    samples_add(&l->delay, l->now - due_ns);
}

static void conn_close(struct conn *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->connecting = c->want_write = false;
}

static void conn_next(struct load *l, struct conn *c);

/* The request is over, well or not; the next one begins. */
static void conn_over(struct load *l, struct conn *c, uint64_t *error)
{
    l->busy--;
    l->finished++;
    if (c->body_seen) l->open--;
    c->busy = false;
    c->finished = l->plan.once;
    if (!error && c->reply.status != 200) {
        if (!l->first_bad_status) l->first_bad_status = c->reply.status;
        error = &l->bad_status;
    } else if (!error && (reply_short(&c->reply) || (l->plan.events && c->reply.events != l->plan.events))) {
        error = &l->cut_short;
    }
    if (error) (*error)++;
    l->bytes += c->reply.body_bytes;
    l->events += c->reply.events;
    bool in_time = l->now >= l->counted_from && (l->plan.once || l->plan.count || l->now <= l->stop);
    if (!error && in_time) {
        l->counted++;
        l->last_counted = l->now;
        samples_add(&l->latency, l->now - c->start_ns);
    }
    if (error || c->reply.close || l->plan.once) conn_close(c);
    conn_next(l, c);
}

static void conn_watch(struct load *l, struct conn *c, int op, bool write)
{
    struct epoll_event e = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(l->ep, op, c->fd, &e) < 0) die("epoll_ctl");
    c->want_write = write;
}

static void conn_write(struct load *l, struct conn *c)
{
    ssize_t n = send(c->fd, c->message->at + c->sent, c->message->len - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        conn_over(l, c, &l->broken);
        return;
    }
    if (n > 0) c->sent += (size_t)n;
    bool more = c->sent < c->message->len;
    if (more != c->want_write) conn_watch(l, c, EPOLL_CTL_MOD, more);
}

static bool conn_connect(struct load *l, struct conn *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&l->plan.to, sizeof l->plan.to) < 0 && errno != EINPROGRESS) return false;
    c->connecting = true;
    conn_watch(l, c, EPOLL_CTL_ADD, true);
    return true;
}

static int64_t next_due(const struct load *l) { return l->begin + (int64_t)((double)l->started * SECOND / l->plan.rate); }

/* Starts this connection's next request, if there is to be one. A failed connect is counted and not tried again. */
static void conn_next(struct load *l, struct conn *c)
{
    if (c->finished || l->now >= l->stop || (l->plan.count && l->started >= l->plan.count)) return;
    int64_t due = l->plan.rate > 0 ? next_due(l) : 0;
    if (due > l->now) {
        l->idle[l->idle_count++] = c;
        return;
    }
    c->message = &l->plan.messages[l->started % l->plan.message_count];
    l->started++;
    l->busy++;
    c->busy = true;
    c->body_seen = false;
    c->sent = 0;
    c->start_ns = due ? due : now_ns();
    reply_init(&c->reply, on_stamp, l);
    if (c->fd >= 0) {
        conn_write(l, c);
        return;
    }
    if (!c->fresh) l->reconnects++;
    c->fresh = false;
    if (conn_connect(l, c)) return;
    c->finished = true;
    conn_over(l, c, &l->broken);
}

static void conn_read(struct load *l, struct conn *c)
{
    ssize_t n = recv(c->fd, l->in, READ, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    l->now = now_ns();
    if (!c->busy) { /* an idle connection was closed, or spoke unasked */
        if (n > 0) l->broken++;
        conn_close(c);
        return;
    }
    enum reply_is is = n > 0 ? reply_feed(&c->reply, l->in, (size_t)n) : n == 0 ? reply_eof(&c->reply) : REPLY_BROKEN;
    if (!c->body_seen && c->reply.data_seen) {
        c->body_seen = true;
        if (++l->open > l->open_peak) l->open_peak = l->open;
        if (l->now >= l->counted_from && l->now <= l->stop) samples_add(&l->first_byte, l->now - c->start_ns);
    }
    if (is != REPLY_MORE) conn_over(l, c, is == REPLY_BROKEN ? &l->broken : NULL);
}

static void conn_event(struct load *l, struct conn *c, uint32_t events)
{
    if (c->fd < 0) return;
    if (c->connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        int err = 0;
        socklen_t len = sizeof err;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err) {
            conn_over(l, c, &l->broken);
            return;
        }
        c->connecting = false;
    }
    if ((events & EPOLLOUT) && c->busy) conn_write(l, c);
    else if (events & ~(uint32_t)EPOLLOUT) conn_read(l, c);
}

/* ---- the run ---- */

static void run_timeouts(struct load *l)
{
    for (int i = 0; i < l->plan.connections; i++) {
        struct conn *c = &l->conns[i];
        if (c->busy && l->now - c->start_ns > (int64_t)(l->plan.timeout * SECOND)) conn_over(l, c, &l->timed_out);
    }
}

static void start_due(struct load *l)
{
    while (l->idle_count && l->now < l->stop && next_due(l) <= l->now) conn_next(l, l->idle[--l->idle_count]);
}

static void run(struct load *l)
{
    struct epoll_event got[BATCH];
    int begun = 0;
    int64_t look = 0;
    l->now = l->begin = now_ns();
    l->counted_from = l->last_counted = l->begin + (int64_t)(l->plan.warmup * SECOND);
    l->end = l->begin + (int64_t)(l->plan.max * SECOND);
    l->stop = l->plan.count || l->plan.once ? l->end : l->counted_from + (int64_t)(l->plan.seconds * SECOND);
    while (l->now < l->end && (begun < l->plan.connections || l->busy > 0 || (l->idle_count && l->now < l->stop))) {
        int64_t begin_at = 0;
        for (; begun < l->plan.connections; begun++) {
            begin_at = l->begin + (int64_t)(l->plan.ramp * SECOND * begun / l->plan.connections);
            if (begin_at > l->now) break;
            conn_next(l, &l->conns[begun]);
        }
        int64_t wait = begun < l->plan.connections ? begin_at - l->now : SECOND / 5;
        start_due(l);
        if (l->idle_count && next_due(l) - l->now < wait) wait = next_due(l) - l->now;
        if (wait > l->end - l->now) wait = l->end - l->now;
        if (wait < 0) wait = 0;
        struct timespec ts = {.tv_nsec = wait < SECOND / 5 ? wait : SECOND / 5};
        int n = epoll_pwait2(l->ep, got, BATCH, &ts, NULL);
        l->now = now_ns();
        for (int i = 0; i < n; i++) conn_event(l, got[i].data.ptr, got[i].events);
        if (l->now < look) continue;
        look = l->now + SECOND / 5;
        run_timeouts(l);
    }
    for (int i = 0; i < l->plan.connections; i++)
        if (l->conns[i].busy) l->timed_out++;
}

/* ---- the request ---- */

static char *body_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f) die(path);
    char *text = malloc(64 << 20);
    if (!text) die("memory");
    *len = fread(text, 1, 64 << 20, f);
    fclose(f);
    return text;
}

/* What a chat application sends: a system message, the prompt, some parameters. */
static char *body_make(const char *model, bool stream, bool want_usage, size_t prompt, size_t *len)
{
    static const char prose[] = "Tell the miller how the weir holds back the river in spring, and what to do when it does not. ";
    char *text = malloc(prompt + 2048);
    if (!text) die("memory");
    size_t n = (size_t)snprintf(text, 1024,
        "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},{\"role\":\"user\",\"content\":\"", model);
    for (size_t i = 0; i < prompt; i++) text[n + i] = prose[i % (sizeof prose - 1)];
    n += prompt;
    n += (size_t)snprintf(text + n, 1024, "\"}],\"temperature\":0.7,\"max_tokens\":256%s%s}", stream ? ",\"stream\":true" : "",
                          want_usage ? ",\"stream_options\":{\"include_usage\":true}" : "");
    *len = n;
    return text;
}

static void request_make(struct plan *p, const char *host, const char *headers, const char *body, size_t len)
{
    size_t room = strlen(headers) + strlen(p->path) + len + 512;
    p->messages = realloc(p->messages, (p->message_count + 1) * sizeof *p->messages);
    struct message *m = p->messages ? &p->messages[p->message_count++] : NULL;
    if (!m || !(m->at = malloc(room))) die("memory");
    int n = snprintf(m->at, room, "POST %s HTTP/1.1\r\nhost: %s\r\nuser-agent: weir-bench\r\naccept: application/json\r\n"
                     "content-type: application/json\r\n%scontent-length: %zu\r\n\r\n", p->path, host, headers, len);
    memcpy(m->at + n, body, len);
    m->len = (size_t)n + len;
}

/* One request for each line of the file. */
static void requests_make(struct plan *p, const char *keys, const char *host, const char *body, size_t len)
{
    char key[512], headers[HEAD_MAX + 600];
    FILE *f = fopen(keys, "r");
    if (!f) die(keys);
    while (fscanf(f, "%511s", key) == 1) {
        snprintf(headers, sizeof headers, "%sauthorization: Bearer %s\r\n", p->headers, key);
        request_make(p, host, headers, body, len);
    }
    fclose(f);
    if (!p->message_count) usage("--keys: no key in it");
}

/* http://127.x.y.z:PORT/PATH; anything but loopback is refused. */
static void url_read(struct plan *p, const char *url, char host[64])
{
    char ip[32];
    int port = 0;
    if (sscanf(url, "http://%31[0-9.]:%d%511s", ip, &port, p->path) != 3 || p->path[0] != '/' || port < 1 || port > 65535)
        usage("--url must be http://127.0.0.1:PORT/PATH");
    p->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, ip, &p->to.sin_addr) != 1 || (ntohl(p->to.sin_addr.s_addr) >> 24) != 127) usage("loopback addresses only");
    snprintf(host, 64, "%s:%d", ip, port);
}

static void header_add(struct plan *p, const char *line)
{
    size_t used = strlen(p->headers);
    int n = snprintf(p->headers + used, sizeof p->headers - used, "%s\r\n", line);
    if (strpbrk(line, "\r\n") || (size_t)n >= sizeof p->headers - used) usage("--header: control characters, or too long");
}

static void plan_read(struct plan *p, int argc, char **argv)
{
    const char *url = NULL, *file = NULL, *model = NULL, *keys = NULL;
    bool stream = false, want_usage = false;
    size_t prompt = 200, len;
    char host[64];
    *p = (struct plan){.connections = 1, .timeout = 30};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--stream") == 0) { stream = true; continue; }
        if (strcmp(name, "--include-usage") == 0) { want_usage = true; continue; }
        if (strcmp(name, "--once") == 0) { p->once = true; continue; }
        if (++i >= argc) usage(name);
        const char *value = argv[i];
        if (strcmp(name, "--url") == 0) url = value;
        else if (strcmp(name, "--body") == 0) file = value;
        else if (strcmp(name, "--model") == 0) model = value;
        else if (strcmp(name, "--header") == 0) header_add(p, value);
        else if (strcmp(name, "--keys") == 0) keys = value;
        else if (strcmp(name, "--rate") == 0) p->rate = strtod(value, NULL);
        else if (strcmp(name, "--prompt-bytes") == 0) prompt = strtoul(value, NULL, 10);
        else if (strcmp(name, "--connections") == 0) p->connections = (int)strtol(value, NULL, 10);
        else if (strcmp(name, "--count") == 0) p->count = strtoul(value, NULL, 10);
        else if (strcmp(name, "--events") == 0) p->events = strtoul(value, NULL, 10);
        else if (strcmp(name, "--seconds") == 0) p->seconds = strtod(value, NULL);
        else if (strcmp(name, "--warmup") == 0) p->warmup = strtod(value, NULL);
        else if (strcmp(name, "--ramp") == 0) p->ramp = strtod(value, NULL);
        else if (strcmp(name, "--timeout") == 0) p->timeout = strtod(value, NULL);
        else if (strcmp(name, "--max") == 0) p->max = strtod(value, NULL);
        else usage(name);
    }
    if (!url || (!file && !model)) usage("--url and one of --body, --model are needed");
    if (p->connections < 1 || p->connections > CONNECTIONS_MAX || prompt > 32 << 20 || (model && strlen(model) > 512)) usage("out of range");
    if (!p->count && !p->once && p->seconds <= 0) p->seconds = 1;
    if (p->max <= 0) p->max = p->warmup + p->seconds + p->ramp + p->timeout;
    url_read(p, url, host);
    char *body = file ? body_file(file, &len) : body_make(model, stream, want_usage, prompt, &len);
    if (keys) requests_make(p, keys, host, body, len);
    else request_make(p, host, p->headers, body, len);
    free(body);
}

int main(int argc, char **argv)
{
    struct load l = {0};
    struct rlimit files;
    plan_read(&l.plan, argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    l.ep = epoll_create1(EPOLL_CLOEXEC);
    l.conns = calloc((size_t)l.plan.connections, sizeof *l.conns);
    l.idle = calloc((size_t)l.plan.connections, sizeof *l.idle);
    l.in = malloc(READ);
    if (l.ep < 0 || !l.conns || !l.idle || !l.in) die("memory");
    for (int i = 0; i < l.plan.connections; i++) {
        l.conns[i].fd = -1;
        l.conns[i].fresh = true;
    }
    run(&l);
    report(&l);
    return l.bad_status || l.broken || l.cut_short || l.timed_out;
}
