/* The built-in mock: answers in OpenAI's form (WIRE.md 1), made here and paced by the clock, scripted by the model's
 * name. An answer is made piece by piece, as the relay takes it; no network, no thread, nothing shared. */
#include "fcgi/provider/mock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "fcgi/base/utf8.h"
#include "fcgi/provider/limit_headers.h"
#include "fcgi/provider/send.h"

#define MOCK_PIECE      (16 << 10) /* bytes after which no more is made until the relay has taken them */
#define MOCK_CHOICES    8          /* n beyond this is answered with this many */
#define MOCK_ECHO       80         /* bytes of the last message, as it stands in the body, that are echoed */
#define MOCK_TOOL_NAME  256        /* a longer name of a tool is not repeated, bytes */
#define MOCK_DIMENSIONS 4096
#define MOCK_MOST_MS    600000

/* ---- the script ---- */

/* What a model's name asks for: NAME[:PARAMETER[:PARAMETER]]. One word of an answer is one token. */
struct script {
    const char *name;
    int64_t tokens;     /* of a choice, at most */
    int64_t bytes;      /* of a choice's text, at most */
    int64_t gap_ms;     /* from event to event of a stream */
    int64_t silence_ms; /* before anything */
    int64_t status;     /* of an error; 0: none */
    int words;          /* in an event */
    bool goes_on;       /* the text does not end by itself */
    bool calls_tool;
    const char *finish; /* finish_reason, unless the caller's maximum comes first */
    struct parameter { size_t of; int64_t least, most; } takes[2]; /* of: where its value belongs; 0: none */
};

#define ENDLESS .tokens = INT64_MAX, .bytes = INT64_MAX, .words = 1, .finish = "stop"

static const struct script scripts[] = { /* the first is also that of unknown names */
    {.name = "mock", ENDLESS},
    {.name = "mock-stream", .tokens = 20, .bytes = INT64_MAX, .gap_ms = 50, .words = 1, .goes_on = true, .finish = "stop",
     .takes = {{offsetof(struct script, tokens), 1, 100000}, {offsetof(struct script, gap_ms), 0, MOCK_MOST_MS}}},
    {.name = "mock-error", .status = 503, .takes = {{offsetof(struct script, status), 400, 599}}},
    {.name = "mock-slow", ENDLESS, .silence_ms = 2000, .takes = {{offsetof(struct script, silence_ms), 0, MOCK_MOST_MS}}},
    {.name = "mock-tool", .tokens = INT64_MAX, .bytes = INT64_MAX, .words = 1, .calls_tool = true, .finish = "tool_calls"},
    {.name = "mock-long", .tokens = INT64_MAX, .bytes = 20000, .words = 16, .goes_on = true, .finish = "length",
     .takes = {{offsetof(struct script, bytes), 1, 10 << 20}}},
};

/* What the text goes on with. */
#define FILLER " Weir routes requests to providers, counts their tokens, keeps budgets and limits, and writes every call" \
               " down; this text only goes on until it is long enough."

static struct script script_of(const char *model)
{
    size_t n = strcspn(model, ":");
    struct script s = scripts[0];
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (span_is((struct span){model, n}, scripts[i].name)) s = scripts[i];
    for (int i = 0; i < 2 && s.takes[i].of && model[n] == ':'; i++) {
        const char *digits = model + n + 1;
        size_t len = strcspn(digits, ":");
        int64_t value = 0;
        n += 1 + len;
        if (len == 0 || strspn(digits, "0123456789") < len) continue; /* the default stays */
        while (len-- && value <= s.takes[i].most) value = value * 10 + (*digits++ - '0');
        if (value < s.takes[i].least) value = s.takes[i].least;
        if (value > s.takes[i].most) value = s.takes[i].most;
        memcpy((char *)&s + s.takes[i].of, &value, sizeof value);
    }
    return s;
}

/* ---- the answer being made ---- */

