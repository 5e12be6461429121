/* The tools of those who read a request into a conversation: members taken by a closed list, so that nothing is left out
 * unseen; refusals that name the place in the caller's own words; pieces that grow in the request's memory. */
#include "fcgi/provider/translate.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

#define NAME_MOST 60 /* bytes of a member's name in a path */

/* ---- refusals ---- */

static bool holds(struct jval v, const char *at)
{
    return at >= v.text.at && at < v.text.at + v.text.len;
}

void path_of(struct jval root, const char *at, char path[PATH_TEXT])
{
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(root);
    size_t len = 0, place = 0;
    *path = '\0';
    if (!at || !holds(root, at)) return;
    while (len < PATH_TEXT - 1 && jscan_next(&it, &key, &v)) {
        if (!holds(v, at)) {
            place++;
            continue;
        }
        char *to = path + len;
        int n = it.object ? snprintf(to, PATH_TEXT - len, "%s%.*s", len ? "." : "", (int)text_cut(key, NAME_MOST), key.at)
                          : snprintf(to, PATH_TEXT - len, "[%zu]", place);
        if (n < 0 || (size_t)n >= PATH_TEXT - len) { /* cut before this step rather than inside it */
            *to = '\0';
            return;
        }
        len += (size_t)n;
        place = 0;
        it = jscan_iter(v);
    }
}

static bool refuse(struct reader *r, enum weir_err err, const char *param, const char *text)
{
    r->err = problem_set(r->p, err, param, "%s", text);
    return false;
}

bool reader_nomem(struct reader *r)
{
    r->err = problem_set(r->p, WEIR_NOMEM, NULL, NULL);
    return false;
}

bool reader_must(struct reader *r, struct jval v, const char *expected)
{
    char path[PATH_TEXT];
    path_of(r->chat->root, v.text.at, path);
    r->err = problem_set(r->p, WEIR_INVALID, path, "%s must be %s.", path, expected);
    return false;
}

bool reader_lacks(struct reader *r, struct jval object, const char *member, const char *expected)
{
    char path[PATH_TEXT], whole[PATH_TEXT + NAME_MOST + 2];
    path_of(r->chat->root, object.text.at, path);
    snprintf(whole, sizeof whole, "%s%s%s", path, *path ? "." : "", member);
    r->err = problem_set(r->p, WEIR_INVALID, whole, "%s is missing; it must be %s.", whole, expected);
    return false;
}

bool reader_untranslatable(struct reader *r, struct jval v)
{
    char path[PATH_TEXT];
    path_of(r->chat->root, v.text.at, path);
    r->err = problem_set(r->p, WEIR_INVALID, path,
                         "%s has no counterpart in what this model's provider speaks.", path);
    return false;
}

bool reader_needs_state(struct reader *r, struct jval v)
{
    char path[PATH_TEXT];
    path_of(r->chat->root, v.text.at, path);
    r->err = problem_set(r->p, WEIR_INVALID, path,
                         "%s needs stored state, which only an upstream that speaks Responses natively has.", path);
    return false;
}

/* ---- members ---- */

static const char *expected_of(unsigned kinds)
{
    switch (kinds) {
    case A_STRING: return "a string";
    case A_LIST: return "an array";
    case AN_OBJECT: return "an object";
    case A_NUMBER: return "a number";
    case A_BOOLEAN: return "true or false";
    case A_STRING | A_LIST: return "a string or an array";
    case A_STRING | AN_OBJECT: return "a string or an object";
    default: return "of another type";
    }
}

static bool is_zero(struct span number)
{
    for (size_t i = 0; i < number.len && number.at[i] != 'e' && number.at[i] != 'E'; i++)
        if (number.at[i] >= '1' && number.at[i] <= '9') return false;
    return true;
}

/* Is this value, white space aside, written as `neutral` is? Any zero is "0". */
static bool is_neutral(struct jval v, const char *neutral)
{
    if (!neutral) return false;
    if (v.kind == JSON_NUMBER && neutral[0] == '0') return is_zero(v.text);
    for (size_t i = 0; i < v.text.len; i++) {
        if (strchr(" \t\r\n", v.text.at[i]) && v.text.at[i]) continue;
        if (*neutral++ != v.text.at[i]) return false; /* at the end: the NUL, which no JSON text has */
    }
    return *neutral == '\0';
}

bool reader_extra(struct reader *r, const char *field, struct jval value)
{
    struct conversation *c = r->out;
    if (!is_given(value)) return true;
    if (c->extra_count == CONVERSATION_EXTRAS) return reader_untranslatable(r, value);
    c->extras[c->extra_count++] = (struct extra){field, value};
    return true;
}

