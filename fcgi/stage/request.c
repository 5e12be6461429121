/* First step: the request's line and headers, out of the web server's variables; and its body. The whole environment is
 * walked, for web servers hand X_Api_Key and X-Api-Key over as two entries of one name. */
#include "fcgi/stage/request.h"

#include <stdlib.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

struct variables { struct address_variables address; const char *method, *id, *mount, *redirected; };

/* Which variable goes where: the value, or the last of them and how often it came. */
struct place { struct span name; struct header_seen *header; const char **value; };

static void take(const struct place *all, size_t count, struct span name, const char *value)
{
    for (size_t i = 0; i < count; i++) {
        if (!span_eq(name, all[i].name)) continue;
        if (all[i].value) *all[i].value = value;
        else *all[i].header = (struct header_seen){value, all[i].header->times + 1};
        return;
    }
}

/* Headers' variables and the web server's own are told apart by their first bytes. */
static void walk(char **env, struct request *r, struct variables *v)
{
    const struct place headers[] = {
        {SPAN("X_API_KEY"), &r->api_key, NULL}, {SPAN("AUTHORIZATION"), &r->authorization, NULL},
        {SPAN("X_USER_ID"), &r->user, NULL}, {SPAN("X_TEAM_ID"), &r->team, NULL},
        {SPAN("X_ROLE"), &r->role, NULL}, {SPAN("X_LLM_ROLEGROUP"), &r->rolegroup, NULL},
        {SPAN("X_REQUEST_ID"), NULL, &v->id}, {SPAN("ORIGIN"), NULL, &r->origin},
        {SPAN("ANTHROPIC_VERSION"), NULL, &r->anthropic_version}, {SPAN("ANTHROPIC_BETA"), NULL, &r->anthropic_beta},
        {SPAN("X_FORWARDED_FOR"), &r->forwarded_for, NULL}, {SPAN("FORWARDED"), &r->forwarded, NULL},
        {SPAN("ACCESS_CONTROL_REQUEST_METHOD"), NULL, &r->preflight_method},
        {SPAN("ACCESS_CONTROL_REQUEST_HEADERS"), NULL, &r->preflight_headers},
        {SPAN("CACHE_CONTROL"), NULL, &r->cache_control}, {SPAN("X_WEIR_CACHE"), NULL, &r->cache_wish},
        {SPAN("X_WEIR_CACHE_TTL"), NULL, &r->cache_ttl},
    };
    const struct place others[] = {
        {SPAN("REDIRECT_HTTP_AUTHORIZATION"), NULL, &v->redirected},
        {SPAN("REQUEST_METHOD"), NULL, &v->method}, {SPAN("REQUEST_URI"), NULL, &v->address.uri},
        {SPAN("SCRIPT_NAME"), NULL, &v->address.script}, {SPAN("PATH_INFO"), NULL, &v->address.info},
        {SPAN("REMOTE_ADDR"), NULL, &r->peer}, {SPAN("CONTENT_TYPE"), NULL, &r->content_type},
        {SPAN("CONTENT_LENGTH"), NULL, &r->length}, {SPAN("WEIR_MOUNT"), NULL, &v->mount},
    };
    for (; env && *env; env++) {
        bool is_header = strncmp(*env, "HTTP_", 5) == 0;
        const char *name = is_header ? *env + 5 : *env, *equals = strchr(name, '=');
        struct span key = {name, equals ? (size_t)(equals - name) : 0};
        if (!equals) continue;
        if (is_header) take(headers, sizeof headers / sizeof *headers, key, equals + 1);
        else take(others, sizeof others / sizeof *others, key, equals + 1);
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

enum weir_err request_read(struct conn *conn, const char *mount, struct id_source *ids, struct arena *a, struct request *r)
{
    struct variables v = {.mount = mount};
    struct address address;
    *r = (struct request){.conn = conn, .peer = "", .cache_age_s = -1, .begun_wall_ms = clock_wall_ms(),
                          .begun_mono_ms = clock_mono_ms()};
    walk(conn_environ(conn), r, &v);
    r->method = method_of(v.method);
    address_read(&v.address, v.mount, a, &address);
    r->path = address.path.at ? address.path : SPAN("");
    r->path_is_bad = address.is_bad;
    ids_take(ids, v.id, r->id);
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
    if (length > max)
        return problem_set(p, WEIR_TOO_LARGE, NULL, "The request body has %zu bytes; at most %zu are taken.", length, max);
    char *at = buf_room(body, length + 1); /* one more: the read that finds the end */
    if (!at) return problem_set(p, WEIR_NOMEM, NULL, NULL);
    err = conn_read(r->conn, at, length + 1, &got);
    if (err != WEIR_OK || got != length)
        return problem_set(p, WEIR_INVALID, NULL, "The request body has not the %zu bytes that were announced.", length);
    buf_added(body, got);
    return WEIR_OK;
}