/* How far a choice's text has come. */
struct cursor {
    int64_t tokens, bytes;
    struct span rest; /* of the text, then of the filler */
};

/* The forms a choice can have; each string stands behind "index":N, and before ,"finish_reason". */
struct form {
    const char *id, *object, *chunk;
    const char *opens, *closes;         /* around the text of a plain answer */
    const char *first;                  /* the event before all text; NULL: none */
    const char *part_opens, *part_closes; /* around the text of an event */
    const char *last;                   /* the event of the finish_reason */
};

static const struct form completion_form = {
    .id = "cmpl-mock-", .object = "text_completion", .chunk = "text_completion",
    .opens = "\"text\":\"", .closes = "\",\"logprobs\":null",
    .part_opens = "\"text\":\"", .part_closes = "\",\"logprobs\":null",
    .last = "\"text\":\"\",\"logprobs\":null",
};

static const struct form chat_form = {
    .id = "chatcmpl-mock-", .object = "chat.completion", .chunk = "chat.completion.chunk",
    .opens = "\"message\":{\"role\":\"assistant\",\"content\":\"", .closes = "\",\"refusal\":null},\"logprobs\":null",
    .first = "\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null",
    .part_opens = "\"delta\":{\"content\":\"", .part_closes = "\"},\"logprobs\":null",
    .last = "\"delta\":{},\"logprobs\":null",
};

/* The call's id and name follow `opens` (add_call). */
static const struct form tool_form = {
    .id = "chatcmpl-mock-", .object = "chat.completion", .chunk = "chat.completion.chunk",
    .opens = "\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"tool_calls\":[{",
    .closes = "\"}}]},\"logprobs\":null",
    .first = "\"delta\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null},\"logprobs\":null",
    .part_opens = "\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"",
    .part_closes = "\"}}]},\"logprobs\":null",
    .last = "\"delta\":{},\"logprobs\":null",
};

struct mock {
    struct upstream up;          /* first: the relay's view */
    const struct chat *chat;     /* &said */
    struct chat said;            /* the caller's, or what it was translated to */
    int64_t max_output; /* -1: none */
    const char *model;
    struct script script;
    const struct form *form;
    int stop_fd;
    int choices;
    char id[25];
    struct span tool;            /* the tool's name as a JSON string */
    struct buf text;             /* what the answer begins with, not escaped */
    struct buf head;             /* {"id" ... "model":"...", of the answer and of every event */
    void (*make)(struct mock *); /* makes the next bit of the body */
    enum { PART_HEAD, PART_TEXT, PART_END } part;
    struct cursor at;
    int place;                   /* choice, or embedding */
    struct jiter inputs;         /* embeddings: what is still to be embedded */
    struct jval input;           /* likewise, where it is no list */
    int64_t due;                 /* clock_mono_ms from which on the next bit may be made */
    bool head_told, over;
};

/* ---- words ---- */

/* The next word, with the blank before it; false: the script has no more. */
static bool script_word(const struct mock *m, struct cursor *c, struct span *word)
{
    if (c->tokens >= m->script.tokens || c->bytes >= m->script.bytes) return false;
    if (!c->rest.len && m->script.goes_on) c->rest = SPAN(FILLER);
    if (!c->rest.len) return false;
    const char *blank = memchr(c->rest.at + 1, ' ', c->rest.len - 1);
    size_t n = blank ? (size_t)(blank - c->rest.at) : c->rest.len;
    if ((int64_t)n > m->script.bytes - c->bytes) n = text_cut(c->rest, (size_t)(m->script.bytes - c->bytes));
    if (!n) return false; /* less is left than the next character takes */
    *word = (struct span){c->rest.at, n};
    c->rest = (struct span){c->rest.at + n, c->rest.len - n};
    c->tokens++;
    c->bytes += (int64_t)n;
    return true;
}

