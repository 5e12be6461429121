/* Events are rewritten where they lie: everything that is not at fault stays byte for byte. */
#include "fcgi/provider/mend.h"

#include <inttypes.h>
#include <stdio.h>

#include "fcgi/base/secret.h"

/* What is copied so far of the event. */
struct copy { struct buf *out; const char *from; bool changed; };

/* At `at`, `drop` bytes of the event go and `text` comes. In the order of the event. */
static void change(struct copy *c, const char *at, size_t drop, const char *text)
{
    buf_add(c->out, c->from, (size_t)(at - c->from));
    buf_str(c->out, text);
    c->from = at + drop;
    c->changed = true;
}

static enum mended end(struct copy *c, struct jval root)
{
    if (!c->changed) return MEND_NOTHING;
    const char *stop = root.text.at + root.text.len;
    buf_add(c->out, c->from, (size_t)(stop - c->from));
    return MEND_REWRITTEN;
}

static bool is_empty(struct jval v) { return v.kind <= JSON_NULL || (v.kind == JSON_STRING && v.text.len == 2); }

/* A new first member of an object: right behind its brace. */
static void put_first(struct copy *c, struct jval object, const char *member)
{
    change(c, object.text.at + 1, 0, member);
    if (jscan_count(object)) buf_char(c->out, ',');
}

static bool start(struct span data, struct copy *c, struct jval *root, struct buf *out)
{
    struct jfault fault;
    if (jscan_check(data, BOUND_JSON_DEPTH, root, &fault) != WEIR_OK || root->kind != JSON_OBJECT) return false;
    *c = (struct copy){.out = out, .from = root->text.at};
    return true;
}

/* ---- Gemini ---- */

/* Made of the stream's id, or of chance where it has none: two answers' calls stand in one history. */
static void put_id(struct mend *m, struct buf *out)
{
    if (!*m->id) {
        uint64_t chance;
        secret_random(&chance, sizeof chance);
        snprintf(m->id, sizeof m->id, "%016" PRIx64, chance);
    }
    buf_printf(out, "\"call_%s_%u\"", m->id, m->serial++);
}

/* What the call lacks altogether, put first in it. */
static void add_absent(struct mend *m, struct copy *c, struct jval call, bool begins, int index)
{
    struct buf lacks;
    buf_init(&lacks, 256);
    if (jscan_find(call, "index").kind == JSON_ABSENT) buf_printf(&lacks, "\"index\":%d,", index);
    if (begins && jscan_find(call, "id").kind == JSON_ABSENT) {
        buf_str(&lacks, "\"id\":");
        put_id(m, &lacks);
        buf_char(&lacks, ',');
    }
    if (begins && jscan_find(call, "type").kind == JSON_ABSENT) buf_str(&lacks, "\"type\":\"function\",");
    if (lacks.len) {
        lacks.len--; /* the last comma: put_first knows whether one is needed */
        put_first(c, call, buf_cstr(&lacks));
    }
    buf_free(&lacks);
}

/* A call that has a name begins; one without goes on with the last. */
static void mend_call(struct mend *m, struct copy *c, struct jval call, int64_t choice)
{
    struct span key;
    struct jval v;
    bool begins = !is_empty(jscan_find(jscan_find(call, "function"), "name"));
    if (begins && m->calls[choice] < UINT8_MAX) m->calls[choice]++;
    int index = m->calls[choice] ? m->calls[choice] - 1 : 0;
    add_absent(m, c, call, begins, index);
    struct jiter it = jscan_iter(call);
    while (jscan_next(&it, &key, &v)) {
        if (!is_empty(v)) continue;
        if (jkey_is(key, "index")) {
            change(c, v.text.at, v.text.len, "");
            buf_int(c->out, index);
        } else if (begins && jkey_is(key, "id")) {
            change(c, v.text.at, v.text.len, "");
            put_id(m, c->out);
        } else if (begins && jkey_is(key, "type")) {
            change(c, v.text.at, v.text.len, "\"function\"");
        }
    }
}

