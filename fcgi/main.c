/* The gateway responder: reads its start-up settings, opens what it needs, serves until told to stop. The only file that
 * ends the process. */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/fence.h"
#include "fcgi/base/log.h"
#include "fcgi/base/usable.h"
#include "fcgi/housekeeper.h"
#include "fcgi/keyring.h"
#include "fcgi/prober.h"
#include "fcgi/worker.h"

#define THREADS_MOST   16384
#define DRAIN_S_MOST   3600
#define CLOSE_MS       5000 /* for what is still to be written at the end */
/* bytes of free memory a heap keeps: taken anew, each page of a large body costs a fault */
#define LINGERING_HEAP (2 << 20)
#define LARGE_BLOCK    (1 << 20)  /* blocks from here on are the kernel's, and go back to it at once */

struct start { const char *data, *master, *mount; int threads_max; int64_t drain_ms; char *db_path, *master_path,
               *master_directory; };

/* ---- settings of the environment ---- */

static int64_t env_int(const char *name, int64_t standard, int64_t least, int64_t most)
{
    const char *text = getenv(name);
    char *end;
    if (!text || !*text) return standard;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (!errno && !*end && n >= least && n <= most) return n;
    log_event(LOG_WARN, "setting_ignored", LOG_TEXT("name", name), LOG_INT("least", least), LOG_INT("most", most),
              LOG_INT("used", standard));
    return standard;
}

static void open_log(void)
{
    const char *path = getenv("WEIR_LOG"), *name = getenv("WEIR_LOG_LEVEL");
    enum log_level level = LOG_INFO;
    bool known = !name || !*name || log_level_parse(name, &level);
    if (log_open(path && *path ? path : NULL, level) != WEIR_OK) {
        log_open(NULL, level);
        log_event(LOG_WARN, "setting_ignored", LOG_TEXT("name", "WEIR_LOG"), LOG_TEXT("reason", strerror(errno)));
    }
    if (!known) log_event(LOG_WARN, "setting_ignored", LOG_TEXT("name", "WEIR_LOG_LEVEL"),
                          LOG_TEXT("expected", "error, warn, info or debug"));
}

static bool read_settings(struct start *s)
{
    const char *data = getenv("WEIR_DATA"), *master = getenv("WEIR_MASTER_KEY_FILE"), *mount = getenv("WEIR_MOUNT");
    s->data = data && *data ? data : "var";
    s->mount = mount ? mount : "";
    s->threads_max = (int)env_int("WEIR_THREADS_MAX", 512, 1, THREADS_MOST);
    s->drain_ms = env_int("WEIR_DRAIN_S", 10, 0, DRAIN_S_MOST) * 1000;
    if (asprintf(&s->db_path, "%s/weir.db", s->data) < 0) return false;
    if (master && *master) s->master_path = strdup(master);
    else if (asprintf(&s->master_path, "%s/master.key", s->data) < 0) return false;
    if (!s->master_path || !(s->master_directory = strdup(s->master_path))) return false;
    char *slash = strrchr(s->master_directory, '/');
    if (slash) slash[slash == s->master_directory] = '\0';
    else snprintf(s->master_directory, 2, ".");
    return true;
}

/* What others set for `weir init`, and what was read by now, is not left where it can be read. */
static void wipe_environment(void)
{
    static const char *const names[] = {"JWT_SECRET", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY",
                                        "AZURE_OPENAI_API_KEY", "GEMINI_API_KEY", NULL};
    for (const char *const *name = names; *name; name++) secret_wipe_env(*name);
}

/* An HMAC verifier of the environment: claims under their usual names, no issuer or audience. What is wrong with it is in
 * the log, and no token is taken then. */
static bool read_verifier(struct verifier *v, struct secret **own)
{
    const char *secret = getenv("JWT_SECRET"), *name = getenv("JWT_ALGORITHM");
    if (!secret || !*secret) return false;
    *v = (struct verifier){.name = "JWT_SECRET", .method = JWT_HS256, .user = "sub", .team = "team", .role = "role",
                           .rolegroup = "rolegroup", .leeway_ms = LEEWAY_S_DEFAULT * 1000};
    while (name && *name && jwt_is_hmac(v->method) && strcmp(name, jwt_method_names[v->method]) != 0) v->method++;
    if (!jwt_is_hmac(v->method)) {
        log_event(LOG_ERROR, "setting_ignored", LOG_TEXT("name", "JWT_ALGORITHM"),
                  LOG_TEXT("expected", "HS256, HS384 or HS512"));
        return false;
    }
    if (strlen(secret) < jwt_hash_bytes(v->method))
        log_event(LOG_WARN, "secret_is_short", LOG_TEXT("name", "JWT_SECRET"), LOG_INT("least", jwt_hash_bytes(v->method)));
    v->secret = *own = secret_new(span_of(secret));
    return *own != NULL;
}

