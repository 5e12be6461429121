/* Calls as all dialects make them: address, headers, key. */
#include "fcgi/provider/send.h"

const char *send_path(enum face face)
{
    static const char *const paths[FACE_COUNT] = {
        [FACE_CHAT] = "/chat/completions", [FACE_COMPLETIONS] = "/completions", [FACE_EMBEDDINGS] = "/embeddings",
        [FACE_RESPONSES] = "/responses", [FACE_MESSAGES] = "/messages",
    };
    return paths[face];
}

char *send_url(const struct call *c, const char *path)
{
    const char *base = c->target->provider->base_url;
    size_t n = strcspn(base, "?");
    const char *query = base + n;
    while (n && base[n - 1] == '/') n--;
    size_t path_len = strlen(path), query_len = strlen(query);
    char *url = arena_alloc(c->memory, n + path_len + query_len + 1);
    if (!url) return NULL;
    memcpy(url, base, n);
    memcpy(url + n, path, path_len);
    memcpy(url + n + path_len, query, query_len);
    return url;
}

const char *send_secret_header(const struct provider_row *p, const char *standard)
{
    static const struct { const char *auth, *header; } all[] = {
        {"bearer", "Authorization: Bearer "}, {"x-api-key", "x-api-key: "}, {"api-key", "api-key: "},
    };
    for (size_t i = 0; p->auth && i < sizeof all / sizeof *all; i++)
        if (strcmp(p->auth, all[i].auth) == 0) return all[i].header;
    return standard;
}

static bool is_given(const struct provider_row *p, const char *name)
{
    for (int i = 0; i < p->header_count; i++)
        if (strcasecmp(p->headers[i].name, name) == 0) return true;
    return false;
}

enum weir_err send_call(const struct call *c, const struct sending *s, struct upstream **out)
{
    const struct provider_row *p = c->target->provider;
    bool stream = !s->asks && c->chat->stream;
    int count = 0;
    struct http_header *headers = arena_alloc(c->memory, sizeof *headers * (size_t)(p->header_count + 2));
    if (!s->url || !headers || (!s->asks && body_write(c) != WEIR_OK)) return WEIR_NOMEM;
    for (; count < p->header_count; count++)
        headers[count] = (struct http_header){p->headers[count].name, p->headers[count].value};
    for (int i = 0; i < 2 && s->more[i].name; i++)
        if (!is_given(p, s->more[i].name)) headers[count++] = s->more[i];
    return http_open(c->pool, &(struct http_call){
        .origin = p->base_url, .url = s->url, .body = s->asks ? SPAN_NONE : buf_all(c->body), .headers = headers,
        .header_count = count, .accept = stream ? "text/event-stream" : "application/json",
        .secret_header = s->secret_header, .secret = c->target->key ? c->target->key->secret : NULL,
        .connect_ms = p->connect_ms ? p->connect_ms : CONNECT_MS_DEFAULT, .http2 = c->http2,
        .in_small_pieces = stream}, out);
}
