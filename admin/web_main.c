/* The administrators' responder: reads its start-up settings, opens what it needs, serves until told to stop. A process,
 * socket and database list of its own: what may change configuration is not in weir.fcgi. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/web_fold.h"
#include "admin/web_serve.h"
#include "fcgi/base/fence.h"
#include "fcgi/base/log.h"
#include "fcgi/base/usable.h"
#include "fcgi/door/http.h"
#include "sql/vault.h"

#define BUSY_MS 5000
#define DRAIN_S 10
#define DRAIN_S_MOST 3600

struct start { const char *data, *mount; char *db_path, *master_path; int64_t drain_ms; };

/* ---- settings of the environment ---- */

static const char *env_or(const char *name, const char *standard)
{
    const char *text = getenv(name);
    return text && *text ? text : standard;
}

static int64_t drain_s(void)
{
    const char *text = env_or("WEIR_DRAIN_S", NULL);
    char *end;
    if (!text) return DRAIN_S;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (!errno && !*end && n >= 0 && n <= DRAIN_S_MOST) return n;
    log_event(LOG_WARN, "setting_ignored", LOG_TEXT("name", "WEIR_DRAIN_S"), LOG_INT("used", DRAIN_S));
    return DRAIN_S;
}

static void open_log(void)
{
    const char *path = env_or("WEIR_LOG", NULL), *name = env_or("WEIR_LOG_LEVEL", NULL);
    enum log_level level = LOG_INFO;
    bool known = !name || log_level_parse(name, &level);
    if (log_open(path, level) != WEIR_OK) {
        log_open(NULL, level);
        log_event(LOG_WARN, "setting_ignored", LOG_TEXT("name", "WEIR_LOG"), LOG_TEXT("reason", strerror(errno)));
    }
    if (!known) log_event(LOG_WARN, "setting_ignored", LOG_TEXT("name", "WEIR_LOG_LEVEL"));
}

static bool read_settings(struct start *s)
{
    const char *master = env_or("WEIR_MASTER_KEY_FILE", NULL);
    s->data = env_or("WEIR_DATA", "var");
    s->mount = env_or("WEIR_MOUNT", "");
    s->drain_ms = drain_s() * 1000;
    if (asprintf(&s->db_path, "%s/weir.db", s->data) < 0) return false;
    if (master) s->master_path = strdup(master);
    else if (asprintf(&s->master_path, "%s/master.key", s->data) < 0) return false;
    return s->master_path != NULL;
}

/* ---- start ---- */

/* For this and all later threads: they come by descriptor, where they are waited for. */
static int take_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1); /* FastCGI's own signal to end gracefully */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static bool failed(const char *file, const char *reason)
{
    log_event(LOG_ERROR, "start_failed", LOG_TEXT("program", "weir-admin"), LOG_TEXT("file", file),
              LOG_TEXT("reason", reason));
    return false;
}

/* WEIR_FENCE=off leaves it away. A kernel without one is no reason not to serve, a fence that fails is. */
static bool raise_fence(const struct start *s)
{
    char *directory = strdup(s->master_path), *slash = directory ? strrchr(directory, '/') : NULL;
    if (slash) slash[slash == directory] = '\0';
    const char *const writable[] = {s->data, NULL};
    const char *const readable[] = {slash ? directory : ".", env_or("SSL_CERT_FILE", ""), env_or("SSL_CERT_DIR", ""), NULL};
    enum weir_err err = WEIR_OK;
    if (!directory) err = WEIR_NOMEM;
    else if (strcmp(env_or("WEIR_FENCE", "on"), "off") != 0) err = fence_raise(writable, readable);
    free(directory);
    if (err == WEIR_UNAVAILABLE) log_event(LOG_INFO, "no_fence", LOG_TEXT("reason", "the kernel has no Landlock"));
    return err == WEIR_OK || err == WEIR_UNAVAILABLE ||
           failed(s->data, "the fence cannot be raised (WEIR_FENCE=off does without)");
}

