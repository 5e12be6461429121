/* Bounds and estimates of a request's tokens. A byte is at least as much as a token (byte-level vocabularies; 24 of 24
 * cases measured), so the text's own length bounds it; what is not text gets a stated allowance. */
#include "fcgi/stage/estimate.h"

#include <pthread.h>
#include <stdlib.h>

#define CHARACTERS_A_TOKEN 4
#define NESTED 3 /* content within content: a message's, a tool result's in it; each level is read once more than the last */

struct sum {
    int64_t bytes, images, files, sounds, messages, tools, hosted, stored, prompts, best_of;
    struct jval thinking, reasoning; /* the members */
};

/* Encoded bytes that say they are no text: what they count is not bounded by how many they are. */
static bool is_packed(struct span url)
{
    static const char *const kinds[] = {"data:application/pdf", "data:image/", "data:audio/", "data:video/", "JVBERi0"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (span_starts(url, kinds[i])) return true;
    return false;
}

/* A file that is sent along may be nothing but text: each of its bytes may be a token. */
static int64_t file_bytes(struct jval part, int depth)
{
    struct span key;
    struct jval v;
    int64_t n = 0;
    struct jiter it = jscan_iter(part);
    while (jscan_next(&it, &key, &v)) {
        bool holds = jkey_is(key, "file") || jkey_is(key, "source");
        if (holds && !depth) n += file_bytes(v, depth + 1);
        else if ((jkey_is(key, "file_data") || (depth && jkey_is(key, "data"))) && v.kind == JSON_STRING &&
                 !is_packed((struct span){v.text.at + 1, v.text.len - 2}))
            n += (int64_t)v.text.len;
    }
    return n;
}

/* Members of a part that hold an address or encoded bytes, which are no text to the model. All others are counted. */
static bool is_payload(struct span key)
{
    static const char *const names[] = {"image_url", "image", "source", "input_audio",
                                        "file", "file_data", "file_id", "video_url"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (jkey_is(key, names[i])) return true;
    return false;
}

static bool is_one_of(struct jval v, const char *const *names)
{
    for (; *names; names++)
        if (jval_is(v, *names)) return true;
    return false;
}

/* Of two types upstreams take the last, or the first: it may be either. */
static bool may_be(struct jval part, const char *const *types)
{
    struct span key;
    struct jval v;
    bool found = false;
    struct jiter it = jscan_iter(part);
    while (jscan_next(&it, &key, &v)) found |= jkey_is(key, "type") && is_one_of(v, types);
    return found;
}

static void add_content(struct sum *s, struct jval content, int depth);

/* Anthropic's documents may be given as text: then that is what is read. */
static bool is_text_document(struct jval part)
{
    struct jval type = jscan_find(jscan_find(part, "source"), "type");
    return jval_is(type, "text") || jval_is(type, "content");
}

static void add_part(struct sum *s, struct jval part, int depth)
{
    static const char *const images[] = {"image_url", "input_image", "image", NULL};
    static const char *const files[] = {"input_audio", "file", "input_file", "video_url", "document",
                                        "container_upload", NULL}, *const sounds[] = {"input_audio", NULL};
    struct span key;
    struct jval v;
    bool image = may_be(part, images), file = may_be(part, files) && !is_text_document(part);
    s->images += image;
    s->files += file;
    s->sounds += may_be(part, sounds);
    if (file) s->bytes += file_bytes(part, 0);
    struct jiter it = jscan_iter(part);
    if (part.kind != JSON_OBJECT) s->bytes += (int64_t)part.text.len;
    while (jscan_next(&it, &key, &v)) {
        if ((image || file) && is_payload(key)) continue;
        s->bytes += (int64_t)key.len;
        if (jkey_is(key, "content")) add_content(s, v, depth + 1); /* a tool's result */
        else s->bytes += (int64_t)v.text.len;
    }
}

static void add_content(struct sum *s, struct jval content, int depth)
{
    struct span key;
    struct jval part;
    if (content.kind != JSON_ARRAY || depth == NESTED) {
        s->bytes += (int64_t)content.text.len;
        s->files += depth == NESTED; /* no face has such; whatever it is, it is not looked for */
        return;
    }
    struct jiter it = jscan_iter(content);
    while (jscan_next(&it, &key, &part)) add_part(s, part, depth);
}

/* A message, or an item of a response's input: its parts stand under "content", a tool's result under "output". */
static void add_message(struct sum *s, struct jval message)
{
    struct span key;
    struct jval v;
    bool typed = false;
    struct jiter it = jscan_iter(message);
    s->messages++;
    while (jscan_next(&it, &key, &v)) {
        s->bytes += (int64_t)key.len;
        if (!typed && (typed = jkey_is(key, "type"))) s->stored += jval_is(v, "item_reference");
        if (jkey_is(key, "content") || jkey_is(key, "output")) add_content(s, v, 0);
        else s->bytes += (int64_t)v.text.len;
    }
}

static void add_messages(struct sum *s, struct jval messages)
{
    struct span key;
    struct jval m;
    struct jiter it = jscan_iter(messages);
    while (jscan_next(&it, &key, &m)) add_message(s, m);
}

/* A function's schema is in the request; what a tool of the provider's own reads (a web search, say) is not. */
static bool is_hosted(struct jval tool)
{
    struct span key;
    struct jval v;
    bool hosted = false;
    struct jiter it = jscan_iter(tool);
    while (jscan_next(&it, &key, &v))
        if (jkey_is(key, "type")) hosted |= !jval_is(v, "function") && !jval_is(v, "custom");
    return hosted;
}

static void add_tools(struct sum *s, struct jval tools)
{
    struct span key;
    struct jval tool;
    struct jiter it = jscan_iter(tools);
    while (jscan_next(&it, &key, &tool)) {
        s->tools++;
        s->hosted += is_hosted(tool);
    }
}

/* A completion's prompts: a text and an array of tokens are one, an array of either is as many. Each gets its answers. */
static int64_t prompts_in(struct jval prompt)
{
    struct span key;
    struct jval first = {.kind = JSON_ABSENT};
    struct jiter it = jscan_iter(prompt);
    if (prompt.kind != JSON_ARRAY || !jscan_next(&it, &key, &first) || first.kind == JSON_NUMBER) return 1;
    return (int64_t)jscan_count(prompt);
}

/* What makes a provider read more than was sent: a search, other servers' tools, skills in a container. */
static int64_t hosted_by(struct span key, struct jval v)
{
    static const char *const one[] = {"web_search_options", "container", "plugins", "data_sources", "search_parameters"};
    if (v.kind == JSON_NULL) return 0;
    if (jkey_is(key, "mcp_servers")) return (int64_t)jscan_count(v);
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        if (jkey_is(key, one[i])) return 1;
    return 0;
}

/* What it has stored, and puts before it. */
static int64_t stored_by(struct span key, struct jval v, enum face face)
{
    static const char *const stored[] = {"previous_response_id", "conversation", "prompt"};
    for (size_t i = 0; face == FACE_RESPONSES && v.kind != JSON_NULL && i < sizeof stored / sizeof *stored; i++)
        if (jkey_is(key, stored[i])) return 1;
    return 0;
}

/* Where an answer's form is asked for: something is said around that as around a tool's. */
static bool is_schema(struct span key)
{
    return jkey_is(key, "response_format") || jkey_is(key, "output_config") || jkey_is(key, "output_format") ||
           jkey_is(key, "text");
}

/* Everything that a model may read: all members, for nobody knows which a provider will put before it. */
static void add_all(struct sum *s, const struct chat *chat)
{
    struct span key;
    struct jval v;
    struct jiter it = jscan_iter(chat->root);
    s->prompts = 1;
    while (jscan_next(&it, &key, &v)) {
        bool items = jkey_is(key, "input") && chat->face == FACE_RESPONSES && v.kind == JSON_ARRAY;
        if (jkey_is(key, "messages") || items) add_messages(s, v);
        else s->bytes += (int64_t)v.text.len;
        s->hosted += hosted_by(key, v);
        s->stored += stored_by(key, v, chat->face);
        s->tools += is_schema(key) && v.kind == JSON_OBJECT;
        if (jkey_is(key, "tools") || jkey_is(key, "functions")) add_tools(s, v);
        else if (jkey_is(key, "best_of")) jval_int(v, &s->best_of);
        else if (jkey_is(key, "prompt") && chat->face == FACE_COMPLETIONS) s->prompts = prompts_in(v);
        else if (jkey_is(key, "thinking")) s->thinking = v;
        else if (jkey_is(key, "reasoning")) s->reasoning = v;
    }
}

int64_t estimate_text(int64_t characters)
{
    return (characters + CHARACTERS_A_TOKEN - 1) / CHARACTERS_A_TOKEN;
}

static int64_t times(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

/* ---- experience ---- */

#define PLACES     256
#define WEIGHT     16  /* an answer moves the mean by one sixteenth of the difference */
#define SCALE      16  /* means are kept in sixteenths of a token */
#define FACTOR_MOST 16

#define RATIO      256 /* of told to guessed prompt tokens is kept in this scale */
#define RATIO_LEAST (RATIO / 4)
#define RATIO_MOST (RATIO * 16)
#define TELLING    200 /* tokens of a prompt that says something of the ratio */

#define GOOD_ENOUGH 64 /* so many answers within the bound take half of a factor back */

struct known { uint64_t name; int64_t mean, factor, ratio; int good; };

struct experience {
    pthread_mutex_t lock;
    struct known at[PLACES];
};

struct experience *experience_new(void)
{
    struct experience *x = calloc(1, sizeof *x);
    if (x) pthread_mutex_init(&x->lock, NULL);
    return x;
}

void experience_free(struct experience *x)
{
    if (!x) return;
    pthread_mutex_destroy(&x->lock);
    free(x);
}

static uint64_t hash_of(const char *name) /* FNV-1a; 0 is an empty place */
{
    uint64_t h = 14695981039346656037u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h ? h : 1;
}

/* Its place, or the empty one or another's that it may take: an estimate may be forgotten. */
static struct known *place_of(struct experience *x, uint64_t name)
{
    struct known *first = &x->at[name % PLACES];
    for (int i = 0; i < 8; i++) {
        struct known *k = &x->at[(name + (uint64_t)i) % PLACES];
        if (k->name == name || !k->name) return k;
    }
    return first;
}

void experience_add(struct experience *x, const char *alias, int64_t output, int64_t choices, bool over_bound)
{
    uint64_t name = hash_of(alias);
    int64_t each = output * SCALE / (choices > 0 ? choices : 1);
    pthread_mutex_lock(&x->lock);
    struct known *k = place_of(x, name);
    if (k->name != name) *k = (struct known){.name = name, .mean = each, .factor = 1, .ratio = RATIO};
    k->mean += (each - k->mean) / WEIGHT;
    if (over_bound) k->good = 0;
    if (over_bound && k->factor < FACTOR_MOST) k->factor *= 2;
    if (!over_bound && k->factor > 1 && ++k->good == GOOD_ENOUGH) {
        k->factor /= 2;
        k->good = 0;
    }
    pthread_mutex_unlock(&x->lock);
}

static int64_t within(int64_t n, int64_t least, int64_t most) { return n < least ? least : n > most ? most : n; }

void experience_add_prompt(struct experience *x, const char *alias, int64_t told, int64_t guessed)
{
    uint64_t name = hash_of(alias);
    if (guessed < TELLING || told <= 0 || told > INT64_MAX / RATIO) return;
    int64_t ratio = within(told * RATIO / guessed, RATIO_LEAST, RATIO_MOST);
    pthread_mutex_lock(&x->lock);
    struct known *k = place_of(x, name);
    if (k->name != name) *k = (struct known){.name = name, .mean = OUTPUT_ESTIMATE * SCALE, .factor = 1, .ratio = RATIO};
    k->ratio = ratio > k->ratio ? ratio : k->ratio + (ratio - k->ratio) / WEIGHT;
    pthread_mutex_unlock(&x->lock);
}

static struct known experience_of(struct experience *x, const char *alias)
{
    uint64_t name = hash_of(alias);
    struct known none = {.mean = OUTPUT_ESTIMATE * SCALE, .factor = 1, .ratio = RATIO};
    pthread_mutex_lock(&x->lock);
    struct known *k = place_of(x, name);
    if (k->name == name) none = *k;
    pthread_mutex_unlock(&x->lock);
    return none;
}

/* ---- weights ---- */

static int64_t weigh(const struct sum *s)
{
    int64_t tokens = s->messages * TOKENS_A_MESSAGE + s->images * TOKENS_IMAGE_ESTIMATE;
    return s->bytes + tokens * CHARACTERS_A_TOKEN;
}

int64_t estimate_message(struct jval message)
{
    struct sum s = {0};
    add_message(&s, message);
    return weigh(&s);
}

int64_t estimate_weight(const struct chat *chat)
{
    struct sum s = {0};
    add_all(&s, chat);
    return weigh(&s) + TOKENS_A_REQUEST * CHARACTERS_A_TOKEN;
}

int64_t estimate_tokens(struct experience *x, const char *alias, int64_t weight)
{
    return (times(estimate_text(weight), experience_of(x, alias).ratio) + RATIO - 1) / RATIO;
}

/* ---- the whole ---- */

/* What is thought before the answer: Anthropic refuses a maximum that leaves nothing beside it. (The second name is
 * OpenRouter's.) */
static int64_t thinking(const struct sum *s)
{
    int64_t budget = 0;
    if (!jval_int(jscan_find(s->thinking, "budget_tokens"), &budget))
        jval_int(jscan_find(s->reasoning, "max_tokens"), &budget);
    return budget > 0 && budget <= INT32_MAX ? budget : 0;
}

void estimate_request(const struct chat *chat, const struct model_row *model, struct experience *x, struct estimate *out)
{
    const struct known known = experience_of(x, model->alias);
    struct sum s = {0};
    add_all(&s, chat);
    int64_t frame = TOKENS_A_REQUEST + s.messages * TOKENS_A_MESSAGE;
    int64_t thought = thinking(&s), most = model->max_output ? model->max_output : OUTPUT_UNKNOWN + thought;
    if (chat->max_output > 0) most = chat->max_output; /* completions: 0 is none for some */
    int64_t besides = s.tools * TOKENS_A_TOOL + s.images * TOKENS_AN_IMAGE + (s.files + s.hosted) * TOKENS_A_FILE;
    /* A stored conversation fills the window at most; where that is not known, it gets the allowance. */
    if (s.stored) besides += model->context_window > TOKENS_A_FILE ? model->context_window : s.stored * TOKENS_A_FILE;
    *out = (struct estimate){
        .has_audio = s.sounds > 0, .has_files = s.files > 0,
        .prompt_bound = times(s.bytes + frame + besides, known.factor),
        .prompt_estimate = estimate_text(s.bytes) + frame + s.images * TOKENS_IMAGE_ESTIMATE,
        .samples = times(s.best_of > chat->choices ? s.best_of : chat->choices, s.prompts),
    };
    if (chat->face == FACE_EMBEDDINGS) return;
    out->output_bound = times(most, out->samples);
    out->output_least = times(thought + OUTPUT_FLOOR, out->samples);
    int64_t guess = times((known.mean + SCALE - 1) / SCALE, out->samples);
    out->output_estimate = guess < out->output_bound ? guess : out->output_bound;
}
