/* Calls by hand. They are made as the relay makes its own: by fit_target and the dialect. */
#include "fcgi/provider/ask.h"

#include <time.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "fcgi/provider/fit.h"

#define BODY_MOST (4 << 20) /* bytes of a model list that are read */
#define WORD_TOKENS 16      /* the least that every provider takes for a maximum */

/* A call on its way. */
struct asking {
    struct chat chat;
    struct target target;
    struct buf text, sent;
    struct arena memory;
    struct http_pool *pool;
    struct upstream *up;
};

static void begin(struct asking *s, const struct provider_row *p, const struct upstream_key *key, const char *model)
{
    *s = (struct asking){.target = {.provider = p, .key = key, .model = model}};
    arena_init(&s->memory);
    buf_init(&s->text, 8192);
    buf_init(&s->sent, 8192);
}

static void end(struct asking *s)
{
    if (s->up) s->up->ops->close(s->up);
    http_pool_free(s->pool);
    buf_free(&s->text);
    buf_free(&s->sent);
    arena_end(&s->memory);
}

static struct call call_of(struct asking *s)
{
    return (struct call){.pool = s->pool, .stop_fd = -1, .chat = &s->chat, .target = &s->target, .max_output = WORD_TOKENS,
                         .default_max_output = WORD_TOKENS, .body = &s->sent, .memory = &s->memory};
}

/* ---- reading ---- */

static int64_t date_of(struct span s) /* RFC 9110 5.6.7, the form in use */
{
    char text[64];
    struct tm tm = {0};
    size_t n = s.len < sizeof text ? s.len : sizeof text - 1;
    memcpy(text, s.at ? s.at : "", n);
    text[n] = '\0';
    return strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) ? (int64_t)timegm(&tm) * 1000 : 0;
}

static void read_head(struct asking *s, const struct dialect *d, int64_t begun, struct answer *a)
{
    a->status = s->up->status;
    a->head_ms = clock_mono_ms() - begun;
    a->date_ms = date_of(upstream_header(s->up, "date"));
    d->read_limits(s->up, clock_wall_ms(), &a->limits);
}

static void read_all(struct asking *s, const struct dialect *d, int64_t begun, int64_t bound_ms, struct answer *a)
{
    for (;;) {
        a->end = s->up->ops->wait(s->up, -1, begun + bound_ms);
        if (a->end == UPSTREAM_HEAD) {
            read_head(s, d, begun, a);
        } else if (a->end == UPSTREAM_BYTES) {
            buf_span(&a->body, buf_all(&s->up->bytes));
            buf_clear(&s->up->bytes);
        } else {
            break;
        }
    }
    a->failure = s->up->failure;
    memcpy(a->failure_text, s->up->failure_text, sizeof a->failure_text);
}

/* What a whole answer says is wrong. */
static void judge(struct asking *s, const struct dialect *d, bool is_word, struct answer *a)
{
    struct tap tap;
    if (a->end != UPSTREAM_END) return;
    tap_start(&tap, &s->chat, s->target.asked);
    if (a->status != 200) {
        tap_read_error(&tap, buf_all(&a->body), &a->fault);
        a->trouble = d->classify(a->status, &a->fault);
    } else if (is_word && !tap_read_answer(&tap, buf_all(&a->body), &a->fault)) {
        a->trouble = TROUBLE_BROKEN;
    }
}

static enum weir_err ask(struct asking *s, const struct dialect *d, bool is_word, int64_t bound_ms, struct answer *a)
{
    int64_t begun = clock_mono_ms();
    enum weir_err err = http_pool_new(-1, &s->pool);
    const struct call c = call_of(s);
    if (err == WEIR_OK) err = is_word ? d->open(&c, &s->up) : d->ask_models(&c, &s->up);
    if (err != WEIR_OK) return err;
    read_all(s, d, begun, bound_ms, a);
    judge(s, d, is_word, a);
    return WEIR_OK;
}

/* ---- the two calls ---- */

static void answer_init(struct answer *a)
{
    const struct limit_header none = {-1, -1, -1};
    *a = (struct answer){.end = UPSTREAM_FAILED, .limits = {none, none, none, none, -1}};
    buf_init(&a->body, BODY_MOST);
}

void answer_free(struct answer *a) { buf_free(&a->body); }

enum weir_err ask_for_models(const struct provider_row *p, const struct upstream_key *key, int64_t bound_ms,
                             struct answer *out)
{
    const struct dialect *d = dialect_find(p->dialect);
    struct asking s;
    answer_init(out);
    if (!d || !d->ask_models) return d ? WEIR_NOT_FOUND : WEIR_INTERNAL;
    begin(&s, p, key, "");
    s.target.asked = d->base;
    enum weir_err err = ask(&s, d, false, bound_ms, out);
    end(&s);
    return err;
}

/* A request as a caller would send it. Its maximum is left to the call, which knows by what name the upstream takes it. */
static enum weir_err write_word(struct asking *s)
{
    struct jval root;
    struct jfault fault;
    buf_str(&s->text, "{\"model\":");
    json_string(&s->text, span_of(s->target.model));
    buf_str(&s->text, ",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}");
    if (s->text.err || jscan_check(buf_all(&s->text), BOUND_JSON_DEPTH, &root, &fault) != WEIR_OK) return WEIR_NOMEM;
    s->chat = (struct chat){.face = FACE_CHAT, .body = buf_all(&s->text), .root = root, .model = jscan_find(root, "model"),
                            .alias = span_of(s->target.model), .choices = 1, .max_output = -1, .prompt_bytes = 2};
    return WEIR_OK;
}

enum weir_err ask_for_a_word(const struct provider_row *p, const struct upstream_key *key, const char *model,
                             int64_t bound_ms, struct answer *out)
{
    const struct dialect *d = dialect_find(p->dialect);
    struct problem problem;
    struct asking s;
    answer_init(out);
    begin(&s, p, key, model);
    struct fitting f = {.chat = &s.chat, .memory = &s.memory};
    enum weir_err err = d ? write_word(&s) : WEIR_INTERNAL;
    if (err == WEIR_OK) err = fit_target(&f, &s.target, &problem);
    if (err == WEIR_OK) err = ask(&s, d, true, bound_ms, out);
    end(&s);
    return err;
}