static bool open_master(const struct start *s, struct master_key **master)
{
    struct db *db;
    enum weir_err err = db_open(s->db_path, DB_WRITE, BUSY_MS, &sql_admin, &db);
    if (err != WEIR_OK) return failed(s->db_path, weir_err_info(err)->text);
    err = vault_open(db, s->master_path, master);
    if (err == WEIR_OK && vault_heal(db, s->data, s->master_path) != WEIR_OK)
        log_event(LOG_WARN, "rotation_not_finished", LOG_TEXT("file", s->master_path),
                  LOG_TEXT("reason", "it cannot be renamed"));
    db_close(db);
    if (err == WEIR_NOT_FOUND) return failed(s->master_path, "the master key is missing; `weir init` makes it");
    if (err == WEIR_INVALID) return failed(s->master_path, "others may read the master key; chmod 600");
    if (err == WEIR_OTHER_KEY)
        return failed(s->master_path, "this is not the master key that the database is sealed under");
    return err == WEIR_OK || failed(s->master_path, weir_err_info(err)->text);
}

static bool store_failed(const struct start *s, enum weir_err err)
{
    char reason[4300];
    usable_reason(s->data, usable_fault(err), reason, sizeof reason);
    return failed(s->db_path, reason);
}

static bool open_store(const struct start *s, struct master_key **master)
{
    if (mkdir(s->data, 0700) != 0 && errno != EEXIST) return failed(s->data, strerror(errno));
    if (!raise_fence(s)) return false;
    enum weir_err err = db_migrate(s->db_path, NULL, NULL);
    return err == WEIR_OK ? open_master(s, master) : store_failed(s, err);
}

static void serve_once(const struct web *web)
{
    struct db *db = NULL;
    struct conn *conn;
    if (conn_new(true, &conn) != WEIR_OK) return;
    conn_open(conn, -1);
    web_run(web, &db, conn);
    conn_free(conn);
    db_close(db);
}

/* Whatever fails is in the log; the web server only sees that there is no answer. */
static bool run(const struct start *s, bool is_cgi)
{
    struct master_key *master = NULL;
    struct id_source ids;
    struct web_folder *folder = NULL;
    struct web web = {.data_dir = s->data, .db_path = s->db_path, .master_path = s->master_path, .mount = s->mount,
                      .ids = &ids};
    bool fine = open_store(s, &master), whole = true;
    web.master = master;
    ids_start(&ids);
    if (fine && is_cgi) {
        serve_once(&web);
    } else if (fine) {
        web_serve_prepare();
        int signal_fd = take_signals();
        log_event(LOG_INFO, "started", LOG_TEXT("program", "weir-admin"), LOG_TEXT("version", WEIR_VERSION),
                  LOG_TEXT("data", s->data), LOG_INT("pid", getpid()));
        if (web_fold_start(s->data, s->db_path, &folder) != WEIR_OK)
            log_event(LOG_WARN, "sums_not_folded", LOG_TEXT("reason", "no thread can start"));
        whole = web_serve(&web, signal_fd, s->drain_ms);
        web_fold_stop(folder);
        log_event(whole ? LOG_INFO : LOG_ERROR, whole ? "stopped" : "requests_left_behind",
                  LOG_TEXT("program", "weir-admin"));
    }
    if (!whole) _exit(EXIT_SUCCESS); /* their threads still use the rest, and what stands on main's stack */
    master_key_free(master);
    return fine;
}

int main(void)
{
    struct start s = {0};
    bool is_cgi = fastcgi_is_cgi(), fine = false;
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    open_log();
    mallopt(M_ARENA_MAX, 2); /* one heap for each thread costs memory that is never given back */
    if (secret_start() != WEIR_OK || http_start() != WEIR_OK)
        failed("", "a library cannot start");
    else if (!read_settings(&s)) failed("", "memory is out");
    else {
        secret_wipe_env("JWT_SECRET"); /* the gateway's */
        fine = run(&s, is_cgi);
    }
    free(s.db_path);
    free(s.master_path);
    return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
