/* The section `keys` of the document: read, checked, written. */
#include "admin/document.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"

#define CLIENT_SECRET_LEAST 32 /* characters */
#define LIST_MOST 10000        /* aliases or ranges of one key */

struct key_text { struct key row; const char *expires; struct jval models, endpoints, allow_ip, secret; };

bool doc_texts_read(struct reader *r, const char *name, struct jval list, const char *(*fault)(struct span),
                    const char **out)
{
    size_t before = path_member(r, name), i = 0;
    struct jiter it = jscan_iter(list);
    struct buf json;
    struct span key, text;
    struct jval v;
    bool fine = true;

    if (!jscan_count(list)) return refuse(r, "must not be empty; leave it out where all are meant");
    if (jscan_count(list) > LIST_MOST) return refuse(r, "must have at most %d entries", LIST_MOST);
    buf_init(&json, list.text.len * 6 + 64); /* an escape is at most six times as long */
    for (; fine && jscan_next(&it, &key, &v); i++) {
        size_t here = path_index(r, i);

        fine = text_read(r, v, &text);
        if (fine && fault(text)) fine = refuse(r, "%s", fault(text));
        if (!fine) break;
        buf_str(&json, i ? "," : "[");
        json_string(&json, text);
        path_back(r, here);
    }
    buf_char(&json, ']');
    *out = fine && !json.err ? arena_str(r->memory, buf_all(&json)) : NULL;
    buf_free(&json);
    if (!fine) return false;
    if (!*out) return refuse_memory(r);
    path_back(r, before);
    return true;
}

const char *alias_fault(struct span s)
{
    if (!s.len) return "must not be empty";
    if (s.len > BOUND_ALIAS) return "is too long for an alias";
    return text_has_controls(s, false) ? "must not hold control characters" : NULL;
}

const char *endpoint_fault(struct span s)
{
    return choice_is(KEY_ENDPOINTS, s) ? NULL : "must be one of " KEY_ENDPOINTS;
}

static const char *range_fault(struct span s)
{
    return ip_range_is_valid(s) ? NULL : "must be an address or a range like 10.0.0.0/8";
}

static bool client_secret_read(struct reader *r, struct jval v, struct span *out)
{
    size_t before = path_member(r, "secret");

    if (!secret_read(r, v, out)) return false;
    if (out->len < CLIENT_SECRET_LEAST) return refuse(r, "must have at least %d characters", CLIENT_SECRET_LEAST);
    if (!text_is_header_safe(*out) || memchr(out->at, ' ', out->len))
        return refuse(r, "must hold only visible ASCII characters");
    path_back(r, before);
    return true;
}

bool doc_key_read(struct reader *r, struct jval v, struct doc_key *out)
{
    static const struct field table[] = {
        {"name", FIELD_NAME, offsetof(struct key_text, row.name), true, 0, 0, NULL},
        {"user", FIELD_NAME, offsetof(struct key_text, row.user), false, 0, 0, NULL},
        {"team", FIELD_NAME, offsetof(struct key_text, row.team), false, 0, 0, NULL},
        {"role", FIELD_NAME, offsetof(struct key_text, row.role), false, 0, 0, NULL},
        {"rolegroup", FIELD_NAME, offsetof(struct key_text, row.rolegroup), false, 0, 0, NULL},
        {"models", FIELD_ARRAY, offsetof(struct key_text, models), false, 0, 0, NULL},
        {"endpoints", FIELD_ARRAY, offsetof(struct key_text, endpoints), false, 0, 0, NULL},
        {"allow_ip", FIELD_ARRAY, offsetof(struct key_text, allow_ip), false, 0, 0, NULL},
        {"may_assert_identity", FIELD_BOOL, offsetof(struct key_text, row.may_assert), false, 0, 0, NULL},
        {"expires", FIELD_TEXT, offsetof(struct key_text, expires), false, 1, 64, NULL},
        {"secret", FIELD_ANY, offsetof(struct key_text, secret), false, 0, 0, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    struct key_text t = {0};

    *out = (struct doc_key){.secret = SPAN_NONE};
    if (!fields_read(r, v, table, &t)) return false;
    if (t.models.kind && !doc_texts_read(r, "models", t.models, alias_fault, &t.row.models)) return false;
    if (t.endpoints.kind && !doc_texts_read(r, "endpoints", t.endpoints, endpoint_fault, &t.row.endpoints)) return false;
    if (t.allow_ip.kind && !doc_texts_read(r, "allow_ip", t.allow_ip, range_fault, &t.row.allow_ip)) return false;
    if (t.expires && (!time_parse(span_of(t.expires), &t.row.expires) || t.row.expires <= 0))
        return refuse_member(r, "expires", "must be a time like 2027-01-31T00:00:00Z");
    if (t.secret.kind && !client_secret_read(r, t.secret, &out->secret)) return false;
    out->row = t.row;
    return true;
}

enum weir_err doc_key_write(struct buf *out, const struct key *k)
{
    const struct { const char *name, *value; } who[] = {
        {"user", k->user}, {"team", k->team}, {"role", k->role}, {"rolegroup", k->rolegroup}};
    char time[TIME_TEXT];

    buf_str(out, "{\"name\":");
    json_string(out, span_of(k->name));
    for (size_t i = 0; i < sizeof who / sizeof *who; i++) {
        if (!who[i].value) continue;
        buf_printf(out, ",\"%s\":", who[i].name);
        json_string(out, span_of(who[i].value));
    }
    if (k->models) buf_printf(out, ",\"models\":%s", k->models);
    if (k->endpoints) buf_printf(out, ",\"endpoints\":%s", k->endpoints);
    if (k->allow_ip) buf_printf(out, ",\"allow_ip\":%s", k->allow_ip);
    if (k->may_assert) buf_str(out, ",\"may_assert_identity\":true");
    if (k->expires) {
        time_text(k->expires, time);
        buf_printf(out, ",\"expires\":\"%s\"", time);
    }
    return buf_char(out, '}');
}
