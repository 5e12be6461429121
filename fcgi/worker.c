/* Threads, one a request in flight (DESIGN.md, "Processes and threads"). Few runnable threads are faster than many: more
 * are started only when none is idle and the socket stays readable. The thread that starts them, the process's first,
 * answers 503 itself when there may be no more. */
#include "fcgi/worker.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/log.h"

#define THREADS_FIRST 4     /* started at once */
#define THREADS_KEPT  8     /* idle ones above this end, once they have not been needed for RETIRE_MS */
#define RETIRE_MS     5000
#define ROUND_MS      1000  /* between two looks for answers that wait for a database that does not write */
#define PATIENCE_MS   1     /* how long the socket stays readable before that counts */
#define HURRY_MS      1000  /* in all, for what is turned away */
#define KICK_MS       5     /* between tries to wake accepting threads */
#define LAST_MS       5000  /* for requests that were told to end */
#define WAKE_SIGNAL   SIGUSR2
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (1 << 20)
#else
#define STACK_BYTES (256 << 10)
#endif

struct workers;

struct worker {
    struct worker *next;
    struct workers *all;
    pthread_t thread;
};

struct workers {
    const struct gateway *g;
    int max, signal_fd;
    int wake_fd;            /* tells the manager that none is idle */
    atomic_int idle;
    atomic_int least_idle;  /* since the manager looked last: that many were never needed */
    atomic_int surplus;     /* so many may end */
    atomic_bool watched;    /* the manager looks at the socket itself */
    atomic_bool stopping, socket_is_bad;
    pthread_mutex_t lock;   /* the rest */
    struct worker *alive;
    int count;
};

static void on_wake(int signal) { (void)signal; }

void workers_prepare(void)
{
    sigset_t set;
    struct sigaction act = {.sa_handler = on_wake}; /* no SA_RESTART: accept ends */
    sigaction(WAKE_SIGNAL, &act, NULL);
    sigemptyset(&set);
    sigaddset(&set, WAKE_SIGNAL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* ---- one thread ---- */

static void tell_manager(struct workers *all)
{
    uint64_t one = 1;
    if (!atomic_load(&all->watched) && write(all->wake_fd, &one, sizeof one) < 0)
        log_event(LOG_ERROR, "wake_failed");
}

/* The signal is let through only here, so it interrupts nothing but accept. */
static enum weir_err wait_for_request(int *fd)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, WAKE_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    enum weir_err err = fastcgi_accept(fd);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return err;
}

static void no_longer_idle(struct workers *all)
{
    int left = atomic_fetch_sub(&all->idle, 1) - 1;
    if (left < atomic_load(&all->least_idle)) atomic_store(&all->least_idle, left);
    if (left == 0) tell_manager(all);
}

static bool is_surplus(struct workers *all)
{
    int n = atomic_load(&all->surplus);
    while (n > 0 && !atomic_compare_exchange_weak(&all->surplus, &n, n - 1)) continue;
    return n > 0;
}

/* False: the socket is unusable. */
static bool serve_one(struct workers *all)
{
    int fd;
    atomic_fetch_add(&all->idle, 1);
    enum weir_err err = wait_for_request(&fd);
    no_longer_idle(all);
    struct place *place = err == WEIR_OK ? places_take(all->g->places, fd) : NULL;
    if (place) pipeline_run(all->g, place);
    if (err != WEIR_IO) return true;
    atomic_store(&all->socket_is_bad, true);
    tell_manager(all);
    return false;
}

static void leave(struct worker *w)
{
    struct workers *all = w->all;
    pthread_mutex_lock(&all->lock);
    struct worker **at = &all->alive;
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    all->count--;
    pthread_mutex_unlock(&all->lock);
    free(w);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    while (!atomic_load(&w->all->stopping) && !is_surplus(w->all) && serve_one(w->all)) continue;
    leave(w);
    return NULL;
}

/* ---- the manager ---- */

static bool start_one(struct workers *all)
{
    pthread_attr_t attr;
    struct worker *w = calloc(1, sizeof *w);
    if (!w || pthread_attr_init(&attr) != 0) {
        free(w);
        return false;
    }
    w->all = all;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&all->lock);
    bool started = all->count < all->max && pthread_create(&w->thread, &attr, worker_main, w) == 0;
    if (started) {
        w->next = all->alive;
        all->alive = w;
        all->count++;
    }
    pthread_mutex_unlock(&all->lock);
    pthread_attr_destroy(&attr);
    if (!started) free(w);
    return started;
}

static struct writer *writer_of(const struct workers *all) { return store_writer(all->g->tools.book.store); }

