/* Doctor's look at what stands before Weir: whether the web server buffers, by its configuration and by measure; and
 * whether there are descriptors enough. Changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/doctor.h"
#include "admin/stream_call.h"
#include "fcgi/base/bounds.h"

#define CONF_MAX ((size_t)1 << 20)
#define STREAM_MS 60000

/* The number assigned last to `name` in a lighttpd configuration; -1: it is not there. Comments are skipped. */
static int conf_number(struct span conf, const char *name)
{
    int found = -1;

    while (conf.len) {
        const char *end = memchr(conf.at, '\n', conf.len);
        size_t n = end ? (size_t)(end - conf.at) : conf.len;
        struct span line = span_trim((struct span){conf.at, n});

        conf.at += n + (end != NULL);
        conf.len -= n + (end != NULL);
        if (!span_starts(line, name)) continue;
        line = span_trim((struct span){line.at + strlen(name), line.len - strlen(name)});
        if (!line.len || *line.at != '=') continue;
        line = span_trim((struct span){line.at + 1, line.len - 1});
        if (line.len && *line.at >= '0' && *line.at <= '9') found = *line.at - '0';
    }
    return found;
}

void doctor_lighttpd(struct doctor *d)
{
    static const char *const usual[] = {"lighttpd.conf", "/etc/lighttpd/lighttpd.conf"};
    const char *path = d->lighttpd;
    struct buf conf;
    int answers, requests;
    bool ours;

    for (size_t i = 0; !path && i < sizeof usual / sizeof *usual; i++)
        if (access(usual[i], R_OK) == 0) path = usual[i];
    if (!path) {
        doctor_tell(d, FINDING_WARN, "web server",
                    "no lighttpd.conf here; name it with --lighttpd FILE, or measure with --url and --key-file");
        return;
    }
    if (!file_read(path, CONF_MAX, &conf)) {
        doctor_tell(d, FINDING_FAIL, "web server", "%s cannot be read", path);
        buf_free(&conf);
        return;
    }
    answers = conf_number(buf_all(&conf), "server.stream-response-body");
    requests = conf_number(buf_all(&conf), "server.stream-request-body");
    ours = d->lighttpd || memmem(conf.at ? conf.at : "", conf.len, "weir", 4);
    buf_free(&conf);
    if (!ours) {
        doctor_tell(d, FINDING_WARN, "web server", "%s does not name weir; name the right file with --lighttpd FILE", path);
        return;
    }
    if (answers == 1 || answers == 2)
        doctor_tell(d, FINDING_OK, "answer streaming", "%s has server.stream-response-body = %d", path, answers);
    else
        doctor_tell(d, FINDING_FAIL, "answer streaming",
                    "%s keeps whole answers back; put server.stream-response-body = 1 into it (or into a file it includes)",
                    path);
    if (requests > 0)
        doctor_tell(d, FINDING_WARN, "request streaming",
                    "%s has server.stream-request-body = %d; leave it out, or slow callers hold threads", path, requests);
    else doctor_tell(d, FINDING_OK, "request streaming", "%s leaves it off", path);
}

static void tell_stream(struct doctor *d, const struct stream_result *s)
{
    if (!s->status || *s->text)
        doctor_tell(d, FINDING_FAIL, "stream", "%s: %s", d->url, *s->text ? s->text : "no answer");
    else if (s->status != 200)
        doctor_tell(d, FINDING_FAIL, "stream", "%s answers %d%s", d->url, s->status,
                    s->status == 401   ? ": it does not know the key"
                    : s->status == 404 ? ": is the address right, and is there such a model?"
                                       : "");
    else if (s->events < 3)
        doctor_tell(d, FINDING_WARN, "stream", "only %d events came: too few to tell; take another --model", s->events);
    else if (s->moments >= 3)
        doctor_tell(d, FINDING_OK, "stream", "%d events came at %d moments, the first after %lld of %lld ms", s->events,
                    s->moments, (long long)s->first_ms, (long long)s->all_ms);
    else if (s->all_ms < 200)
        doctor_tell(d, FINDING_WARN, "stream", "all was there within %lld ms: too fast to tell; take another --model",
                    (long long)s->all_ms);
    else
        doctor_tell(d, FINDING_FAIL, "stream",
                    "%d events came all at once after %lld ms: something between here and Weir buffers "
                    "(server.stream-response-body, a proxy)",
                    s->events, (long long)s->all_ms);
}

/* Streams from the running gateway and looks at when the events come. */
void doctor_stream(struct doctor *d)
{
    struct stream_result found;
    struct secret *key;
    struct buf text;
    struct span s;

    if (!d->url) return;
    if (!file_read(d->key_file, 4096, &text)) {
        doctor_tell(d, FINDING_FAIL, "stream", "%s cannot be read", d->key_file);
        buf_free(&text);
        return;
    }
    s = buf_all(&text);
    while (s.len && strchr(" \t\r\n", s.at[s.len - 1])) s.len--;
    key = secret_new(s);
    if (text.at) secret_wipe(text.at, text.len);
    buf_free(&text);
    if (!key) {
        doctor_tell(d, FINDING_FAIL, "stream", "out of memory");
        return;
    }
    call_stream(d->url, key, d->model ? d->model : "mock-stream", STREAM_MS, &found);
    secret_free(key);
    tell_stream(d, &found);
}

void doctor_descriptors(struct doctor *d)
{
    const char *text = getenv("WEIR_THREADS_MAX");
    unsigned long threads = text && *text ? strtoul(text, NULL, 10) : 512, need;
    struct rlimit limit;

    if (threads < 1 || threads > 1000000) {
        doctor_tell(d, FINDING_FAIL, "WEIR_THREADS_MAX", "\"%.20s\" is no number of threads", text ? text : "");
        return;
    }
    need = threads * FILES_A_REQUEST + FILES_BESIDES;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    if (limit.rlim_max < need)
        doctor_tell(d, FINDING_FAIL, "descriptors",
                    "%lu threads want %lu, the limit here is %llu: raise it (ulimit -Hn, LimitNOFILE) or lower "
                    "WEIR_THREADS_MAX",
                    threads, need, (unsigned long long)limit.rlim_max);
    else if (limit.rlim_cur < need)
        doctor_tell(d, FINDING_WARN, "descriptors",
                    "%lu threads want %lu, the soft limit here is %llu (hard: %llu): have the web server raise it "
                    "(server.max-fds)",
                    threads, need, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
    else
        doctor_tell(d, FINDING_OK, "descriptors", "%lu threads want %lu, the limit here is %llu", threads, need,
                    (unsigned long long)limit.rlim_cur);
}
