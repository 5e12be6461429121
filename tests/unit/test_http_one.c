/* Calls over HTTP/1.1 whose upstream sends without end what tells nothing, and those that a proxy is to carry. Against a
 * listener of our own; all else is the flow tests'. */
#include "fcgi/door/http_one.c"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define SHORT_MS 300
#define LONG_MS 20000

/* Reads one request's head, says `first`, and then `again` for ever. */
struct listener {
    int fd, port;
    pthread_t thread;
    struct span first, again;
    char asked[1024];
};

static bool say(int fd, struct span s) { return send(fd, s.at, s.len, MSG_NOSIGNAL) == (ssize_t)s.len; }

static void *listener_main(void *arg)
{
    struct listener *l = arg;
    size_t n = 0;
    int fd = accept(l->fd, NULL, NULL);
    for (ssize_t got = 1; got > 0 && !strstr(l->asked, "\r\n\r\n"); n += got > 0 ? (size_t)got : 0)
        got = read(fd, l->asked + n, sizeof l->asked - 1 - n);
    if (say(fd, l->first))
        while (l->again.len && say(fd, l->again)) continue;
    close(fd);
    return NULL;
}

static void listen_for(struct listener *l, struct span first, struct span again)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof to;
    *l = (struct listener){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .first = first, .again = again};
    assert_int_equal(bind(l->fd, (struct sockaddr *)&to, len), 0);
    assert_int_equal(listen(l->fd, 1), 0);
    assert_int_equal(getsockname(l->fd, (struct sockaddr *)&to, &len), 0);
    l->port = ntohs(to.sin_port);
    assert_int_equal(pthread_create(&l->thread, NULL, listener_main, l), 0);
}

static void hush(struct listener *l)
{
    pthread_join(l->thread, NULL);
    close(l->fd);
}

static struct http_pool *new_pool(void)
{
    struct http_pool *p;
    assert_int_equal(http_start(), WEIR_OK);
    assert_int_equal(http_pool_new(-1, &p), WEIR_OK);
    return p;
}

static struct upstream *ask(struct http_pool *p, const char *url)
{
    struct upstream *u;
    const struct http_call call = {.origin = url, .url = url, .body = SPAN_NONE, .connect_ms = LONG_MS};
    assert_int_equal(http_open(p, &call, &u), WEIR_OK);
    return u;
}

static struct upstream *ask_listener(struct http_pool *p, const struct listener *l)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", l->port);
    return ask(p, url);
}

/* Compressed to the end of the connection, and nothing but empty blocks (RFC 1951 3.2.7), each with a table of codes to be
 * made: a few bytes are long in the reading, so that there are always more. */
#define GZIP_HEAD "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff"
#define BLOCK_BITS 90
static unsigned char empty_blocks[BLOCK_BITS * 256];

static void put_bits(size_t *at, unsigned value, int bits)
{
    for (int i = 0; i < bits; i++, ++*at) empty_blocks[*at / 8] |= (unsigned char)((value >> i & 1) << *at % 8);
}

static int make_blocks(void **state)
{
    (void)state;
    size_t at = 0;
    memset(empty_blocks, 0, sizeof empty_blocks);
    while (at < sizeof empty_blocks * 8) {
        put_bits(&at, 2 << 1, 3);       /* not the last; codes of its own: */
        put_bits(&at, 0, 10);           /* 257 of literals, 1 of distances */
        put_bits(&at, 14, 4);           /* told by 18 lengths, of which 18's and 1's are 1 */
        for (int i = 0; i < 18; i++) put_bits(&at, i == 2 || i == 17, 3);
        put_bits(&at, 1 | 127 << 1, 8); /* 138 and 118 times none, then one bit for the end and for a distance */
        put_bits(&at, 1 | 107 << 1, 8);
        put_bits(&at, 0, 2);
        put_bits(&at, 0, 1);            /* the end */
    }
    return 0;
}

#define EMPTY_BLOCKS ((struct span){(char *)empty_blocks, sizeof empty_blocks})

static void what_tells_nothing_ends_with_the_deadline(void **state)
{
    (void)state;
    struct listener l;
    struct http_pool *p = new_pool();
    listen_for(&l, SPAN(GZIP_HEAD), EMPTY_BLOCKS);
    struct upstream *u = ask_listener(p, &l);
    int64_t begun = clock_mono_ms();
    assert_int_equal(u->ops->wait(u, -1, begun + SHORT_MS), UPSTREAM_TIMEOUT);
    assert_true(clock_mono_ms() - begun >= SHORT_MS);
    assert_int_equal(u->ops->wait(u, -1, begun), UPSTREAM_TIMEOUT); /* nor does it once more */
    u->ops->close(u);
    hush(&l);
    http_pool_free(p);
}

static void a_client_that_goes_meanwhile_is_noticed(void **state)
{
    (void)state;
    int client[2];
    struct listener l;
    struct http_pool *p = new_pool();
    assert_int_equal(pipe(client), 0);
    listen_for(&l, SPAN(GZIP_HEAD), EMPTY_BLOCKS);
    struct upstream *u = ask_listener(p, &l);
    assert_int_equal(u->ops->wait(u, client[0], clock_mono_ms() + SHORT_MS), UPSTREAM_TIMEOUT); /* it has begun */
    close(client[1]);
    assert_int_equal(u->ops->wait(u, client[0], clock_mono_ms() + LONG_MS), UPSTREAM_GONE);
    u->ops->close(u);
    hush(&l);
    close(client[0]);
    http_pool_free(p);
}

static void interim_answers_and_trailers_have_an_end(void **state)
{
    (void)state;
    static const struct { struct span first, again; } floods[] = {
        {SPAN("HTTP/1.1 100 Continue\r\n\r\n"), SPAN("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")},
        {SPAN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), SPAN("a: b\r\n")}};
    for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
        struct listener l;
        struct http_pool *p = new_pool();
        listen_for(&l, floods[i].first, floods[i].again);
        struct upstream *u = ask_listener(p, &l);
        assert_int_equal(u->ops->wait(u, -1, clock_mono_ms() + LONG_MS), UPSTREAM_FAILED);
        assert_int_equal(u->failure, FAILURE_TOO_LONG);
        u->ops->close(u);
        hush(&l);
        http_pool_free(p);
    }
}

/* A proxy that makes tunnels to https alone carries what is plain as well. */
static void a_proxy_carries_plain_requests_without_a_tunnel(void **state)
{
    (void)state;
    char proxy[64];
    struct listener l;
    listen_for(&l, SPAN("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"), SPAN_NONE);
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", l.port);
    setenv("http_proxy", proxy, 1);
    struct http_pool *p = new_pool();
    struct upstream *u = ask(p, "http://upstream.example/x");
    assert_int_equal(u->ops->wait(u, -1, clock_mono_ms() + LONG_MS), UPSTREAM_HEAD);
    assert_int_equal(u->status, 200);
    u->ops->close(u);
    hush(&l);
    assert_true(span_starts(span_of(l.asked), "GET http://upstream.example/x HTTP/1.1\r\n"));
    unsetenv("http_proxy");
    http_pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_tells_nothing_ends_with_the_deadline, make_blocks),
        cmocka_unit_test_setup(a_client_that_goes_meanwhile_is_noticed, make_blocks),
        cmocka_unit_test(interim_answers_and_trailers_have_an_end),
        cmocka_unit_test(a_proxy_carries_plain_requests_without_a_tunnel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