static int count_of(struct workers *all)
{
    pthread_mutex_lock(&all->lock);
    int count = all->count;
    pthread_mutex_unlock(&all->lock);
    return count;
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

/* True: a signal has come. */
static bool wait_signal(struct workers *all, int other_fd, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = all->signal_fd, .events = POLLIN}, {.fd = other_fd, .events = POLLIN}};
    return poll(p, 2, timeout_ms) > 0 && p[0].revents;
}

static bool starved(struct workers *all)
{
    return atomic_load(&all->idle) == 0 && is_readable(FASTCGI_LISTEN_FD);
}

/* In a hurry: it must not keep this thread from its other duties. */
static void turn_away(struct workers *all)
{
    int fd;
    struct place *place = fastcgi_accept(&fd) == WEIR_OK ? places_take(all->g->places, fd) : NULL;
    if (!place) return;
    conn_hurry(place->conn, HURRY_MS);
    pipeline_overloaded(all->g, place);
}

/* None is idle: watches the socket until one is again. step: how many to start next. True: stop. */
static bool relieve(struct workers *all)
{
    int step = 1;
    bool stop = false;
    atomic_store(&all->watched, true);
    while (!stop && atomic_load(&all->idle) == 0 && !atomic_load(&all->socket_is_bad)) {
        stop = wait_signal(all, FASTCGI_LISTEN_FD, ROUND_MS) || wait_signal(all, -1, PATIENCE_MS);
        writer_overdue(writer_of(all), clock_mono_ms());
        if (stop || !starved(all)) continue;
        bool started = true;
        for (int i = 0; i < step && started; i++) started = start_one(all);
        if (started) step *= 2;
        else if (starved(all)) turn_away(all);
    }
    atomic_store(&all->watched, false);
    return stop;
}

/* Those that wait for a request wake, and end or wait again. */
static void wake_all(struct workers *all)
{
    pthread_mutex_lock(&all->lock);
    for (struct worker *w = all->alive; w; w = w->next) pthread_kill(w->thread, WAKE_SIGNAL);
    pthread_mutex_unlock(&all->lock);
}

/* Ends the threads above THREADS_KEPT that were idle all the time since it was asked last. */
static void retire(struct workers *all)
{
    int spare = atomic_exchange(&all->least_idle, INT_MAX) - THREADS_KEPT;
    if (spare <= 0 || spare > count_of(all) - THREADS_KEPT) return;
    atomic_store(&all->surplus, spare);
    wake_all(all);
}

static void manage(struct workers *all)
{
    uint64_t times;
    int64_t retire_at = clock_mono_ms() + RETIRE_MS;
    while (!atomic_load(&all->socket_is_bad)) {
        if (atomic_load(&all->idle) == 0) {
            if (relieve(all)) return;
            continue;
        }
        if (wait_signal(all, all->wake_fd, ROUND_MS)) return;
        while (read(all->wake_fd, &times, sizeof times) > 0) continue;
        writer_overdue(writer_of(all), clock_mono_ms());
        if (clock_mono_ms() < retire_at) continue;
        retire(all);
        retire_at = clock_mono_ms() + RETIRE_MS;
    }
    log_event(LOG_ERROR, "socket_unusable");
}

/* Wakes those that wait for a request, again and again, for a wake may fall between their look and their waiting. What waits
 * for its row without a thread is waited for too. */
static bool wait_for_end(struct workers *all, int64_t until)
{
    while (count_of(all) > 0 || writer_has_sent(writer_of(all))) {
        if (clock_mono_ms() >= until) return false;
        writer_overdue(writer_of(all), clock_mono_ms());
        wake_all(all);
        poll(NULL, 0, KICK_MS);
    }
    return true;
}

static bool stop_all(struct workers *all, int stop_fd, int64_t drain_ms)
{
    uint64_t one = 1;
    atomic_store(&all->stopping, true);
    log_event(LOG_INFO, "stopping", LOG_INT("threads", count_of(all)));
    if (wait_for_end(all, clock_mono_ms() + drain_ms)) return true;
    if (write(stop_fd, &one, sizeof one) < 0) log_event(LOG_ERROR, "stop_failed");
    wait_for_end(all, clock_mono_ms() + LAST_MS);
    writer_overdue(writer_of(all), INT64_MAX); /* nobody looks after those without a thread from here on */
    return count_of(all) == 0;
}

bool workers_run(const struct gateway *g, int threads_max, int signal_fd, int stop_fd, int64_t drain_ms)
{
    struct workers *all = calloc(1, sizeof *all); /* outlives this function if threads do */
    if (!all) return true;
    all->g = g;
    all->max = threads_max;
    all->signal_fd = signal_fd;
    all->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&all->lock, NULL);
    for (int i = 0; i < THREADS_FIRST; i++) start_one(all);
    manage(all);
    if (!stop_all(all, stop_fd, drain_ms)) return false;
    close(all->wake_fd);
    pthread_mutex_destroy(&all->lock);
    free(all);
    return true;
}
