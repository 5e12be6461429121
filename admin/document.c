/* The configuration document as a whole: its sections, secrets that stand elsewhere, upstream addresses. */
#include "admin/document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

#define SECRET_MAX 8192 /* bytes of a secret, or of a file that holds one */

const char *const section_names[SECTION_COUNT] = {"providers", "models", "limits", "keys", "jwt"};

bool document_read(struct reader *r, struct span text, struct document *out)
{
    static const struct field table[] = {
        {"providers", FIELD_ARRAY, offsetof(struct document, sections[SECTION_PROVIDERS]), false, 0, 0, NULL},
        {"models", FIELD_ARRAY, offsetof(struct document, sections[SECTION_MODELS]), false, 0, 0, NULL},
        {"limits", FIELD_ARRAY, offsetof(struct document, sections[SECTION_LIMITS]), false, 0, 0, NULL},
        {"keys", FIELD_ARRAY, offsetof(struct document, sections[SECTION_KEYS]), false, 0, 0, NULL},
        {"jwt", FIELD_ARRAY, offsetof(struct document, sections[SECTION_JWT]), false, 0, 0, NULL},
        {"settings", FIELD_OBJECT, offsetof(struct document, settings), false, 0, 0, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    struct jfault fault = {0, NULL};
    struct jval root;

    *out = (struct document){0};
    if (jscan_check(text, BOUND_JSON_DEPTH, &root, &fault)) {
        size_t line = 1;
        for (size_t i = 0; i < fault.at && i < text.len; i++) line += text.at[i] == '\n';
        return refuse(r, "is not JSON: %s in line %zu, at byte %zu", fault.what ? fault.what : "fault", line, fault.at);
    }
    return fields_read(r, root, table, out);
}

void doc_text_write(struct buf *out, const char *lead, const char *text)
{
    buf_str(out, lead);
    json_string(out, span_of(text));
}

/* ---- secrets ---- */

static bool secret_from_env(struct reader *r, const char *name, struct span *out)
{
    const char *value = getenv(name);

    if (!value || !*value) return refuse(r, "names the environment variable %.80s, which is not set", name);
    *out = span_of(value);
    return true;
}

static bool secret_from_file(struct reader *r, const char *path, struct span *out)
{
    char bytes[SECRET_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    int problem = errno;
    struct span text;

    if (fd >= 0) close(fd);
    if (n < 0) return refuse(r, "names the file %.120s: %s", path, strerror(problem));
    if (n > SECRET_MAX) return refuse(r, "names the file %.120s, which is longer than %d bytes", path, SECRET_MAX);
    text = (struct span){bytes, (size_t)n};
    while (text.len && strchr(" \t\r\n", text.at[text.len - 1])) text.len--;
    while (text.len && strchr(" \t\r\n", *text.at)) text.at++, text.len--;
    out->len = text.len;
    out->at = arena_str(r->memory, text);
    secret_wipe(bytes, sizeof bytes);
    if (!out->at) return refuse_memory(r);
    if (memchr(out->at, 0, out->len)) return refuse(r, "names the file %.120s, which holds a NUL", path);
    return true;
}

bool secret_read(struct reader *r, struct jval v, struct span *out)
{
    struct span text;

    if (!text_read(r, v, &text)) return false;
    if (r->remote && (span_starts(text, "env:") || span_starts(text, "file:")))
        return refuse(r, "must be the secret itself; env: and file: are for the command line");
    if (span_starts(text, "env:")) {
        if (!secret_from_env(r, text.at + 4, &text)) return false;
    } else if (span_starts(text, "file:")) {
        if (!secret_from_file(r, text.at + 5, &text)) return false;
    }
    if (!text.len) return refuse(r, "must not be empty");
    if (text.len > SECRET_MAX) return refuse(r, "must have at most %d bytes", SECRET_MAX);
    *out = text;
    return true;
}

/* ---- upstream addresses ---- */

struct address { struct span host, port; bool plain, bracketed; };

static const char *address_split(struct span url, struct address *out)
{
    struct span rest = url;
    size_t n = 0;

    if (span_starts(url, "https://")) rest.at += 8, rest.len -= 8;
    else if (span_starts(url, "http://")) rest.at += 7, rest.len -= 7, out->plain = true;
    else return "must begin with https:// or http://";
    while (n < rest.len && rest.at[n] != '/') n++;
    rest.len = n; /* host and port */
    if (memchr(rest.at, '@', n)) return "must not hold a user name or password; give the secret as a key";
    if (n && rest.at[0] == '[') {
        const char *end = memchr(rest.at, ']', n);

        if (!end) return "has a [ without a ] in its host";
        out->bracketed = true;
        out->host = (struct span){rest.at + 1, (size_t)(end - rest.at) - 1};
        end++;
        out->port = (struct span){end, (size_t)(rest.at + n - end)};
    } else {
        const char *colon = memchr(rest.at, ':', n);

        out->host = (struct span){rest.at, colon ? (size_t)(colon - rest.at) : n};
        out->port = (struct span){rest.at + out->host.len, n - out->host.len};
    }
    return out->host.len ? NULL : "has no host";
}

static bool port_is_fine(struct span port) /* with its colon, or empty */
{
    long n = 0;

    if (!port.len) return true;
    if (port.at[0] != ':' || port.len < 2 || port.len > 6) return false;
    for (size_t i = 1; i < port.len; i++) {
        if (port.at[i] < '0' || port.at[i] > '9') return false;
        n = n * 10 + (port.at[i] - '0');
    }
    return n >= 1 && n <= 65535;
}

static bool host_is_private(struct span host)
{
    static const char *const ranges[] = {"127.0.0.0/8",   "::1/128",        "10.0.0.0/8",
                                         "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"};

    if (span_is_nocase(host, "localhost")) return true;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ip_in_range(host, span_of(ranges[i]))) return true;
    return false;
}

static bool host_is_fine(const struct address *a)
{
    if (a->bracketed) return ip_range_is_valid(a->host) && !memchr(a->host.at, '/', a->host.len);
    for (size_t i = 0; i < a->host.len; i++) {
        char c = a->host.at[i];
        bool fine =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';

        if (!fine) return false;
    }
    return a->host.len <= 253;
}

const char *address_fault(struct span url, bool allow_plain_http)
{
    struct address a = {SPAN_NONE, SPAN_NONE, false, false};
    const char *fault;

    if (!text_is_header_safe(url) || memchr(url.at, ' ', url.len)) return "must hold only visible ASCII characters";
    if (memchr(url.at, '?', url.len) || memchr(url.at, '#', url.len)) return "must not hold a query or fragment";
    fault = address_split(url, &a);
    if (fault) return fault;
    if (!host_is_fine(&a)) return "has a host that is no name or address";
    if (!port_is_fine(a.port)) return "has a port that is not from 1 to 65535";
    if (a.plain && !allow_plain_http && !host_is_private(a.host))
        return "is plain http to a public address; use https, or say \"allow_plain_http\": true";
    return NULL;
}