static bool next_word(const struct mock *m, struct cursor *c, struct span *word)
{
    return (m->max_output < 0 || c->tokens < m->max_output) && script_word(m, c, word);
}

static bool words_follow(const struct mock *m)
{
    struct cursor c = m->at;
    struct span word;
    return next_word(m, &c, &word);
}

/* Once no words follow: did the script end, or the caller's maximum end it? */
static const char *finish_reason(const struct mock *m)
{
    struct cursor c = m->at;
    struct span word;
    return script_word(m, &c, &word) ? "length" : m->script.finish;
}

/* The inside of a JSON string. */
static void add_escaped(struct buf *out, struct span s)
{
    size_t from = out->len;
    if (json_string(out, s) != WEIR_OK) return;
    out->len -= 2;
    memmove(out->at + from, out->at + from + 1, out->len - from);
}

static void add_words(struct mock *m, struct cursor *c, int most)
{
    struct span word;
    while (most-- && next_word(m, c, &word)) add_escaped(&m->up.bytes, word);
}

/* ---- text: plain and streamed ---- */

static int64_t prompt_tokens(const struct mock *m)
{
    return m->chat->prompt_bytes > 4 ? (m->chat->prompt_bytes - 1) / 4 + 1 : 1;
}

static void add_usage(struct mock *m)
{
    int64_t prompt = prompt_tokens(m), completion = m->at.tokens * m->choices;
    buf_printf(&m->up.bytes,
               "\"usage\":{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64
               ",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0}"
               ",\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
               "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
               prompt, completion, prompt + completion);
}

/* The fixed part of a tool call, up to its arguments. */
static void add_call(struct mock *m, int choice)
{
    struct buf *out = &m->up.bytes;
    buf_printf(out, "\"id\":\"call_%s%d\",\"type\":\"function\",\"function\":{\"name\":", m->id, choice);
    buf_span(out, m->tool);
    buf_str(out, ",\"arguments\":\"");
}

static void open_choice(struct mock *m)
{
    buf_printf(&m->up.bytes, "%s{\"index\":%d,%s", m->place ? "," : "", m->place, m->form->opens);
    if (m->form == &tool_form) add_call(m, m->place);
    m->at = (struct cursor){.rest = buf_all(&m->text)};
}

static void make_plain(struct mock *m)
{
    struct buf *out = &m->up.bytes;
    switch (m->part) {
    case PART_HEAD:
        buf_span(out, buf_all(&m->head));
        buf_str(out, "\"choices\":[");
        open_choice(m);
        m->part = PART_TEXT;
        break;
    case PART_TEXT:
        if (words_follow(m)) {
            add_words(m, &m->at, 256);
            break;
        }
        buf_printf(out, "%s,\"finish_reason\":\"%s\"}", m->form->closes, finish_reason(m));
        if (++m->place < m->choices) open_choice(m);
        else m->part = PART_END;
        break;
    case PART_END:
        buf_str(out, "],");
        add_usage(m);
        buf_str(out, "}\n");
        m->over = true;
        break;
    }
}

static void open_event(struct mock *m, int choice, const char *form)
{
    struct buf *out = &m->up.bytes;
    buf_str(out, "data: ");
    buf_span(out, buf_all(&m->head));
    buf_printf(out, "\"choices\":[{\"index\":%d,%s", choice, form);
}

/* finish: NULL but in a choice's last event. */
static void close_event(struct mock *m, const char *form, const char *finish)
{
    struct buf *out = &m->up.bytes;
    buf_str(out, form);
    if (finish) buf_printf(out, ",\"finish_reason\":\"%s\"", finish);
    else buf_str(out, ",\"finish_reason\":null");
    buf_str(out, "}],\"usage\":null}\n\n");
}

static void make_first_events(struct mock *m, int choice)
{
    if (m->form->first) {
        open_event(m, choice, m->form->first);
        close_event(m, "", NULL);
    }
    if (m->form == &tool_form) {
        open_event(m, choice, "\"delta\":{\"tool_calls\":[{\"index\":0,");
        add_call(m, choice);
        close_event(m, "\"}}]},\"logprobs\":null", NULL);
    }
}

