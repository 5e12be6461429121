/* Looks into JSON arrays of texts where they lie. */
#include "sql/list.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/jscan.h"
#include "fcgi/base/text.h"

#define LIST_DEPTH 2 /* the lists are one array of texts; room for nothing odd */

static bool any(const char *json, bool (*fits)(struct jval element, struct span wanted), struct span wanted)
{
    struct jval list, element;
    struct jfault fault;
    struct span no_key;
    if (!json || !wanted.at) return false;
    if (jscan_check(span_of(json), LIST_DEPTH, &list, &fault) != WEIR_OK || list.kind != JSON_ARRAY) return false;
    struct jiter it = jscan_iter(list);
    while (jscan_next(&it, &no_key, &element))
        if (element.kind == JSON_STRING && fits(element, wanted)) return true;
    return false;
}

static bool is_text(struct jval element, struct span wanted)
{
    char text[BOUND_PATH + 1];
    if (wanted.len > BOUND_PATH || memchr(wanted.at, 0, wanted.len)) return false;
    memcpy(text, wanted.at, wanted.len);
    text[wanted.len] = 0;
    return jval_is(element, text);
}

static bool is_range_of(struct jval element, struct span ip)
{
    struct buf range;
    buf_init(&range, BOUND_NAME);
    bool in = jval_string(element, &range) == WEIR_OK && ip_in_range(ip, buf_all(&range));
    buf_free(&range);
    return in;
}

bool list_has(const char *json, struct span text) { return any(json, is_text, text); }

bool list_has_range(const char *json, struct span ip) { return any(json, is_range_of, ip); }
