/* The section `providers` of the document: read, checked, written. */
#include "admin/document.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"
#include "fcgi/provider/provider.h"

#define ENTRIES_MOST 1000 /* keys or headers of one provider */

/* Names that stand before a colon on the command line and in answers' headers. */
static bool is_plain_name(const char *name)
{
    for (const char *c = name; *c; c++) {
        bool fine = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("._-", *c);

        if (!fine) return false;
    }
    return true;
}

/* ---- reading ---- */

struct provider_text { struct provider_row row; struct jval keys, timeouts, headers, faces; };

static bool upstream_key_read(struct reader *r, struct jval v, struct doc_upstream_key *out)
{
    struct key_text { const char *name; int64_t priority; struct jval secret; } text = {.priority = 1};
    static const struct field table[] = {
        {"name", FIELD_NAME, offsetof(struct key_text, name), true, 0, 0, NULL},
        {"priority", FIELD_INT, offsetof(struct key_text, priority), false, 0, 1000000, NULL},
        {"secret", FIELD_ANY, offsetof(struct key_text, secret), false, 0, 0, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    size_t before;

    if (!fields_read(r, v, table, &text)) return false;
    *out = (struct doc_upstream_key){text.name, text.priority, SPAN_NONE};
    if (text.secret.kind == JSON_ABSENT) return true;
    before = path_member(r, "secret");
    if (!secret_read(r, text.secret, &out->secret)) return false;
    if (!text_is_header_safe(out->secret) || memchr(out->secret.at, ' ', out->secret.len))
        return refuse(r, "must hold only visible ASCII characters: it goes into a header");
    path_back(r, before);
    return true;
}

static bool upstream_keys_read(struct reader *r, struct jval list, struct doc_provider *out)
{
    size_t n = jscan_count(list), i = 0, before = path_member(r, "keys");
    struct jiter it = jscan_iter(list);
    struct doc_upstream_key *keys;
    struct span key;
    struct jval v;

    if (n > ENTRIES_MOST) return refuse(r, "must have at most %d entries", ENTRIES_MOST);
    keys = arena_alloc(r->memory, sizeof *keys * (n + 1));
    if (!keys) return refuse_memory(r);
    for (; i < n && jscan_next(&it, &key, &v); i++) {
        size_t here = path_index(r, i);

        if (!upstream_key_read(r, v, &keys[i])) return false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(keys[k].name, keys[i].name) == 0) return refuse_member(r, "name", "is keys[%zu]'s name too", k);
        path_back(r, here);
    }
    out->keys = keys;
    out->key_count = (int)i;
    path_back(r, before);
    return true;
}

/* Why a header may not be sent along; NULL: it may. */
static const char *header_fault(struct span name)
{
    static const char *const ours[] = {"host", "content-length", "content-type", "transfer-encoding", "connection", "te",
                                       "upgrade", "trailer", "expect", "accept", "accept-encoding", "keep-alive"};
    static const char *const secret[] = {"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"};

    if (!name.len) return "is an empty header name";
    if (name.len > BOUND_NAME) return "is too long a header name";
    for (size_t i = 0; i < name.len; i++) { /* a token, RFC 9110 5.6.2 */
        char c = name.at[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    (c && strchr("!#$%&'*+-.^_`|~", c));

        if (!fine) return "is no header name";
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (span_is_nocase(name, ours[i])) return "is a header that Weir sets itself";
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
        if (span_is_nocase(name, secret[i])) return "is a secret; give it as a key, headers are not sealed";
    return NULL;
}

static bool headers_read(struct reader *r, struct jval object, struct provider_row *out)
{
    size_t n = jscan_count(object), i = 0, before = path_member(r, "headers");
    struct jiter it = jscan_iter(object);
    struct header *list;
    struct span key, value;
    struct jval v;

    if (n > ENTRIES_MOST) return refuse(r, "must have at most %d entries", ENTRIES_MOST);
    list = arena_alloc(r->memory, sizeof *list * (n + 1));
    if (!list) return refuse_memory(r);
    for (; i < n && jscan_next(&it, &key, &v); i++) {
        size_t here = path_key(r, key);
        const char *fault = header_fault(key); /* an escape in the key is no token */

        if (fault) return refuse(r, "%s", fault);
        if (!text_read(r, v, &value)) return false;
        if (!text_is_header_safe(value) || value.len > BOUND_PATH)
            return refuse(r, "must be at most %d visible ASCII characters", BOUND_PATH);
        list[i] = (struct header){arena_str(r->memory, key), value.at};
        if (!list[i].name) return refuse_memory(r);
        for (size_t k = 0; k < i; k++)
            if (strcasecmp(list[k].name, list[i].name) == 0) return refuse(r, "stands there twice");
        path_back(r, here);
    }
    out->headers = list;
    out->header_count = (int)i;
    path_back(r, before);
    return true;
}

static bool timeouts_read(struct reader *r, struct jval object, struct provider_row *out)
{
    static const struct field table[] = {
        {"connect_ms", FIELD_INT, offsetof(struct provider_row, connect_ms), false, 1, TIMEOUT_MOST, NULL},
        {"first_byte_ms", FIELD_INT, offsetof(struct provider_row, first_byte_ms), false, 1, TIMEOUT_MOST, NULL},
        {"idle_ms", FIELD_INT, offsetof(struct provider_row, idle_ms), false, 1, TIMEOUT_MOST, NULL},
        {"total_ms", FIELD_INT, offsetof(struct provider_row, total_ms), false, 1, TIMEOUT_MOST, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    size_t before = path_member(r, "timeouts");

    if (!fields_read(r, object, table, out)) return false;
    path_back(r, before);
    return true;
}

/* Versions go into an address or a header as they are. */
static bool version_check(struct reader *r, const char *name, const char *version)
{
    return !version || is_plain_name(version) || refuse_member(r, name, "must be of letters, digits, '.', '_' and '-' only");
}

static bool face_read(struct reader *r, struct jval v, unsigned *faces)
{
    for (int f = 0; f < FACE_COUNT; f++) {
        if (!jval_is(v, face_names[f])) continue;
        if (*faces & (1u << f)) return refuse(r, "stands there twice");
        *faces |= 1u << f;
        return true;
    }
    return refuse(r, "must be one of \"chat\", \"completions\", \"embeddings\", \"responses\", \"messages\"");
}

/* Stored in one order, so that it has one form. */
static bool faces_read(struct reader *r, struct jval list, struct provider_row *out)
{
    size_t i = 0, before = path_member(r, "faces");
    struct jiter it = jscan_iter(list);
    struct span key;
    struct jval v;
    struct buf text;
    unsigned faces = 0;

    for (; jscan_next(&it, &key, &v); i++) {
        size_t here = path_index(r, i);

        if (!face_read(r, v, &faces)) return false;
        path_back(r, here);
    }
    if (!faces) return refuse(r, "must have at least one entry");
    buf_init(&text, 128);
    for (int f = 0; f < FACE_COUNT; f++)
        if (faces & (1u << f)) buf_printf(&text, "%s%s", text.len ? "," : "", face_names[f]);
    out->faces = text.err ? NULL : arena_str(r->memory, buf_all(&text));
    buf_free(&text);
    path_back(r, before);
    return out->faces || refuse_memory(r);
}

/* Takes slashes off the end, so that an address has one form; then checks it. */
static bool base_url_check(struct reader *r, struct provider_row *row)
{
    struct span url = span_of(row->base_url);
    const char *fault;

    if (!url.len && strcmp(row->dialect, "mock") == 0) return true;
    if (!url.len) return refuse_member(r, "base_url", "is missing");
    fault = address_fault(url, row->allow_plain_http);
    if (fault) return refuse_member(r, "base_url", "%s", fault);
    while (url.len && url.at[url.len - 1] == '/') url.len--;
    row->base_url = arena_str(r->memory, url);
    return row->base_url || refuse_memory(r);
}

bool doc_provider_read(struct reader *r, struct jval v, struct doc_provider *out)
{
    static const struct field table[] = {
        {"name", FIELD_NAME, offsetof(struct provider_text, row.name), true, 0, 0, NULL},
        {"dialect", FIELD_CHOICE, offsetof(struct provider_text, row.dialect), true, 0, 0, DIALECTS},
        {"base_url", FIELD_TEXT, offsetof(struct provider_text, row.base_url), false, 1, BOUND_PATH, NULL},
        {"allow_plain_http", FIELD_BOOL, offsetof(struct provider_text, row.allow_plain_http), false, 0, 0, NULL},
        {"key_strategy", FIELD_CHOICE, offsetof(struct provider_text, row.key_strategy), false, 0, 0, KEY_STRATEGIES},
        {"keys", FIELD_ARRAY, offsetof(struct provider_text, keys), false, 0, 0, NULL},
        {"timeouts", FIELD_OBJECT, offsetof(struct provider_text, timeouts), false, 0, 0, NULL},
        {"headers", FIELD_OBJECT, offsetof(struct provider_text, headers), false, 0, 0, NULL},
        {"api_version", FIELD_TEXT, offsetof(struct provider_text, row.api_version), false, 1, 64, NULL},
        {"anthropic_version", FIELD_TEXT, offsetof(struct provider_text, row.anthropic_version), false, 1, 64, NULL},
        {"auth", FIELD_CHOICE, offsetof(struct provider_text, row.auth), false, 0, 0, AUTHS},
        {"faces", FIELD_ARRAY, offsetof(struct provider_text, faces), false, 0, 0, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    struct provider_text text = {.row = {.base_url = "", .key_strategy = "priority"}};

    *out = (struct doc_provider){0};
    if (!fields_read(r, v, table, &text)) return false;
    if (!is_plain_name(text.row.name)) return refuse_member(r, "name", "must be of letters, digits, '.', '_' and '-' only");
    if (!base_url_check(r, &text.row)) return false;
    if (text.timeouts.kind && !timeouts_read(r, text.timeouts, &text.row)) return false;
    if (text.headers.kind && !headers_read(r, text.headers, &text.row)) return false;
    if (!version_check(r, "api_version", text.row.api_version)) return false;
    if (!version_check(r, "anthropic_version", text.row.anthropic_version)) return false;
    if (text.faces.kind && !faces_read(r, text.faces, &text.row)) return false;
    if (text.keys.kind && !upstream_keys_read(r, text.keys, out)) return false;
    out->row = text.row;
    return true;
}

/* ---- writing ---- */

static void write_timeouts(struct buf *out, const struct provider_row *p)
{
    const struct { const char *name; int64_t ms; } all[] = {
        {"connect_ms", p->connect_ms},
        {"first_byte_ms", p->first_byte_ms},
        {"idle_ms", p->idle_ms},
        {"total_ms", p->total_ms},
    };
    const char *lead = ",\"timeouts\":{";

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!all[i].ms) continue;
        buf_printf(out, "%s\"%s\":%lld", lead, all[i].name, (long long)all[i].ms);
        lead = ",";
    }
    if (*lead == ',' && !lead[1]) buf_char(out, '}');
}

static void write_faces(struct buf *out, const char *faces)
{
    const char *lead = ",\"faces\":[";
    for (size_t n; *faces; faces += n + (faces[n] == ',')) {
        n = strcspn(faces, ",");
        buf_str(out, lead);
        json_string(out, (struct span){faces, n});
        lead = ",";
    }
    buf_char(out, ']');
}

enum weir_err doc_provider_write(struct buf *out, const struct provider_row *p)
{
    doc_text_write(out, "{\"name\":", p->name);
    doc_text_write(out, ",\"dialect\":", p->dialect);
    if (*p->base_url) doc_text_write(out, ",\"base_url\":", p->base_url);
    if (p->allow_plain_http) buf_str(out, ",\"allow_plain_http\":true");
    if (strcmp(p->key_strategy, "priority") != 0) doc_text_write(out, ",\"key_strategy\":", p->key_strategy);
    buf_str(out, ",\"keys\":[");
    for (int i = 0; i < p->key_count; i++) {
        doc_text_write(out, i ? ",{\"name\":" : "{\"name\":", p->keys[i].name);
        buf_printf(out, ",\"priority\":%lld}", (long long)p->keys[i].priority);
    }
    buf_char(out, ']');
    write_timeouts(out, p);
    for (int i = 0; i < p->header_count; i++) {
        doc_text_write(out, i ? "," : ",\"headers\":{", p->headers[i].name);
        doc_text_write(out, ":", p->headers[i].value);
    }
    if (p->header_count) buf_char(out, '}');
    if (p->api_version) doc_text_write(out, ",\"api_version\":", p->api_version);
    if (p->anthropic_version) doc_text_write(out, ",\"anthropic_version\":", p->anthropic_version);
    if (p->auth) doc_text_write(out, ",\"auth\":", p->auth);
    if (p->faces) write_faces(out, p->faces);
    return buf_char(out, '}');
}
