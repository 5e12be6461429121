/* Reading answers, whatever their face: steps are given in the order that delta.h promises. A finish and the usage are
 * held until the end, for upstreams say them early, twice, or wrong, and only the end knows (WIRE.md 3). */
#include "fcgi/provider/delta_read.h"

#include "fcgi/base/utf8.h"

#define TOKENS_MOST 1000000000 /* no single answer counts more; what claims to is nonsense */

struct delta_reader *delta_reader_new(enum face from, struct arena *a)
{
    struct delta_reader *r = arena_alloc(a, sizeof *r);
    if (!r) return NULL;
    r->face = from == FACE_MESSAGES ? &delta_reads_messages
              : from == FACE_COMPLETIONS ? &delta_reads_completions : &delta_reads_chat;
    r->memory = a;
    r->input = r->cache_write = r->cache_read = r->output = -1;
    for (int i = 0; i < BOUND_CHOICES; i++) r->finish[i] = FINISH_UNTOLD;
    return r;
}

/* ---- what the faces call ---- */

struct span delta_quoted(struct jval v)
{
    return v.kind == JSON_STRING ? (struct span){v.text.at + 1, v.text.len - 2} : SPAN_NONE;
}

bool delta_tokens(struct jval v, int64_t *out)
{
    int64_t n;
    if (!jval_int(v, &n) || n < 0 || n > TOKENS_MOST) return false;
    *out = n;
    return true;
}

static void give(struct delta_reader *r, const struct delta *d) { r->give(d, r->arg); }

void delta_give_start(struct delta_reader *r, struct jval id, struct jval model, int64_t created)
{
    if (r->started) return;
    r->started = true;
    give(r, &(struct delta){.kind = DELTA_START, .id = delta_quoted(id), .model = delta_quoted(model), .usage = r->usage,
                            .created = created > 0 ? created : 0});
}

void delta_give_text(struct delta_reader *r, enum delta_kind kind, int choice, int tool, struct jval v)
{
    struct span text = delta_quoted(v);
    if (text.len) give(r, &(struct delta){.kind = kind, .choice = choice, .tool = tool, .text = text});
}

void delta_give_tool(struct delta_reader *r, int choice, int tool, struct jval id, struct jval name)
{
    delta_mark(r->called, choice);
    give(r, &(struct delta){.kind = DELTA_TOOL, .choice = choice, .tool = tool, .id = delta_quoted(id),
                            .name = delta_quoted(name)});
}

/* JSON as the inside of a string, in pieces that end between characters: no room for the whole of it is needed. */
static void give_json(struct delta_reader *r, struct delta d, struct span json)
{
    char piece[2048];
    size_t n = 0;
    for (size_t i = 0; i < json.len; i++) {
        char c = json.at[i];
        if (n > sizeof piece - 8 && !utf8_is_tail((unsigned char)c)) {
            d.text = (struct span){piece, n};
            give(r, &d);
            n = 0;
        }
        if (c == '"' || c == '\\') piece[n++] = '\\';
        piece[n++] = c == '\n' || c == '\r' || c == '\t' ? ' ' : c; /* only between values: white space as good as any */
    }
    d.text = (struct span){piece, n};
    give(r, &d);
}

bool delta_give_arguments(struct delta_reader *r, int choice, int tool, struct jval v)
{
    struct delta d = {.kind = DELTA_ARGUMENTS, .choice = choice, .tool = tool};
    if (v.kind == JSON_ABSENT || v.kind == JSON_NULL || (v.kind == JSON_STRING && v.text.len == 2)) return false;
    if (v.kind == JSON_STRING) delta_give_text(r, DELTA_ARGUMENTS, choice, tool, v);
    else give_json(r, d, v.text);
    return true;
}

struct known_call *delta_note_call(struct delta_reader *r, int choice, int64_t index, uint64_t id)
{
    uint8_t number = 0;
    if (r->call_count == CALLS_MOST) return NULL;
    for (int i = 0; i < r->call_count; i++) number = (uint8_t)(number + (r->calls[i].choice == choice));
    struct known_call *call = &r->calls[r->call_count++];
    *call = (struct known_call){.id = id, .index = index, .choice = (uint8_t)choice, .number = number};
    return call;
}

/* ---- what delta.h promises ---- */

static bool read_root(struct span text, struct jval *root)
{
    struct jfault bad;
    return jscan_check(text, BOUND_JSON_DEPTH, root, &bad) == WEIR_OK && root->kind == JSON_OBJECT;
}

void delta_read_event(struct delta_reader *r, struct span data, void (*give_to)(const struct delta *, void *), void *arg)
{
    struct jval root;
    r->give = give_to, r->arg = arg;
    if (!r->ended && read_root(data, &root)) r->face->event(r, root);
}

/* An upstream that calls tools and says "stop" (Gemini; OpenAI where the call was forced) means tools. */
static enum finish finish_of(const struct delta_reader *r, int choice)
{
    int told = r->finish[choice];
    if (told != FINISH_UNTOLD && told != FINISH_STOP) return (enum finish)told;
    return delta_is_marked(r->called, choice) ? FINISH_TOOLS : FINISH_STOP;
}

void delta_read_end(struct delta_reader *r, void (*give_to)(const struct delta *, void *), void *arg)
{
    const struct jval none = {.kind = JSON_ABSENT};
    r->give = give_to, r->arg = arg;
    if (r->ended) return;
    r->ended = true;
    for (int i = 0; i < BOUND_CHOICES; i++)
        if (delta_is_marked(r->seen, i))
            give(r, &(struct delta){.kind = DELTA_FINISH, .choice = i, .finish = finish_of(r, i), .stop = r->stop});
    if (!r->usage.known) return;
    delta_give_start(r, none, none, 0);
    give(r, &(struct delta){.kind = DELTA_USAGE, .usage = r->usage, .reasoning = r->reasoning});
}

bool delta_read_answer(struct delta_reader *r, struct span body, void (*give_to)(const struct delta *, void *), void *arg)
{
    struct jval root;
    r->give = give_to, r->arg = arg;
    if (r->ended || !read_root(body, &root) || !r->face->answer(r, root)) return false;
    delta_read_end(r, give_to, arg);
    return true;
}
