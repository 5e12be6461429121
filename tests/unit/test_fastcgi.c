/* The FastCGI door: how long a web server that says nothing may hold a thread. */
#include "fcgi/door/fastcgi.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/un.h>
#include <cmocka.h>

#include "fcgi/base/clock.h"

static struct timeval waiting(int fd, int which)
{
    struct timeval t = {0};
    socklen_t n = sizeof t;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, which, &t, &n), 0);
    return t;
}

static void a_silent_web_server_holds_a_thread_only_so_long(void **state)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct conn *c;
    char one;
    (void)state;
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "weir-unit-%d", (int)getpid());
    int listening = socket(AF_UNIX, SOCK_STREAM, 0), silent = socket(AF_UNIX, SOCK_STREAM, 0), kept = dup(FASTCGI_LISTEN_FD);
    assert_int_equal(bind(listening, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(dup2(listening, FASTCGI_LISTEN_FD), FASTCGI_LISTEN_FD);
    assert_int_equal(connect(silent, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(conn_new(false, &c), WEIR_OK);
    assert_int_equal(conn_accept(c), WEIR_OK);
    assert_int_equal(waiting(c->fcgi.ipcFd, SO_RCVTIMEO).tv_sec, BOUND_WEB_SERVER_S);
    assert_int_equal(waiting(c->fcgi.ipcFd, SO_SNDTIMEO).tv_sec, BOUND_WEB_SERVER_S);
    conn_hurry(c); /* the same with less patience: it is over then, and not before */
    int64_t begun = clock_mono_ms();
    assert_int_equal(recv(c->fcgi.ipcFd, &one, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_in_range(clock_mono_ms() - begun, 900, 30000);
    conn_free(c);
    dup2(kept, FASTCGI_LISTEN_FD);
    close(kept), close(listening), close(silent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_silent_web_server_holds_a_thread_only_so_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
