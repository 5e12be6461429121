/* Reads a request to the administrators' responder. The whole environment is walked, for web servers hand X_Api_Key and
 * X-Api-Key over as two entries of one name. */
#include "admin/web_request.h"

#include <stdlib.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/secret.h"
#include "fcgi/base/text.h"

struct variables {
    struct address_variables address;
    const char *method, *query, *id, *mount, *redirected, *https, *scheme, *forwarded;
};

/* ---- line and headers ---- */

/* Which variable goes where: the value, or the last of them and how often it came. */
struct place { struct span name; struct web_header *header; const char **value; };

static void take(const struct place *all, size_t count, struct span name, const char *value)
{
    for (size_t i = 0; i < count; i++) {
        if (!span_eq(name, all[i].name)) continue;
        if (all[i].value) *all[i].value = value;
        else *all[i].header = (struct web_header){value, all[i].header->times + 1};
        return;
    }
}

static void walk(char **env, struct web_request *r, struct variables *v)
{
    const struct place all[] = {
        {SPAN("HTTP_X_API_KEY"), &r->api_key, NULL}, {SPAN("HTTP_AUTHORIZATION"), &r->authorization, NULL},
        {SPAN("HTTP_X_FORWARDED_FOR"), &r->forwarded_for, NULL}, {SPAN("HTTP_FORWARDED"), &r->forwarded, NULL},
        {SPAN("HTTP_X_REQUEST_ID"), NULL, &v->id}, {SPAN("REDIRECT_HTTP_AUTHORIZATION"), NULL, &v->redirected},
        {SPAN("REQUEST_METHOD"), NULL, &v->method}, {SPAN("REQUEST_URI"), NULL, &v->address.uri},
        {SPAN("SCRIPT_NAME"), NULL, &v->address.script}, {SPAN("PATH_INFO"), NULL, &v->address.info},
        {SPAN("QUERY_STRING"), NULL, &v->query}, {SPAN("CONTENT_TYPE"), NULL, &r->content_type},
        {SPAN("CONTENT_LENGTH"), NULL, &r->length}, {SPAN("WEIR_MOUNT"), NULL, &v->mount},
        {SPAN("HTTP_COOKIE"), NULL, &r->cookie}, {SPAN("HTTP_X_CSRF_TOKEN"), NULL, &r->csrf},
        {SPAN("HTTP_ORIGIN"), NULL, &r->origin}, {SPAN("HTTP_HOST"), NULL, &r->host},
        {SPAN("HTTP_X_FORWARDED_HOST"), &r->forwarded_host, NULL}, {SPAN("HTTP_SEC_FETCH_SITE"), &r->fetch_site, NULL},
        {SPAN("REMOTE_ADDR"), NULL, &r->ip}, {SPAN("HTTPS"), NULL, &v->https},
        {SPAN("REQUEST_SCHEME"), NULL, &v->scheme}, {SPAN("HTTP_X_FORWARDED_PROTO"), NULL, &v->forwarded},
    };
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        if (equals) take(all, sizeof all / sizeof *all, (struct span){*env, (size_t)(equals - *env)}, equals + 1);
    }
    /* Apache hides Authorization from programs unless told otherwise; a rewrite rule brings it in under this name. */
    if (!r->authorization.times && v->redirected) r->authorization = (struct web_header){v->redirected, 1};
}

static enum web_method method_of(const char *name)
{
    static const struct { const char *name; enum web_method method; } methods[] = {
        {"GET", WEB_GET}, {"POST", WEB_POST}, {"HEAD", WEB_HEAD}, {"OPTIONS", WEB_OPTIONS}, {"PUT", WEB_PUT},
        {"DELETE", WEB_DELETE},
    };
    for (size_t i = 0; name && i < sizeof methods / sizeof *methods; i++)
        if (strcmp(name, methods[i].name) == 0) return methods[i].method;
    return WEB_OTHER;
}

/* Of several proxies the first is the one that the browser speaks with. */
static bool is_https_of_first(const char *protocols)
{
    return protocols && span_is_nocase(span_trim((struct span){protocols, strcspn(protocols, ",")}), "https");
}

enum weir_err web_request_read(struct conn *conn, const char *mount, struct id_source *ids, struct arena *a,
                               struct web_request *r)
{
    struct variables v = {.mount = mount};
    struct address address;
    *r = (struct web_request){.conn = conn, .begun_wall_ms = clock_wall_ms()};
    walk(conn_environ(conn), r, &v);
    r->method = method_of(v.method);
    r->query = span_of(v.query);
    r->is_https = (v.https && strcasecmp(v.https, "off") != 0 && *v.https) || span_is(span_of(v.scheme), "https") ||
                  is_https_of_first(v.forwarded);
    if (!r->ip) r->ip = "";
    ids_take(ids, v.id, r->id);
    address_read(&v.address, v.mount, a, &address);
    r->mount = address.mount;
    r->path = address.path;
    r->path_is_bad = address.is_bad;
    return r->path.at ? WEIR_OK : WEIR_NOMEM;
}

