/* The FastCGI door: how long a web server that says nothing may hold a thread; that an answer waits for the request's end,
 * and comes out whole, whatever its parts. */
#include "fcgi/door/fastcgi.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/un.h>
#include <cmocka.h>

#include "fcgi/base/clock.h"

static void a_silent_web_server_holds_a_thread_only_so_long(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct conn *c;
    (void)state;
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "weir-unit-%d", (int)getpid());
    int listening = socket(AF_UNIX, SOCK_STREAM, 0), silent = socket(AF_UNIX, SOCK_STREAM, 0), kept = dup(FASTCGI_LISTEN_FD);
    assert_int_equal(bind(listening, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(dup2(listening, FASTCGI_LISTEN_FD), FASTCGI_LISTEN_FD);
    assert_int_equal(connect(silent, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(conn_new(false, &c), WEIR_OK);
    int fd;
    assert_int_equal(fastcgi_accept(&fd), WEIR_OK);
    conn_open(c, fd);
    assert_int_equal(c->until, 0); /* BOUND_WEB_SERVER_S */
    conn_hurry(c, 1000); /* the same with less patience: it is over then, and not before */
    int64_t begun = clock_mono_ms();
    assert_int_equal(conn_begin(c), WEIR_IO);
    assert_in_range(clock_mono_ms() - begun, 900, 30000);
    conn_free(c);
    dup2(kept, FASTCGI_LISTEN_FD);
    close(kept), close(listening), close(silent);
}

/* ---- an answer ---- */

#define BODY 30000

static void record(int fd, int type, const char *content, size_t n)
{
    const unsigned char head[8] = {1, (unsigned char)type, 0, 1, (unsigned char)(n >> 8), (unsigned char)n, 0, 0};
    assert_int_equal(write(fd, head, sizeof head), sizeof head);
    assert_int_equal(write(fd, content, n), n);
}

static struct conn *connection(int *web_server)
{
    static const char body[BODY];
    struct conn *c;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(conn_new(false, &c), WEIR_OK);
    c->fd = ends[0];
    c->open = true;
    *web_server = ends[1];
    record(ends[1], 1, "\0\1\0\0\0\0\0", 8);
    record(ends[1], 4, "\1\1NV", 4);
    record(ends[1], 4, "", 0);
    record(ends[1], 5, body, sizeof body);
    record(ends[1], 5, "", 0);
    return c;
}

/* The answer's bytes; its records must be whole, and the last its end. */
static size_t answered(int fd, char *to)
{
    unsigned char head[8], end[8];
    size_t len = 0;
    bool ended = false;
    for (;;) {
        assert_int_equal(recv(fd, head, sizeof head, MSG_WAITALL), sizeof head);
        size_t n = (size_t)(head[4] << 8 | head[5]);
        if (head[1] == 3) break;
        assert_int_equal(head[1], 6);
        assert_false(ended);
        ended = n == 0;
        if (ended) continue;
        assert_int_equal(recv(fd, to + len, n, MSG_WAITALL), n);
        len += n;
    }
    assert_int_equal(recv(fd, end, sizeof end, MSG_WAITALL), sizeof end);
    assert_int_equal(recv(fd, end, 1, 0), 0); /* and nothing was left unread on the other side, which would break it off */
    return len;
}

static void an_answer_waits_for_the_end_of_the_request(void **state)
{
    char got[100];
    int fd;
    (void)state;
    struct conn *c = connection(&fd);
    assert_int_equal(conn_begin(c), WEIR_OK);
    assert_string_equal(conn_environ(c)[0], "N=V");
    assert_int_equal(conn_write(c, SPAN("no")), WEIR_OK);
    assert_true(c->at_end);
    conn_free(c);
    assert_int_equal(answered(fd, got), 2);
    assert_memory_equal(got, "no", 2);
    close(fd);
}

/* Parts around the bounds of what is held, and beyond those of a record, flushed or not. */
static void an_answer_is_whole_whatever_its_parts(void **state)
{
    static const size_t sizes[] = {1, HOLDS - RECORDS_END - RECORD_HEAD - 1, 1, 1, HOLDS, 5, RECORD_MOST, 3, RECORD_MOST + 1, 0, 7};
    static char sent[2 * RECORD_MOST + 4 * HOLDS], got[sizeof sent], body[BODY + 1];
    (void)state;
    for (size_t i = 0; i < sizeof sent; i++) sent[i] = (char)(i * 31 + i / 251);
    for (int flushes = 0; flushes <= 1; flushes++) {
        size_t len = 0, n;
        int fd, room = 1 << 20;
        struct conn *c = connection(&fd);
        setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        assert_int_equal(conn_begin(c), WEIR_OK);
        assert_int_equal(conn_read(c, body, sizeof body, &n), WEIR_OK);
        assert_int_equal(n, BODY);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            assert_int_equal(conn_write(c, (struct span){sent + len, sizes[i]}), WEIR_OK);
            len += sizes[i];
            if (flushes) assert_int_equal(conn_flush(c), WEIR_OK);
        }
        conn_free(c);
        assert_int_equal(answered(fd, got), len);
        assert_memory_equal(got, sent, len);
        close(fd);
    }
}

static void *drip(void *web_server)
{
    while (write(*(int *)web_server, "x", 1) == 1) poll(NULL, 0, 20);
    return NULL;
}

/* However busy it is: a body that comes byte by byte must not keep the thread that has other duties. */
static void a_hurried_web_server_has_a_second_in_all(void **state)
{
    const unsigned char head[8] = {1, 5, 0, 1, 0xFF, 0xFF, 0, 0};
    pthread_t thread;
    int fd;
    (void)state;
    struct conn *c = connection(&fd);
    char got[100];
    while (recv(c->fd, got, sizeof got, MSG_DONTWAIT) > 0) continue;
    record(fd, 1, "\0\1\0\0\0\0\0", 8);
    record(fd, 4, "", 0);
    assert_int_equal(write(fd, head, sizeof head), sizeof head);
    conn_hurry(c, 1000);
    int64_t begun = clock_mono_ms();
    assert_int_equal(pthread_create(&thread, NULL, drip, &fd), 0);
    assert_int_equal(conn_begin(c), WEIR_OK);
    assert_int_equal(conn_write(c, SPAN("busy")), WEIR_OK);
    assert_in_range(clock_mono_ms() - begun, 900, 30000);
    assert_false(c->at_end);
    conn_free(c);
    pthread_join(thread, NULL);
    close(fd);
}

static void *write_as_cgi(void *conn)
{
    static const char much[200000];
    return conn_write(conn, (struct span){much, sizeof much}) == WEIR_OK ? conn : NULL;
}

/* Standard output is the web server's, also in whether it blocks. */
static void a_full_pipe_is_waited_for(void **state)
{
    static char got[65536];
    struct conn *c;
    pthread_t thread;
    void *fine;
    int ends[2], kept = dup(STDOUT_FILENO);
    size_t len = 0;
    ssize_t n;
    (void)state;
    fflush(stdout);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    assert_int_equal(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    close(ends[1]);
    assert_int_equal(conn_new(true, &c), WEIR_OK);
    c->at_end = true;
    assert_int_equal(pthread_create(&thread, NULL, write_as_cgi, c), 0);
    struct pollfd readable = {.fd = ends[0], .events = POLLIN};
    while (len < 200000 && poll(&readable, 1, 10000) > 0 && (n = read(ends[0], got, sizeof got)) > 0) len += (size_t)n;
    pthread_join(thread, &fine);
    dup2(kept, STDOUT_FILENO);
    close(kept), close(ends[0]);
    assert_ptr_equal(fine, c);
    assert_int_equal(len, 200000);
    conn_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_web_server_holds_a_thread_only_so_long),
        cmocka_unit_test(a_hurried_web_server_has_a_second_in_all),
        cmocka_unit_test(an_answer_waits_for_the_end_of_the_request),
        cmocka_unit_test(an_answer_is_whole_whatever_its_parts),
        cmocka_unit_test(a_full_pipe_is_waited_for),
    };
    signal(SIGPIPE, SIG_IGN); /* as main does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