static void make_last_events(struct mock *m)
{
    struct buf *out = &m->up.bytes;
    for (int i = 0; i < m->choices; i++) {
        open_event(m, i, m->form->last);
        close_event(m, "", finish_reason(m));
    }
    buf_str(out, "data: ");
    buf_span(out, buf_all(&m->head));
    buf_str(out, "\"choices\":[],");
    add_usage(m);
    buf_str(out, "}\n\ndata: [DONE]\n\n");
    m->over = true;
}

static void make_stream(struct mock *m)
{
    struct cursor after = m->at;
    switch (m->part) {
    case PART_HEAD:
        for (int i = 0; i < m->choices; i++) make_first_events(m, i);
        m->at = (struct cursor){.rest = buf_all(&m->text)};
        m->part = PART_TEXT;
        break;
    case PART_TEXT:
        if (!words_follow(m)) {
            m->part = PART_END;
            break;
        }
        for (int i = 0; i < m->choices; i++) {
            after = m->at;
            open_event(m, i, m->form->part_opens);
            add_words(m, &after, m->script.words);
            close_event(m, m->form->part_closes, NULL);
        }
        m->at = after;
        if (words_follow(m)) m->due += m->script.gap_ms;
        break;
    case PART_END:
        make_last_events(m);
        break;
    }
}

/* ---- embeddings ---- */

/* The next of the inputs. A list of numbers is one input: its tokens. */
static bool next_input(struct mock *m, struct jval *input)
{
    struct span key;
    *input = m->input;
    m->input = (struct jval){.kind = JSON_ABSENT};
    return input->kind != JSON_ABSENT || jscan_next(&m->inputs, &key, input);
}

static void start_inputs(struct mock *m)
{
    struct span key;
    struct jval input = jscan_find(m->chat->root, "input"), first = {.kind = JSON_ABSENT};
    struct jiter peek = m->inputs = jscan_iter(input);
    if (input.kind != JSON_ARRAY || (jscan_next(&peek, &key, &first) && first.kind == JSON_NUMBER)) {
        m->inputs = (struct jiter){0};
        m->input = input;
    }
}

static int64_t dimensions(const struct mock *m)
{
    int64_t n;
    if (!jval_int(jscan_find(m->chat->root, "dimensions"), &n)) return 8;
    return n < 1 ? 1 : n > MOCK_DIMENSIONS ? MOCK_DIMENSIONS : n;
}

/* FNV-1a of what the input looks like: the same input has the same vector. */
static uint64_t seed_of(struct span s)
{
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < s.len; i++) h = (h ^ (unsigned char)s.at[i]) * 0x100000001b3;
    return h;
}

/* The vector's next number: from -127/128 to 127/128, which seven digits and a float32 hold exactly. */
static float next_float(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return (float)((int)((*seed >> 33) % 255) - 127) / 128.0f;
}

static void add_base64_vector(struct buf *out, uint64_t seed, int64_t count)
{
    unsigned char bytes[4 * 48]; /* a multiple of three: only the last part is padded */
    size_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        float f = next_float(&seed);
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        for (int shift = 0; shift < 32; shift += 8) bytes[n++] = (unsigned char)(bits >> shift);
        if (n == sizeof bytes || i == count - 1) {
            base64_add(out, bytes, n);
            n = 0;
        }
    }
}

static void add_vector(struct mock *m, struct span of)
{
    struct buf *out = &m->up.bytes;
    uint64_t seed = seed_of(of);
    int64_t count = dimensions(m);
    buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%d,\"embedding\":%c", m->place ? "," : "", m->place,
               m->chat->wants_base64 ? '"' : '[');
    if (m->chat->wants_base64) add_base64_vector(out, seed, count);
    else
        for (int64_t i = 0; i < count; i++) buf_printf(out, "%s%.7g", i ? "," : "", (double)next_float(&seed));
    buf_str(out, m->chat->wants_base64 ? "\"}" : "]}");
    m->place++;
}

