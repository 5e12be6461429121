/* First step: the request's line and headers, out of the web server's variables; and its body. The whole environment is
 * walked, for web servers hand X_Api_Key and X-Api-Key over as two entries of one name. */
#include "fcgi/stage/request.h"

#include <stdlib.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

struct variables { const char *method, *uri, *script, *info, *id, *mount, *redirected; };

/* Which variable goes where. */
static void take(struct span name, const char *value, struct request *r, struct variables *v)
{
    const struct { struct span name; struct header_seen *header; const char **value; } all[] = {
        {SPAN("HTTP_X_API_KEY"), &r->api_key, NULL}, {SPAN("HTTP_AUTHORIZATION"), &r->authorization, NULL},
        {SPAN("HTTP_X_USER_ID"), &r->user, NULL}, {SPAN("HTTP_X_TEAM_ID"), &r->team, NULL},
        {SPAN("HTTP_X_ROLE"), &r->role, NULL}, {SPAN("HTTP_X_LLM_ROLEGROUP"), &r->rolegroup, NULL},
        {SPAN("HTTP_X_REQUEST_ID"), NULL, &v->id}, {SPAN("REDIRECT_HTTP_AUTHORIZATION"), NULL, &v->redirected},
        {SPAN("REQUEST_METHOD"), NULL, &v->method}, {SPAN("REQUEST_URI"), NULL, &v->uri},
        {SPAN("SCRIPT_NAME"), NULL, &v->script}, {SPAN("PATH_INFO"), NULL, &v->info}, {SPAN("REMOTE_ADDR"), NULL, &r->peer},
        {SPAN("CONTENT_TYPE"), NULL, &r->content_type}, {SPAN("CONTENT_LENGTH"), NULL, &r->length},
        {SPAN("HTTP_ANTHROPIC_VERSION"), NULL, &r->anthropic_version},
        {SPAN("HTTP_ANTHROPIC_BETA"), NULL, &r->anthropic_beta},
        {SPAN("WEIR_MOUNT"), NULL, &v->mount}, {SPAN("HTTP_ORIGIN"), NULL, &r->origin},
        {SPAN("HTTP_X_FORWARDED_FOR"), &r->forwarded_for, NULL}, {SPAN("HTTP_FORWARDED"), &r->forwarded, NULL},
        {SPAN("HTTP_ACCESS_CONTROL_REQUEST_METHOD"), NULL, &r->preflight_method},
        {SPAN("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"), NULL, &r->preflight_headers},
        {SPAN("HTTP_CACHE_CONTROL"), NULL, &r->cache_control}, {SPAN("HTTP_X_WEIR_CACHE"), NULL, &r->cache_wish},
        {SPAN("HTTP_X_WEIR_CACHE_TTL"), NULL, &r->cache_ttl},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!span_eq(name, all[i].name)) continue;
        if (all[i].value) *all[i].value = value;
        else *all[i].header = (struct header_seen){value, all[i].header->times + 1};
        return;
    }
}

static void walk(char **env, struct request *r, struct variables *v)
{
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        if (equals) take((struct span){*env, (size_t)(equals - *env)}, equals + 1, r, v);
    }
    /* Apache hides Authorization from programs unless told otherwise; a rewrite rule brings it in under this name. */
    if (!r->authorization.times && v->redirected) r->authorization = (struct header_seen){v->redirected, 1};
}

static enum method method_of(const char *name)
{
    static const struct { const char *name; enum method method; } methods[] = {
        {"GET", METHOD_GET}, {"POST", METHOD_POST}, {"HEAD", METHOD_HEAD}, {"OPTIONS", METHOD_OPTIONS},
    };
    for (size_t i = 0; name && i < sizeof methods / sizeof *methods; i++)
        if (strcmp(name, methods[i].name) == 0) return methods[i].method;
    return METHOD_OTHER;
}

/* The path as the client wrote it, undecoded: a web server's own decoding loses what %2F meant. Where there is none, what
 * the web server has decoded (RFC 3875 4.1.5). */
