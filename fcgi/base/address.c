/* A request's path and id, out of what the web server says. */
#include "fcgi/base/address.h"

#include "fcgi/base/buf.h"
#include "fcgi/base/secret.h"
#include "fcgi/base/text.h"

#define PATH_USUAL 256 /* bytes of most paths */

/* ---- the path ---- */

/* As the client wrote it, undecoded: a web server's own decoding loses what %2F meant. Where there is none, what the web
 * server has decoded (RFC 3875 4.1.5). *is_decoded: there is nothing, or nothing left, to decode. */
static struct span raw_path(const struct address_variables *v, struct arena *a, bool *is_decoded)
{
    *is_decoded = true;
    if (v->uri && *v->uri == '/') {
        struct span path = {v->uri, strcspn(v->uri, "?")};
        *is_decoded = !memchr(path.at, '%', path.len);
        return path;
    }
    return span_of(arena_printf(a, "%s%s", v->script ? v->script : "", v->info ? v->info : ""));
}

/* How much of the path is the prefix: all of it, up to a '/', or nothing. */
static size_t mounted(struct span path, struct span prefix)
{
    while (prefix.len && prefix.at[prefix.len - 1] == '/') prefix.len--;
    if (path.len < prefix.len || memcmp(path.at, prefix.at, prefix.len) != 0) return 0;
    return path.len == prefix.len || path.at[prefix.len] == '/' ? prefix.len : 0;
}

void address_read(const struct address_variables *v, const char *mount, struct arena *a, struct address *out)
{
    bool is_decoded;
    struct buf path;
    struct span raw = raw_path(v, a, &is_decoded);
    *out = (struct address){.path = SPAN_NONE};
    if (!raw.at) return;
    out->mount = (struct span){raw.at, mounted(raw, span_of(mount))};
    raw.at += out->mount.len;
    raw.len -= out->mount.len;
    char room[PATH_USUAL];
    buf_init_in(&path, room, sizeof room, BOUND_PATH);
    enum weir_err err = !raw.len ? buf_char(&path, '/') : is_decoded ? buf_span(&path, raw) : url_decode(&path, raw, false);
    out->is_bad = err != WEIR_NOMEM && (err != WEIR_OK || !path.len || path.at[0] != '/');
    if (out->is_bad) out->path = SPAN("/");
    else if (err == WEIR_OK) out->path = (struct span){arena_str(a, buf_all(&path)), path.len};
    buf_free(&path);
}

/* ---- the id ---- */

static bool is_well_formed(const char *id)
{
    size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");
    return n >= 1 && n <= BOUND_REQUEST_ID && !id[n];
}

static void hex(uint64_t n, char out[16])
{
    for (int i = 15; i >= 0; i--, n >>= 4) out[i] = "0123456789abcdef"[n & 15];
}

void ids_start(struct id_source *ids)
{
    secret_random(&ids->process, sizeof ids->process);
    ids->next = 0;
}

void ids_take(struct id_source *ids, const char *given, char out[BOUND_REQUEST_ID + 1])
{
    if (given && is_well_formed(given)) {
        memcpy(out, given, strlen(given) + 1);
        return;
    }
    memcpy(out, "req_", 4);
    hex(ids->process, out + 4);
    hex(ids->next++, out + 20);
    out[36] = '\0';
}
