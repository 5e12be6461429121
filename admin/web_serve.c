/* Threads: few and fixed, for administrators are few and their requests short. Each has a connection to the database of
 * its own. */
#include "admin/web_serve.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"

#define THREADS 4
#define KICK_MS 5 /* between tries to wake accepting threads */
#define WAKE_SIGNAL SIGUSR2
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (1 << 20)
#else
#define STACK_BYTES (256 << 10)
#endif

struct server {
    const struct web *web;
    int wake_fd; /* tells that the socket is unusable */
    atomic_bool stopping;
    atomic_int alive;
    pthread_t threads[THREADS];
    int started;
};

static void on_wake(int signal) { (void)signal; }

static void wake_signal(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, WAKE_SIGNAL);
}

void web_serve_prepare(void)
{
    sigset_t set;
    struct sigaction act = {.sa_handler = on_wake}; /* no SA_RESTART: accept ends */
    sigaction(WAKE_SIGNAL, &act, NULL);
    wake_signal(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* ---- one thread ---- */

/* The signal is let through only here, so it interrupts nothing but accept. */
static enum weir_err wait_for_request(int *fd)
{
    sigset_t set;
    wake_signal(&set);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    enum weir_err err = fastcgi_accept(fd);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return err;
}

static void accept_all(struct server *s, struct conn *conn)
{
    int fd;
    struct db *db = NULL;
    uint64_t one = 1;
    while (!atomic_load(&s->stopping)) {
        enum weir_err err = wait_for_request(&fd);
        if (err == WEIR_OK) conn_open(conn, fd);
        if (err == WEIR_OK) web_run(s->web, &db, conn);
        if (err != WEIR_IO) continue;
        if (write(s->wake_fd, &one, sizeof one) < 0) log_event(LOG_ERROR, "wake_failed");
        break;
    }
    db_close(db);
}

static void *thread_main(void *arg)
{
    struct server *s = arg;
    struct conn *conn;
    if (conn_new(false, &conn) == WEIR_OK) {
        accept_all(s, conn);
        conn_free(conn);
    }
    atomic_fetch_sub(&s->alive, 1);
    return NULL;
}

/* ---- all of them ---- */

static void start_all(struct server *s)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0) return;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    while (s->started < THREADS) {
        atomic_fetch_add(&s->alive, 1);
        if (pthread_create(&s->threads[s->started], &attr, thread_main, s) != 0) {
            atomic_fetch_sub(&s->alive, 1);
            break;
        }
        s->started++;
    }
    pthread_attr_destroy(&attr);
}

/* Wakes those that wait, again and again, for a wake may fall between their look and their waiting. */
static bool stop_all(struct server *s, int64_t drain_ms)
{
    int64_t until = clock_mono_ms() + drain_ms;
    atomic_store(&s->stopping, true);
    log_event(LOG_INFO, "stopping");
    while (atomic_load(&s->alive) > 0) {
        if (clock_mono_ms() >= until) return false;
        for (int i = 0; i < s->started; i++) pthread_kill(s->threads[i], WAKE_SIGNAL);
        poll(NULL, 0, KICK_MS);
    }
    for (int i = 0; i < s->started; i++) pthread_join(s->threads[i], NULL);
    return true;
}

bool web_serve(const struct web *web, int signal_fd, int64_t drain_ms)
{
    struct server *s = calloc(1, sizeof *s); /* outlives this function if threads do */
    if (!s) return true;
    s->web = web;
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    start_all(s);
    struct pollfd p[2] = {{.fd = signal_fd, .events = POLLIN}, {.fd = s->wake_fd, .events = POLLIN}};
    while (s->started && !p[0].revents && !p[1].revents) poll(p, 2, -1);
    if (!s->started || p[1].revents) log_event(LOG_ERROR, s->started ? "socket_unusable" : "no_threads");
    if (!stop_all(s, drain_ms)) return false;
    close(s->wake_fd);
    free(s);
    return true;
}