static void mend_choice(struct mend *m, struct copy *c, struct jval choice)
{
    struct span key;
    struct jval v, call;
    int64_t index = 0;
    jval_int(jscan_find(choice, "index"), &index);
    if (index < 0 || index >= BOUND_CHOICES) return;
    bool called = jscan_count(jscan_find(jscan_find(choice, "delta"), "tool_calls")) > 0 || m->calls[index];
    struct jiter it = jscan_iter(choice);
    while (jscan_next(&it, &key, &v)) {
        if (jkey_is(key, "delta")) {
            struct jiter calls = jscan_iter(jscan_find(v, "tool_calls"));
            while (jscan_next(&calls, &key, &call))
                if (call.kind == JSON_OBJECT) mend_call(m, c, call, index);
        } else if (jkey_is(key, "finish_reason") && called && jval_is(v, "stop")) {
            change(c, v.text.at, v.text.len, "\"tool_calls\"");
        }
    }
}

/* Its raw inside, which can stand in another string. A longer one than fits is not believed to be an id. */
static void remember(struct jval v, char *to, size_t size)
{
    if (v.kind != JSON_STRING || is_empty(v) || v.text.len - 2 >= size) return;
    memcpy(to, v.text.at + 1, v.text.len - 2);
    to[v.text.len - 2] = '\0';
}

enum mended mend_gemini(struct mend *m, struct span data, struct buf *out)
{
    struct copy c;
    struct jval root, choice;
    struct span key;
    if (!start(data, &c, &root, out)) return MEND_NOTHING;
    remember(jscan_find(root, "id"), m->id, sizeof m->id);
    struct jiter it = jscan_iter(jscan_find(root, "choices"));
    while (jscan_next(&it, &key, &choice))
        if (choice.kind == JSON_OBJECT) mend_choice(m, &c, choice);
    return end(&c, root);
}

/* ---- Azure ---- */

static void put_string(struct copy *c, struct jval v, const char *text)
{
    change(c, v.text.at, v.text.len, "\"");
    buf_str(c->out, text);
    buf_char(c->out, '"');
}

static void mend_members(struct mend *m, struct copy *c, struct jval root)
{
    struct span key;
    struct jval v, choice;
    struct jiter it = jscan_iter(root);
    while (jscan_next(&it, &key, &v)) {
        bool empty = v.kind == JSON_STRING && is_empty(v);
        if (empty && jkey_is(key, "id")) put_string(c, v, m->id);
        else if (empty && jkey_is(key, "model")) put_string(c, v, m->model);
        else if (empty && jkey_is(key, "object")) put_string(c, v, "chat.completion.chunk");
        else if (jkey_is(key, "choices")) {
            struct jiter choices = jscan_iter(v);
            while (jscan_next(&choices, &key, &choice))
                if (choice.kind == JSON_OBJECT && jscan_find(choice, "delta").kind == JSON_ABSENT)
                    put_first(c, choice, "\"delta\":{}");
        }
    }
}

enum mended mend_azure(struct mend *m, struct span data, struct buf *out)
{
    struct copy c;
    struct jval root;
    if (!start(data, &c, &root, out)) return MEND_NOTHING;
    struct jval choices = jscan_find(root, "choices");
    bool says_nothing = choices.kind == JSON_ARRAY && jscan_count(choices) == 0 &&
                        jscan_find(root, "usage").kind <= JSON_NULL && jscan_find(root, "error").kind <= JSON_NULL;
    if (says_nothing) return MEND_DROPPED;
    if (choices.kind != JSON_ARRAY) return MEND_NOTHING;
    remember(jscan_find(root, "id"), m->id, sizeof m->id);
    remember(jscan_find(root, "model"), m->model, sizeof m->model);
    mend_members(m, &c, root);
    return end(&c, root);
}

/* ---- Groq ---- */

enum mended mend_groq(struct mend *m, struct span data, struct buf *out)
{
    struct copy c;
    struct jval root;
    (void)m;
    if (!start(data, &c, &root, out)) return MEND_NOTHING;
    struct jval told = jscan_find(jscan_find(root, "x_groq"), "usage"), usage = jscan_find(root, "usage");
    if (told.kind != JSON_OBJECT || usage.kind > JSON_NULL) return MEND_NOTHING;
    if (usage.kind == JSON_NULL) {
        change(&c, usage.text.at, usage.text.len, "");
        buf_span(out, told.text);
    } else {
        change(&c, root.text.at + 1, 0, "\"usage\":");
        buf_span(out, told.text);
        buf_char(out, ',');
    }
    return end(&c, root);
}