static void make_embeddings(struct mock *m)
{
    struct buf *out = &m->up.bytes;
    struct jval input;
    int64_t prompt = prompt_tokens(m);
    switch (m->part) {
    case PART_HEAD:
        buf_str(out, "{\"object\":\"list\",\"data\":[");
        start_inputs(m);
        m->part = PART_TEXT;
        break;
    case PART_TEXT:
        if (next_input(m, &input)) add_vector(m, input.text);
        else m->part = PART_END;
        break;
    case PART_END:
        buf_str(out, "],\"model\":");
        json_string(out, span_of(m->model));
        buf_printf(out, ",\"usage\":{\"prompt_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64 "}}\n", prompt, prompt);
        m->over = true;
        break;
    }
}

/* ---- errors ---- */

static void make_error(struct mock *m)
{
    static const struct { int status; const char *type, *code; } kinds[] = { /* WIRE.md 1 */
        {401, "invalid_request_error", "\"invalid_api_key\""},
        {404, "invalid_request_error", "\"model_not_found\""},
        {429, "rate_limit_error", "\"rate_limit_exceeded\""},
        {503, "service_unavailable_error", "\"server_is_overloaded\""},
    };
    const char *type = m->script.status < 500 ? "invalid_request_error" : "server_error", *code = "null";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].status == m->script.status) {
            type = kinds[i].type;
            code = kinds[i].code;
        }
    buf_printf(&m->up.bytes,
               "{\"error\":{\"message\":\"Weir's built-in mock answers with an error, as the model's name asks.\","
               "\"type\":\"%s\",\"param\":null,\"code\":%s}}\n", type, code);
    m->over = true;
}

/* ---- what the answer begins with ---- */

/* A string; of a list of strings or of a message's parts, the last text. */
static struct jval text_of(struct jval v)
{
    struct jval part, last = {.kind = JSON_ABSENT};
    struct span key;
    struct jiter it = jscan_iter(v);
    if (v.kind == JSON_STRING) return v;
    while (v.kind == JSON_ARRAY && jscan_next(&it, &key, &part)) {
        if (part.kind == JSON_OBJECT) part = jscan_find(part, "text");
        if (part.kind == JSON_STRING) last = part;
    }
    return last;
}

static struct jval last_words(const struct chat *c)
{
    struct jval message, last = {.kind = JSON_ABSENT};
    struct span key;
    if (c->face == FACE_COMPLETIONS) return text_of(jscan_find(c->root, "prompt"));
    struct jiter it = jscan_iter(jscan_find(c->root, "messages"));
    while (jscan_next(&it, &key, &message))
        if (jval_is(jscan_find(message, "role"), "user")) last = text_of(jscan_find(message, "content"));
    return last;
}

/* Bytes of the character at `at` inside a checked JSON string; an escaped surrogate pair is one. */
static size_t raw_char(const char *at, const char *end)
{
    if (*at != '\\') return utf8_char(at, end);
    if (at[1] != 'u') return 2;
    bool high = (at[2] == 'd' || at[2] == 'D') && strchr("89abAB", at[3]);
    return high && end - at >= 12 && at[6] == '\\' && at[7] == 'u' ? 12 : 6;
}

/* What the string means, cut short before it is decoded: messages may be megabytes. */
static void add_short(struct buf *out, struct jval string)
{
    char raw[MOCK_ECHO + 12 + 2];
    const char *at = string.text.at + 1, *end = string.text.at + string.text.len - 1;
    size_t n = 0, step;
    while (at + n < end && n < MOCK_ECHO && (step = raw_char(at + n, end))) n += step;
    memcpy(raw + 1, at, n);
    raw[0] = raw[n + 1] = '"';
    jval_string((struct jval){JSON_STRING, {raw, n + 2}}, out);
    if (at + n < end) buf_str(out, "\xE2\x80\xA6");
}