static struct span raw_path(const struct variables *v, struct arena *a, bool *is_decoded)
{
    *is_decoded = !v->uri || *v->uri != '/';
    if (!*is_decoded) return (struct span){v->uri, strcspn(v->uri, "?")};
    return span_of(arena_printf(a, "%s%s", v->script ? v->script : "", v->info ? v->info : ""));
}

static void take_path(struct request *r, const struct variables *v, const char *mount, struct arena *a)
{
    bool is_decoded;
    struct span raw = raw_path(v, a, &is_decoded);
    struct span prefix = span_of(mount);
    struct buf path;
    while (prefix.len && prefix.at[prefix.len - 1] == '/') prefix.len--;
    if (prefix.len && raw.len >= prefix.len && memcmp(raw.at, prefix.at, prefix.len) == 0 &&
        (raw.len == prefix.len || raw.at[prefix.len] == '/')) {
        raw.at += prefix.len;
        raw.len -= prefix.len;
    }
    buf_init(&path, BOUND_PATH);
    enum weir_err err = !raw.at ? WEIR_NOMEM : !raw.len ? buf_char(&path, '/')
                        : is_decoded ? buf_span(&path, raw) : url_decode(&path, raw, false);
    r->path_is_bad = err != WEIR_NOMEM && (err != WEIR_OK || !path.len || path.at[0] != '/');
    r->path = r->path_is_bad ? SPAN("/") : (struct span){err == WEIR_OK ? arena_str(a, buf_all(&path)) : NULL, path.len};
    if (!r->path.at) r->path = SPAN("");
    buf_free(&path);
}

static bool id_is_well_formed(const char *id)
{
    size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");
    return n >= 1 && n <= BOUND_REQUEST_ID && !id[n];
}

void ids_start(struct id_source *ids)
{
    secret_random(&ids->process, sizeof ids->process);
    ids->next = 0;
}

static void hex(uint64_t n, char out[16])
{
    for (int i = 15; i >= 0; i--, n >>= 4) out[i] = "0123456789abcdef"[n & 15];
}

/* The caller's own, or "req_", 16 digits of the process and 16 of the request. */
static void take_id(struct request *r, const char *given, struct id_source *ids)
{
    if (given && id_is_well_formed(given)) {
        memcpy(r->id, given, strlen(given) + 1);
        return;
    }
    memcpy(r->id, "req_", 4);
    hex(ids->process, r->id + 4);
    hex(ids->next++, r->id + 20);
    r->id[36] = '\0';
}

enum weir_err request_read(struct conn *conn, const char *mount, struct id_source *ids, struct arena *a, struct request *r)
{
    struct variables v = {.mount = mount};
    *r = (struct request){.conn = conn, .peer = "", .cache_age_s = -1, .begun_wall_ms = clock_wall_ms(),
                          .begun_mono_ms = clock_mono_ms()};
    walk(conn_environ(conn), r, &v);
    r->method = method_of(v.method);
    take_path(r, &v, v.mount, a);
    take_id(r, v.id, ids);
    return r->path.len ? WEIR_OK : WEIR_NOMEM;
}

/* ---- the body ---- */

static enum weir_err length_of(const struct request *r, size_t *length, struct problem *p)
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

enum weir_err request_body(const struct request *r, size_t max, struct buf *body, struct problem *p)
{
    size_t length = 0, got;
    enum weir_err err = length_of(r, &length, p);
    if (err != WEIR_OK) return err;
    if (length > max) {
        conn_skip(r->conn, BOUND_BODY_MAX);
        return problem_set(p, WEIR_TOO_LARGE, NULL, "The request body has %zu bytes; at most %zu are taken.", length, max);
    }
    char *at = buf_room(body, length + 1); /* one more: the read that finds the end */
    if (!at) return problem_set(p, WEIR_NOMEM, NULL, NULL);
    err = conn_read(r->conn, at, length + 1, &got);
    if (err != WEIR_OK || got != length)
        return problem_set(p, WEIR_INVALID, NULL, "The request body has not the %zu bytes that were announced.", length);
    buf_added(body, got);
    return WEIR_OK;
}