static bool take_one(struct reader *r, const struct member *m, struct jval v, struct jval *at)
{
    if (m->use == USE_NOTHING || is_neutral(v, m->neutral)) return true;
    if (!(m->kinds & KIND(v.kind))) return reader_must(r, v, expected_of(m->kinds));
    switch (m->use) {
    case USE_READ:
        *at = v;
        return true;
    case USE_EXTRA: return reader_extra(r, m->name, v);
    case USE_STATE: return reader_needs_state(r, v);
    case USE_NOWHERE: return reader_untranslatable(r, v);
    case USE_NOTHING: break;
    }
    return true;
}

/* The most common difference first: two names that begin differently, and not with an escape. */
static bool is_member(struct span key, const char *name)
{
    return (key.len == 0 || *key.at == *name || *key.at == '\\') && jkey_is(key, name);
}

bool reader_take(struct reader *r, struct jval object, const struct member *known, int count, struct jval *at)
{
    uint64_t seen = 0;
    struct span key;
    struct jval v;
    for (int i = 0; i < count; i++) at[i] = (struct jval){JSON_ABSENT, SPAN_NONE};
    if (object.kind != JSON_OBJECT) return reader_must(r, object, "an object");
    struct jiter it = jscan_iter(object);
    while (jscan_next(&it, &key, &v)) {
        int i = 0;
        while (i < count && !is_member(key, known[i].name)) i++;
        if (i == count && v.kind == JSON_NULL) continue;
        if (i == count) return reader_untranslatable(r, v);
        if (seen >> i & 1) return reader_must(r, v, "given once");
        seen |= (uint64_t)1 << i;
        if (v.kind != JSON_NULL && !take_one(r, &known[i], v, &at[i])) return false;
    }
    return true;
}

bool reader_type(struct reader *r, struct jval object, const char *only)
{
    struct jval type = jscan_find(object, "type");
    if (type.kind == JSON_ABSENT || type.kind == JSON_NULL || jval_is(type, only)) return true;
    return type.kind == JSON_STRING ? reader_untranslatable(r, type) : reader_must(r, type, "a string");
}

int word_of(struct jval v, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (jval_is(v, words[i])) return i;
    return -1;
}

/* ---- pieces ---- */

static bool count_pieces(struct reader *r, struct jval of, size_t n)
{
    char path[PATH_TEXT];
    if (n <= (size_t)(BOUND_PIECES - r->pieces)) {
        r->pieces += (int)n;
        return true;
    }
    path_of(r->chat->root, of.text.at, path);
    return refuse(r, WEIR_INVALID, path, "The request has more pieces than can be translated.");
}

void *reader_pieces(struct reader *r, struct jval of, size_t count, size_t size)
{
    if (!count_pieces(r, of, count)) return NULL;
    void *at = arena_alloc(r->arena, (count ? count : 1) * size);
    if (!at) reader_nomem(r);
    return at;
}

/* Room for one thing more behind `count`. What was copied away from stays in the arena: less than what is used. */
static void *grown(struct reader *r, void *at, int count, int *cap, size_t size)
{
    if (!count_pieces(r, r->chat->root, 1)) return NULL;
    if (count < *cap) return at;
    int more = *cap ? 2 * *cap : 1; /* most messages have one part */
    void *to = arena_alloc(r->arena, (size_t)more * size);
    if (!to) {
        reader_nomem(r);
        return NULL;
    }
    if (count) memcpy(to, at, (size_t)count * size);
    *cap = more;
    return to;
}

void reader_close(struct reader *r)
{
    if (r->out->message_count) {
        struct message *last = &r->messages[r->out->message_count - 1];
        last->parts = r->open.at;
        last->part_count = r->open.count;
    }
    r->open = (struct part_list){NULL, 0, 0};
    r->out->messages = r->messages;
}

struct message *reader_message(struct reader *r, enum speaker speaker)
{
    reader_close(r);
    struct message *at = grown(r, r->messages, r->out->message_count, &r->message_cap, sizeof *at);
    if (!at) return NULL;
    r->messages = at;
    at += r->out->message_count++;
    *at = (struct message){.speaker = speaker};
    return at;
}

struct message *reader_join(struct reader *r, enum speaker speaker)
{
    int n = r->out->message_count;
    return n && r->messages[n - 1].speaker == speaker ? &r->messages[n - 1] : reader_message(r, speaker);
}

struct part *reader_part(struct reader *r, struct part_list *to, enum part_kind kind)
{
    struct part *at = grown(r, to->at, to->count, &to->cap, sizeof *at);
    if (!at) return NULL;
    to->at = at;
    at += to->count++;
    *at = (struct part){.kind = kind};
    return at;
}