static void greet(struct mock *m)
{
    struct jval asked = last_words(m->chat);
    buf_str(&m->text, "Hello from Weir's built-in mock: no provider was asked.");
    if (asked.kind != JSON_STRING) {
        buf_str(&m->text, " You sent no text.");
        return;
    }
    buf_str(&m->text, " You said: \"");
    add_short(&m->text, asked);
    buf_char(&m->text, '"');
}

/* The name of the first tool the caller has, as it stands in the body. */
static struct span tool_name(const struct chat *c)
{
    struct span key;
    struct jval tool = {.kind = JSON_ABSENT};
    struct jiter it = jscan_iter(jscan_find(c->root, "tools"));
    jscan_next(&it, &key, &tool);
    struct jval name = jscan_find(jscan_find(tool, "function"), "name");
    return name.kind == JSON_STRING && name.text.len <= MOCK_TOOL_NAME ? name.text : SPAN("\"weather\"");
}

/* ---- the upstream ---- */

/* Waits for `ms` at most; true if the client or the stop descriptor (or a failure to wait) has something to tell. */
static bool be_silent(struct mock *m, int client_fd, int64_t ms, enum upstream_event *event)
{
    struct pollfd fds[2] = {{.fd = client_fd, .events = POLLIN | POLLRDHUP}, {.fd = m->stop_fd, .events = POLLIN}};
    int n = poll(fds, 2, ms > 60000 ? 60000 : (int)ms);
    if (n < 0 && errno != EINTR) {
        m->up.failure = FAILURE_OURS;
        snprintf(m->up.failure_text, sizeof m->up.failure_text, "poll: error %d", errno);
        *event = UPSTREAM_FAILED;
        return true;
    }
    *event = fds[0].revents ? UPSTREAM_GONE : UPSTREAM_STOP;
    return n > 0;
}

static void make_what_is_due(struct mock *m, int64_t now)
{
    struct buf *out = &m->up.bytes;
    while (!m->over && m->due <= now && out->len < MOCK_PIECE && !out->err) m->make(m);
    if (!out->err) return;
    buf_free(out); /* half an event is nothing to pass on */
    m->up.failure = FAILURE_OURS;
    snprintf(m->up.failure_text, sizeof m->up.failure_text, "the mock's answer found no memory");
}

static enum upstream_event mock_wait(struct upstream *u, int client_fd, int64_t deadline)
{
    struct mock *m = (struct mock *)u;
    enum upstream_event event;
    for (;;) {
        int64_t now = clock_mono_ms();
        if (u->failure != FAILURE_NONE) return UPSTREAM_FAILED;
        if (u->bytes.len) return UPSTREAM_BYTES;
        if (m->over) return UPSTREAM_END;
        if (m->due <= now && !m->head_told) {
            m->head_told = true;
            u->status = m->script.status ? (int)m->script.status : 200;
            return UPSTREAM_HEAD;
        }
        if (m->due <= now) {
            make_what_is_due(m, now);
            continue;
        }
        if (deadline <= now) return UPSTREAM_TIMEOUT;
        if (be_silent(m, client_fd, (m->due < deadline ? m->due : deadline) - now, &event)) return event;
    }
}

static void mock_close(struct upstream *u)
{
    struct mock *m = (struct mock *)u;
    buf_free(&m->text);
    buf_free(&m->head);
    buf_free(&u->headers);
    buf_free(&u->bytes);
    free(m);
}

static int mock_watch(struct upstream *u, struct pollfd *fds, int most, int64_t *until)
{
    struct mock *m = (struct mock *)u;
    (void)fds, (void)most;
    if (m->over || u->bytes.len || u->failure != FAILURE_NONE) *until = 0;
    else if (m->due < *until) *until = m->due;
    return 0;
}