/* As many as there are descriptors for. */
static int threads_of(const struct start *s)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return s->threads_max;
    int64_t most = ((int64_t)files.rlim_cur - FILES_BESIDES) / FILES_A_REQUEST;
    if (most < 1) most = 1;
    if (most >= s->threads_max) return s->threads_max;
    log_event(LOG_WARN, "threads_bounded", LOG_TEXT("reason", "the limit of open files"), LOG_INT("files", files.rlim_cur),
              LOG_INT("threads", most));
    return (int)most;
}

/* ---- signals ---- */

static int stop_of_cgi = -1;

/* From the first moment on: a signal to stop waits until there is something to end in order. */
static sigset_t hold_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1); /* FastCGI's own signal to end gracefully */
    pthread_sigmask(how, &set, NULL);
    return set;
}

static void on_stop(int signal)
{
    uint64_t one = 1;
    (void)signal;
    if (write(stop_of_cgi, &one, sizeof one) < 0) return;
}

/* The web server ends a CGI program whose client has left. */
static void take_signals_as_cgi(int stop_fd)
{
    struct sigaction act = {.sa_handler = on_stop};
    stop_of_cgi = stop_fd;
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    hold_signals(SIG_UNBLOCK);
}

/* For this and all later threads: they come by descriptor, where they are waited for. */
static int take_signals(void)
{
    sigset_t set = hold_signals(SIG_BLOCK);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* ---- start ---- */

static void raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    /* Two heaps serve hundreds of threads that allocate little; one for each costs memory that is never given back. */
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_TRIM_THRESHOLD, LINGERING_HEAP);
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
}

/* Answers that are kept, and those on their way. Without them every request goes its own. */
static bool open_cache(const struct start *s, struct relay_tools *t)
{
    return cache_new(s->data, &t->cache) == WEIR_OK && flights_new(s->data, &t->flights) == WEIR_OK;
}

static void close_cache(struct relay_tools *t)
{
    flights_free(t->flights);
    cache_free(t->cache);
}

static void close_store(struct book *b, struct pulse *pulse, int wait_ms)
{
    pulse_flush(pulse, wait_ms);
    store_close(b->store, wait_ms);
    pulse_close(pulse);
    ledger_close(b->ledger);
    experience_free(b->experience);
    blocks_end(b->jobs);
}

static bool make_directory(const struct start *s)
{
    if (mkdir(s->data, 0700) == 0 || errno == EEXIST) return true;
    log_event(LOG_ERROR, "start_failed", LOG_TEXT("data", s->data), LOG_TEXT("reason", strerror(errno)));
    return false;
}

/* WEIR_FENCE=off leaves it away. A kernel without one is no reason not to serve, a fence that fails is. */
static bool raise_fence(const struct start *s)
{
    const char *wanted = getenv("WEIR_FENCE"), *files = getenv("SSL_CERT_FILE"), *directory = getenv("SSL_CERT_DIR");
    const char *const writable[] = {s->data, NULL};
    const char *const readable[] = {s->master_directory, files ? files : "", directory ? directory : "", NULL};
    if (wanted && strcmp(wanted, "off") == 0) return true;
    enum weir_err err = fence_raise(writable, readable);
    if (err == WEIR_UNAVAILABLE) log_event(LOG_INFO, "no_fence", LOG_TEXT("reason", "the kernel has no Landlock"));
    if (err != WEIR_IO) return true;
    log_event(LOG_ERROR, "start_failed", LOG_TEXT("reason", "the fence cannot be raised (WEIR_FENCE=off does without)"),
              LOG_TEXT("error", strerror(errno)));
    return false;
}

static void start_failed(const struct start *s, enum weir_err err)
{
    char reason[4300];
    usable_reason(s->data, usable_fault(err), reason, sizeof reason);
    log_event(LOG_ERROR, "start_failed", LOG_TEXT("data", s->data), LOG_TEXT("reason", reason));
}

static enum weir_err open_store(const struct start *s, struct book *b)
{
    enum weir_err err = db_migrate(s->db_path, NULL, NULL);
    if (err == WEIR_OK && (!(b->experience = experience_new()) || !(b->jobs = book_jobs()))) err = WEIR_NOMEM;
    if (err == WEIR_OK) err = ledger_open(s->data, &b->ledger);
    if (err == WEIR_OK && (err = store_open(s->data, s->master_path, &b->store)) != WEIR_OK) ledger_close(b->ledger);
    if (err == WEIR_NOT_FOUND)
        log_event(LOG_ERROR, "start_failed", LOG_TEXT("file", s->master_path),
                  LOG_TEXT("reason", "the master key is missing; `weir init` makes it"));
    else if (err == WEIR_INVALID)
        log_event(LOG_ERROR, "start_failed", LOG_TEXT("file", s->master_path),
                  LOG_TEXT("reason", "others may read the master key; chmod 600"));
    else if (err == WEIR_OTHER_KEY)
        log_event(LOG_ERROR, "start_failed", LOG_TEXT("file", s->master_path),
                  LOG_TEXT("reason", "this is not the master key that the database is sealed under"));
    else if (err != WEIR_OK)
        start_failed(s, err);
    return err;
}

