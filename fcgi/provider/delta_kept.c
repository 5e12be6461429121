/* The items of an answer, as they come: what a plain answer is made of at its end, and what a stream has open. All text
 * lies in one buffer whatever order its pieces came in, so that memory stays near what was received. */
#include "fcgi/provider/delta_write.h"

#define SEGMENTS_MOST (1 << 20)

struct segment { size_t at, len; int next; /* -1: the last of its text */ };

static const struct kept_text no_text = {-1, -1};

struct kept *kept_new(struct arena *a, bool texts, bool follows)
{
    struct kept *k = arena_alloc(a, sizeof *k);
    if (!k) return NULL;
    k->texts = texts;
    k->follows = follows;
    buf_init(&k->bytes, BOUND_ANSWER);
    buf_init(&k->segments, SEGMENTS_MOST * sizeof(struct segment));
    buf_init(&k->items, ITEMS_MOST * sizeof(struct item));
    for (int i = 0; i < BOUND_CHOICES; i++) k->first[i] = k->latest[i] = k->latest_call[i] = -1;
    return k;
}

void kept_free(struct kept *k)
{
    buf_free(&k->bytes);
    buf_free(&k->segments);
    buf_free(&k->items);
}

enum weir_err kept_err(const struct kept *k)
{
    if (k->bytes.err) return k->bytes.err;
    return k->segments.err ? k->segments.err : k->items.err;
}

int kept_count(const struct kept *k) { return (int)(k->items.len / sizeof(struct item)); }

struct item *kept_item(const struct kept *k, int i) { return (struct item *)(void *)k->items.at + i; }

/* ---- texts ---- */

static struct segment *segment(const struct kept *k, int i) { return (struct segment *)(void *)k->segments.at + i; }

bool kept_is_empty(struct kept_text t) { return t.first < 0; }

static void keep(struct kept *k, struct kept_text *t, struct span text)
{
    size_t at = k->bytes.len;
    if (!text.len || buf_span(&k->bytes, text) != WEIR_OK) return;
    struct segment *last = t->last < 0 ? NULL : segment(k, t->last);
    if (last && last->at + last->len == at) {
        last->len += text.len;
        return;
    }
    int i = (int)(k->segments.len / sizeof *last);
    if (buf_add(&k->segments, &(struct segment){at, text.len, -1}, sizeof *last) != WEIR_OK) return;
    if (t->last < 0) t->first = i;
    else segment(k, t->last)->next = i;
    t->last = i;
}

void kept_put(const struct kept *k, struct kept_text t, struct buf *out)
{
    for (int i = t.first; i >= 0; i = segment(k, i)->next) buf_add(out, k->bytes.at + segment(k, i)->at, segment(k, i)->len);
}

/* ---- where arguments end ---- */

/* The next character that the inside of a string means; what is neither structure nor part of a string's end is 'x'. */
static char next_meant(const char **at, const char *end)
{
    const char *p = *at;
    *at = p + 1;
    if (*p != '\\' || end - p < 2) return *p;
    *at = p + 2;
    if (p[1] != 'u') return p[1] == '"' || p[1] == '\\' ? p[1] : 'x';
    if (end - p < 6) return *at = end, 'x';
    *at = p + 6;
    if (p[2] != '0' || p[3] != '0') return 'x';
    unsigned code = 0;
    for (int i = 4; i < 6; i++) code = code << 4 | (unsigned)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return code < 0x80 ? (char)code : 'x';
}

static void follow(struct json_end *e, struct span piece)
{
    const char *at = piece.at, *end = piece.at + piece.len;
    while (at < end) {
        char c = next_meant(&at, end);
        if (e->in_string) {
            if (e->escaped) e->escaped = false;
            else if (c == '\\') e->escaped = true;
            else if (c == '"') e->in_string = false;
        } else if (c == '"') e->in_string = true;
        else if (c == '{' || c == '[') e->depth++;
        else if ((c == '}' || c == ']') && --e->depth == 0) e->whole = true;
    }
}

/* ---- items ---- */

static int add_item(struct kept *k, const struct delta *d)
{
    int i = kept_count(k);
    bool call = d->kind == DELTA_TOOL;
    struct item item = {.kind = d->kind == DELTA_SIGNATURE ? DELTA_REASONING : d->kind, .choice = d->choice, .tool = d->tool,
                        .next = -1, .earlier_call = k->latest_call[d->choice],
                        .id = no_text, .name = no_text, .text = no_text, .signature = no_text};
    if (call && k->texts) {
        keep(k, &item.id, d->id);
        keep(k, &item.name, d->name);
    }
    if (k->open_count == OPEN_MOST) k->items.err = WEIR_FULL;
    if (buf_add(&k->items, &item, sizeof item) != WEIR_OK) return -1;
    if (k->latest[d->choice] < 0) k->first[d->choice] = i;
    else kept_item(k, k->latest[d->choice])->next = i;
    k->latest[d->choice] = i;
    if (k->follows) k->open[k->open_count++] = i;
    if (call) k->latest_call[d->choice] = i;
    return i;
}

static int find_call(const struct kept *k, int choice, int tool)
{
    int i = k->latest_call[choice];
    while (i >= 0 && kept_item(k, i)->tool != tool) i = kept_item(k, i)->earlier_call;
    return i;
}

/* A signature ends its reasoning: what is thought after it is another one's. */
static bool goes_on(const struct item *latest, enum delta_kind kind)
{
    if (kind == DELTA_SIGNATURE) return latest->kind == DELTA_REASONING;
    return latest->kind == kind && !latest->is_signed;
}

int kept_take(struct kept *k, const struct delta *d, bool *fresh)
{
    int i = d->kind == DELTA_ARGUMENTS ? find_call(k, d->choice, d->tool) : k->latest[d->choice];
    *fresh = d->kind == DELTA_TOOL || (d->kind != DELTA_ARGUMENTS && (i < 0 || !goes_on(kept_item(k, i), d->kind)));
    if (*fresh) i = add_item(k, d);
    if (i < 0 || kept_item(k, i)->closed) return -1;
    struct item *item = kept_item(k, i);
    if (d->kind == DELTA_ARGUMENTS) follow(&item->end, d->text);
    if (d->kind == DELTA_SIGNATURE) item->is_signed = true;
    if (k->texts) keep(k, d->kind == DELTA_SIGNATURE ? &item->signature : &item->text, d->text);
    return i;
}

int kept_first(const struct kept *k, int choice) { return k->first[choice]; }

int kept_close(struct kept *k, int before, bool all)
{
    for (int at = 0; at < k->open_count; at++) {
        int i = k->open[at];
        struct item *item = kept_item(k, i);
        if (!all && (i >= before || (item->kind == DELTA_TOOL && !item->end.whole))) continue;
        memmove(&k->open[at], &k->open[at + 1], sizeof *k->open * (size_t)(--k->open_count - at));
        item->closed = true;
        return i;
    }
    return -1;
}