/* ---- body ---- */

/* None given is taken for JSON, as the gateway does. */
static bool is_json(const char *content_type)
{
    if (!content_type || !*content_type) return true;
    return span_is_nocase(span_trim((struct span){content_type, strcspn(content_type, ";")}), "application/json");
}

static enum weir_err length_of(const struct web_request *r, size_t *length, struct problem *p)
{
    char *end;
    const char *text = r->length;
    if (!text || !*text) return problem_set(p, WEIR_LENGTH_REQUIRED, NULL, NULL);
    unsigned long long n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end)
        return problem_set(p, WEIR_INVALID, NULL, "The content-length must be a whole number of bytes.");
    *length = n > SIZE_MAX ? SIZE_MAX : (size_t)n;
    return WEIR_OK;
}

static enum weir_err read_body(const struct web_request *r, struct buf *body, struct problem *p)
{
    size_t length = 0, got;
    enum weir_err err = length_of(r, &length, p);
    if (err != WEIR_OK) return err;
    if (length > (size_t)BOUND_ADMIN_BODY)
        return problem_set(p, WEIR_TOO_LARGE, NULL, "The request body has %zu bytes; at most %ld are taken.", length,
                           BOUND_ADMIN_BODY);
    char *at = buf_room(body, length + 1); /* one more: the read that finds the end */
    if (!at) return problem_set(p, WEIR_NOMEM, NULL, NULL);
    err = conn_read(r->conn, at, length + 1, &got);
    if (err != WEIR_OK || got != length)
        return problem_set(p, WEIR_INVALID, NULL, "The request body has not the %zu bytes that were announced.", length);
    buf_added(body, got);
    return WEIR_OK;
}

enum weir_err web_request_body(const struct web_request *r, struct buf *body, struct problem *p)
{
    return is_json(r->content_type) ? read_body(r, body, p) : problem_set(p, WEIR_NOT_JSON, NULL, NULL);
}

enum weir_err web_request_form(const struct web_request *r, struct buf *body, struct problem *p)
{
    struct span type = span_of(r->content_type);
    if (type.at) type.len = strcspn(type.at, ";");
    if (!span_is_nocase(span_trim(type), "application/x-www-form-urlencoded"))
        return problem_set(p, WEIR_INVALID, NULL, "This address takes a form.");
    return read_body(r, body, p);
}

/* ---- query ---- */

static char *decoded(struct span raw, struct arena *a)
{
    struct buf text;
    char *kept = NULL;
    buf_init(&text, BOUND_PATH);
    if (url_decode(&text, raw, true) == WEIR_OK && text_is_utf8(buf_all(&text))) kept = arena_str(a, buf_all(&text));
    buf_free(&text);
    return kept;
}

static enum weir_err take_value(struct span pair, const char *const *names, const char **values, struct arena *a,
                                struct problem *p)
{
    const char *equals = memchr(pair.at, '=', pair.len);
    size_t n = equals ? (size_t)(equals - pair.at) : pair.len, rest = equals ? n + 1 : n;
    const char *name = decoded((struct span){pair.at, n}, a);
    const char *value = decoded((struct span){pair.at + rest, pair.len - rest}, a);
    if (!name || !value)
        return problem_set(p, WEIR_INVALID, name,
                           "The query cannot be read: it has a bad escape, or a value longer than %d bytes.", BOUND_PATH);
    for (int i = 0; names[i]; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        if (values[i]) return problem_set(p, WEIR_INVALID, name, "%s was given twice.", name);
        values[i] = value;
        return WEIR_OK;
    }
    return problem_set(p, WEIR_INVALID, name, "%s is nothing that can be asked for here.", *name ? name : "\"\"");
}

enum weir_err web_request_query(const struct web_request *r, const char *const *names, const char **values, struct arena *a,
                                struct problem *p)
{
    struct span left = r->query;
    enum weir_err err = WEIR_OK;
    for (int i = 0; names[i]; i++) values[i] = NULL;
    while (left.len && err == WEIR_OK) {
        const char *end = memchr(left.at, '&', left.len);
        struct span pair = {left.at, end ? (size_t)(end - left.at) : left.len};
        if (pair.len) err = take_value(pair, names, values, a, p);
        left.at += pair.len + (end ? 1 : 0);
        left.len -= pair.len + (end ? 1 : 0);
    }
    return err;
}