static const struct upstream_ops mock_ops = {mock_wait, mock_close, mock_watch};

static void take_id(struct mock *m)
{
    unsigned char bits[12];
    secret_random(bits, sizeof bits);
    for (size_t i = 0; i < sizeof bits; i++) {
        m->id[2 * i] = "0123456789abcdef"[bits[i] >> 4];
        m->id[2 * i + 1] = "0123456789abcdef"[bits[i] & 15];
    }
}

/* Chat and completions: the text and what stands before each choice. */
static void prepare_text(struct mock *m)
{
    bool tool = m->script.calls_tool && m->chat->face == FACE_CHAT;
    m->form = tool ? &tool_form : m->chat->face == FACE_CHAT ? &chat_form : &completion_form;
    m->make = m->chat->stream ? make_stream : make_plain;
    m->choices = m->chat->choices < MOCK_CHOICES ? (int)m->chat->choices : MOCK_CHOICES;
    if (m->script.calls_tool && !tool) m->script.finish = "stop";
    if (tool) {
        m->tool = tool_name(m->chat);
        buf_str(&m->text, "{\"city\": \"Lyon\", \"unit\": \"celsius\", \"days\": 3}");
    } else {
        greet(m);
    }
    take_id(m);
    buf_printf(&m->head, "{\"id\":\"%s%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", m->form->id, m->id,
               m->chat->stream ? m->form->chunk : m->form->object, clock_wall_ms() / 1000);
    json_string(&m->head, span_of(m->model));
    buf_char(&m->head, ',');
}

/* The mock speaks OpenAI's chat: a caller of another face is heard in translation. */
static bool hear(struct mock *m, const struct call *c)
{
    struct jfault fault;
    m->chat = &m->said;
    m->said = *c->chat;
    if (!c->target->conversation) return true;
    m->said.face = FACE_CHAT;
    return body_write(c) == WEIR_OK && jscan_check(buf_all(c->body), BOUND_JSON_DEPTH, &m->said.root, &fault) == WEIR_OK;
}

static enum weir_err mock_open(const struct call *c, struct upstream **out)
{
    struct mock *m = calloc(1, sizeof *m);
    if (!m) return WEIR_NOMEM;
    m->up.ops = &mock_ops;
    m->up.sent = true; /* as if it had gone out: it is answered, and counted */
    if (!hear(m, c)) {
        free(m);
        return WEIR_NOMEM;
    }
    m->max_output = c->max_output >= 0 ? c->max_output : c->chat->max_output;
    m->model = c->target->model;
    m->stop_fd = c->stop_fd;
    m->script = script_of(m->model);
    buf_init(&m->text, 1024);
    buf_init(&m->head, 6 * strlen(m->model) + 256);
    buf_init(&m->up.headers, BOUND_UPSTREAM_HEADERS);
    buf_init(&m->up.bytes, BOUND_PENDING);
    if (m->script.status) m->make = make_error;
    else if (m->chat->face == FACE_EMBEDDINGS) m->make = make_embeddings;
    else prepare_text(m);
    buf_printf(&m->up.headers, "content-type: %s\n", m->make == make_stream ? "text/event-stream" : "application/json");
    m->due = clock_mono_ms() + m->script.silence_ms;
    if (m->text.err || m->head.err || m->up.headers.err) {
        mock_close(&m->up);
        return WEIR_NOMEM;
    }
    *out = &m->up;
    return WEIR_OK;
}

static unsigned mock_faces(const struct provider_row *p)
{
    return (void)p, 1u << FACE_CHAT | 1u << FACE_COMPLETIONS | 1u << FACE_EMBEDDINGS;
}

const struct dialect dialect_mock = {
    "mock", mock_faces, FACE_CHAT, NULL, mock_open, NULL, trouble_openai, limits_openai, NULL, NULL,
};
