/* Real calls over HTTP for `provider test` and `doctor`, and what came of them in plain words. What an upstream says in
 * its body is not shown: some repeat the key. */
#include "admin/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/jscan.h"
#include "fcgi/base/text.h"
#include "fcgi/door/http.h"

#define MOMENT_MS 2
#define LIST_MAX (4 << 20) /* bytes of a model list that are read */

/* How each dialect wants its key (WIRE.md 2, 3); the last line is for all others. */
static const struct { const char *dialect, *secret_header; struct http_header more; } shapes[] = {
    {"anthropic", "x-api-key: ", {"anthropic-version", "2023-06-01"}},
    {"azure", "api-key: ", {NULL, NULL}},
    {NULL, "Authorization: Bearer ", {NULL, NULL}},
};

/* An answer read to its end, or to what stopped it. */
struct answer {
    enum upstream_event end;
    int status;
    enum upstream_failure failure;
    char failure_text[160];
    struct buf body;
    int64_t date_ms;
};

static void say_to(char *text, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void say_to(char *text, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, size, fmt, ap);
    va_end(ap);
}

static int64_t date_parse(struct span s) /* RFC 9110 5.6.7, the form in use */
{
    char text[64];
    struct tm tm = {0};
    size_t n = s.len < sizeof text ? s.len : sizeof text - 1;

    memcpy(text, s.at ? s.at : "", n);
    text[n] = 0;
    if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm)) return 0;
    return (int64_t)timegm(&tm) * 1000;
}

static void answer_read(struct upstream *u, int64_t deadline, struct answer *a)
{
    for (;;) {
        a->end = u->ops->wait(u, -1, deadline);
        if (a->end == UPSTREAM_HEAD) {
            a->status = u->status;
            a->date_ms = date_parse(upstream_header(u, "date"));
        } else if (a->end == UPSTREAM_BYTES) {
            buf_span(&a->body, buf_all(&u->bytes)); /* past its ceiling the rest is let go */
            buf_clear(&u->bytes);
        } else {
            break;
        }
    }
    a->failure = u->failure;
    say_to(a->failure_text, sizeof a->failure_text, "%s", u->failure_text);
}

static bool provider_get(const struct provider_row *p, int64_t bound_ms, struct answer *a)
{
    struct http_header headers[1 + 64];
    struct http_call call = {
        .origin = p->base_url, .headers = headers, .connect_ms = bound_ms, .accept = "application/json"};
    struct http_pool *pool = NULL;
    struct upstream *u = NULL;
    char url[BOUND_PATH + 16];
    size_t shape = 0;

    while (shapes[shape].dialect && strcmp(shapes[shape].dialect, p->dialect) != 0) shape++;
    if (shapes[shape].more.name) headers[call.header_count++] = shapes[shape].more;
    for (int i = 0; i < p->header_count && i < 64; i++)
        headers[call.header_count++] = (struct http_header){p->headers[i].name, p->headers[i].value};
    say_to(url, sizeof url, "%s/models", p->base_url);
    call.url = url;
    if (p->key_count && p->keys[0].secret) {
        call.secret_header = shapes[shape].secret_header;
        call.secret = p->keys[0].secret;
    }
    if (p->connect_ms && p->connect_ms < bound_ms) call.connect_ms = p->connect_ms;
    if (http_start() || http_pool_new(-1, &pool)) return false;
    if (!http_open(pool, &call, &u)) {
        answer_read(u, clock_mono_ms() + bound_ms, a);
        u->ops->close(u);
    }
    http_pool_free(pool);
    return u != NULL;
}

static void tell_failure(const struct provider_row *p, const struct answer *a, struct call_result *out)
{
    static const char *const words[] = {
        [FAILURE_NONE] = "the call failed",
        [FAILURE_RESOLVE] = "the host's name does not resolve: is the address right, and does DNS work here?",
        [FAILURE_CONNECT] = "the connection is refused, or there is no way to it: does it run, is the port right?",
        [FAILURE_CONNECT_TIMEOUT] = "no connection within its time: is the address right, is there a firewall?",
        [FAILURE_TLS] = "TLS fails: its certificate is not trusted here, not for this name, or it does not speak https",
        [FAILURE_BROKEN] = "the connection broke, or what answered does not speak HTTP",
        [FAILURE_TOO_LONG] = "its headers are longer than Weir reads",
        [FAILURE_OURS] = "the call could not be made",
    };

    say_to(out->text, sizeof out->text, "%.100s: %s (%.100s)", p->base_url, words[a->failure], a->failure_text);
}