static bool serve(const struct start *s, struct gateway *g, int stop_fd)
{
    if (g->tools.is_cgi) {
        take_signals_as_cgi(stop_fd);
        struct place *place = places_take(g->places, -1);
        if (place) pipeline_run(g, place);
        return true;
    }
    struct housekeeper *keeper;
    struct prober *prober;
    struct keyring *keyring;
    workers_prepare();
    int signal_fd = take_signals();
    if (housekeeper_start(&g->tools.book, g->tools.cache, g->tools.flights, &keeper) != WEIR_OK)
        log_event(LOG_ERROR, "no_housekeeper");
    if (prober_start(g->tools.book.store, g->tools.pulse, g->tools.pool, s->data, &prober) != WEIR_OK)
        log_event(LOG_ERROR, "no_prober");
    if (keyring_start(g->tools.book.store, g->tools.pool, &keyring) != WEIR_OK) log_event(LOG_ERROR, "no_keyring");
    bool whole = workers_run(g, threads_of(s), signal_fd, stop_fd, s->drain_ms);
    keyring_stop(keyring);
    prober_stop(prober);
    housekeeper_stop(keeper);
    return whole;
}

/* Threads are left that use everything: what they wait to have written is, and nothing is taken apart. */
static void leave(struct writer *w)
{
    int64_t until = clock_mono_ms() + CLOSE_MS;
    while ((writer_backlog(w) || writer_has_sent(w)) && clock_mono_ms() < until) {
        writer_overdue(w, clock_mono_ms());
        poll(NULL, 0, 10);
    }
    _exit(EXIT_SUCCESS);
}

/* Whatever fails is in the log; the web server only sees that there is no answer. */
static bool run(const struct start *s, bool is_cgi)
{
    int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct id_source ids;
    struct gateway g = {.tools = {.stop_fd = stop_fd, .is_cgi = is_cgi}, .ids = &ids, .mount = s->mount};
    ids_start(&ids);
    if (stop_fd < 0 || !make_directory(s) || !raise_fence(s) || open_store(s, &g.tools.book) != WEIR_OK) return false;
    if (pulse_open(g.tools.book.store, s->data, &g.tools.pulse) != WEIR_OK ||
        http_pool_new(stop_fd, &g.tools.pool) != WEIR_OK || !open_cache(s, &g.tools) ||
        places_new(is_cgi, &g.places) != WEIR_OK) {
        close_cache(&g.tools);
        close_store(&g.tools.book, g.tools.pulse, 0);
        return false;
    }
    struct secret *own_secret = NULL;
    struct verifier own;
    g.gate = (struct gate){.store = g.tools.book.store, .brake = is_cgi ? NULL : brake_new(),
                           .own = read_verifier(&own, &own_secret) ? &own : NULL};
    wipe_environment();
    log_event(LOG_INFO, "started", LOG_TEXT("version", WEIR_VERSION), LOG_TEXT("data", s->data), LOG_INT("pid", getpid()));
    bool whole = serve(s, &g, stop_fd);
    if (!whole) {
        log_event(LOG_ERROR, "requests_left_behind");
        leave(store_writer(g.tools.book.store));
    }
    close_store(&g.tools.book, g.tools.pulse, CLOSE_MS);
    places_free(g.places);
    close_cache(&g.tools);
    http_pool_free(g.tools.pool);
    brake_free(g.gate.brake);
    secret_free(own_secret);
    close(stop_fd);
    log_event(LOG_INFO, "stopped");
    return true;
}

int main(void)
{
    struct start s = {0};
    bool is_cgi = fastcgi_is_cgi(), fine = false;
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    hold_signals(SIG_BLOCK);
    open_log();
    raise_limits();
    db_start();
    if (secret_start() != WEIR_OK || http_start() != WEIR_OK)
        log_event(LOG_ERROR, "start_failed", LOG_TEXT("reason", "a library cannot start"));
    else if (!read_settings(&s))
        log_event(LOG_ERROR, "start_failed", LOG_TEXT("reason", "memory is out"));
    else
        fine = run(&s, is_cgi);
    free(s.db_path);
    free(s.master_path);
    free(s.master_directory);
    return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