static void tell_status(const struct provider_row *p, const struct answer *a, struct call_result *out)
{
    bool keyed = p->key_count && p->keys[0].secret;
    struct jval root = {0};
    struct jfault fault;

    switch (a->status) {
    case 200:
        if (jscan_check(buf_all(&a->body), BOUND_JSON_DEPTH, &root, &fault) || root.kind != JSON_OBJECT) {
            say_to(out->text, sizeof out->text, "%.200s/models answers, but not with JSON: is base_url right?", p->base_url);
            return;
        }
        out->fine = true;
        say_to(out->text, sizeof out->text, "answers, and lists %zu models", jscan_count(jscan_find(root, "data")));
        return;
    case 401: case 403:
        say_to(out->text, sizeof out->text,
               keyed ? "answers %d: it refuses the key \"%s\"" : "answers %d: it wants a key, and none is stored%s",
               a->status, keyed ? p->keys[0].name : "");
        return;
    case 404:
        say_to(out->text, sizeof out->text, "%.200s/models answers 404: is base_url right? Most end in /v1", p->base_url);
        return;
    case 429:
        out->fine = true;
        say_to(out->text, sizeof out->text, "answers 429: it is there, but over a limit or out of credit");
        return;
    default:
        say_to(out->text, sizeof out->text,
               a->status >= 500 ? "answers %d: it is in trouble itself" : "answers %d, which is no list of models",
               a->status);
    }
}

void call_provider(const struct provider_row *p, int64_t bound_ms, struct call_result *out)
{
    struct answer a = {.end = UPSTREAM_FAILED};

    *out = (struct call_result){0};
    if (strcmp(p->dialect, "mock") == 0) {
        out->fine = true;
        say_to(out->text, sizeof out->text, "is built in: there is nobody to call");
        return;
    }
    buf_init(&a.body, LIST_MAX);
    if (!provider_get(p, bound_ms, &a))
        say_to(out->text, sizeof out->text, "the call could not be made: out of memory, or a bad address");
    else if (a.end == UPSTREAM_TIMEOUT)
        say_to(out->text, sizeof out->text, "%.200s: no whole answer within %lld ms", p->base_url, (long long)bound_ms);
    else if (a.end != UPSTREAM_END) tell_failure(p, &a, out);
    else tell_status(p, &a, out);
    out->date_ms = a.date_ms;
    buf_free(&a.body);
}

/* ---- streams ---- */

static void stream_read(struct upstream *u, int64_t start, int64_t deadline, struct stream_result *out)
{
    enum upstream_event event;
    int64_t last = 0;
    bool line_start = true;

    while ((event = u->ops->wait(u, -1, deadline)) == UPSTREAM_HEAD || event == UPSTREAM_BYTES) {
        int64_t now = clock_mono_ms();
        struct span bytes = buf_all(&u->bytes);

        out->status = u->status;
        if (event == UPSTREAM_HEAD) continue;
        if (!out->moments) out->first_ms = now - start;
        if (!out->moments || now - last >= MOMENT_MS) out->moments++;
        last = now;
        for (size_t i = 0; i < bytes.len; i++) {
            if (line_start && bytes.at[i] == 'd') out->events++;
            line_start = bytes.at[i] == '\n';
        }
        buf_clear(&u->bytes);
    }
    out->all_ms = clock_mono_ms() - start;
    if (event == UPSTREAM_FAILED) say_to(out->text, sizeof out->text, "%s", u->failure_text);
    if (event == UPSTREAM_TIMEOUT) say_to(out->text, sizeof out->text, "no end within %lld ms", (long long)out->all_ms);
}

void call_stream(const char *url, const struct secret *key, const char *model, int64_t bound_ms, struct stream_result *out)
{
    char whole[BOUND_PATH + 32];
    struct http_call call = {.origin = url,
                             .url = whole,
                             .accept = "text/event-stream",
                             .secret_header = "Authorization: Bearer ",
                             .secret = key,
                             .connect_ms = CALL_DOCTOR_MS};
    struct http_pool *pool = NULL;
    struct upstream *u = NULL;
    struct buf body;
    int64_t start = clock_mono_ms();

    *out = (struct stream_result){0};
    buf_init(&body, 4096);
    buf_str(&body, "{\"model\":");
    json_string(&body, span_of(model));
    buf_str(&body, ",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Count to twenty.\"}]}");
    say_to(whole, sizeof whole, "%s/v1/chat/completions", url);
    call.body = buf_all(&body);
    if (!body.err && !http_start() && !http_pool_new(-1, &pool) && !http_open(pool, &call, &u)) {
        stream_read(u, start, start + bound_ms, out);
        u->ops->close(u);
    } else {
        say_to(out->text, sizeof out->text, "the call could not be made");
    }
    if (pool) http_pool_free(pool);
    buf_free(&body);
}
