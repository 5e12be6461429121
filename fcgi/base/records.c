/* FastCGI's records. What comes is the web server's, which is trusted as far as its numbers are in bounds. */
#include "fcgi/base/records.h"

#define VERSION   1
#define RESPONDER 1
#define KEPT      8192 /* bytes of memory for variables that are kept for the next request */

enum { BEGIN_REQUEST = 1, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT };

void records_init(struct records *r)
{
    *r = (struct records){.stage = AWAITED};
    buf_init(&r->variables, BOUND_VARIABLES);
    buf_init(&r->pointers, BOUND_VARIABLES * sizeof(char *));
}

void records_free(struct records *r)
{
    buf_free(&r->variables);
    buf_free(&r->pointers);
}

void records_start(struct records *r)
{
    r->id = 0;
    r->stage = AWAITED;
    r->have = r->left = r->padding = 0;
    if (r->variables.cap > KEPT) records_free(r);
    buf_clear(&r->variables);
    buf_clear(&r->pointers);
}

/* ---- variables ---- */

/* A length of 1 byte, or of 4 with the first bit set (3.4). */
static bool take_length(struct span *in, size_t *length)
{
    const unsigned char *at = (const unsigned char *)in->at;
    size_t n = in->len && at[0] >> 7 ? 4 : 1;
    if (in->len < n) return false;
    *length = n == 1 ? at[0] : (size_t)(at[0] & 127) << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    in->at += n;
    in->len -= n;
    return true;
}

/* In place: "=" and NUL take no more room than the two lengths did. */
static bool make_environ(struct records *r)
{
    struct span in = buf_all(&r->variables);
    char *out = r->variables.at;
    size_t name, value;
    while (in.len) {
        if (!take_length(&in, &name) || !take_length(&in, &value) || name > in.len || value > in.len - name) return false;
        buf_add(&r->pointers, &out, sizeof out);
        memmove(out, in.at, name);
        out[name] = '=';
        memmove(out + name + 1, in.at + name, value);
        out[name + 1 + value] = '\0';
        out += name + 1 + value + 1;
        in.at += name + value;
        in.len -= name + value;
    }
    char *none = NULL;
    buf_add(&r->pointers, &none, sizeof none);
    return r->pointers.err == WEIR_OK;
}

char **records_environ(const struct records *r) { return (char **)(void *)r->pointers.at; }

/* ---- records ---- */

static int type_of(const struct records *r) { return r->head[1]; }
static uint16_t number_of(const struct records *r) { return (uint16_t)(r->head[2] << 8 | r->head[3]); }

static bool is_ours(const struct records *r)
{
    return number_of(r) && (number_of(r) == r->id || (r->stage == AWAITED && type_of(r) == BEGIN_REQUEST));
}

/* A whole head is there. An empty record ends its stream (3.3). */
static enum records_event open_record(struct records *r)
{
    if (r->head[0] != VERSION) return RECORDS_BROKEN;
    r->left = (size_t)(r->head[4] << 8 | r->head[5]);
    r->padding = r->head[6];
    if (!is_ours(r)) return RECORDS_MORE;
    switch (type_of(r)) {
    case BEGIN_REQUEST: return r->stage == AWAITED && r->left == sizeof r->begin ? RECORDS_MORE : RECORDS_BROKEN;
    case ABORT_REQUEST: return RECORDS_GIVEN_UP;
    case PARAMS:
        if (r->stage != VARIABLES) return RECORDS_BROKEN;
        if (r->left) return RECORDS_MORE;
        r->stage = BODY;
        return make_environ(r) ? RECORDS_BEGUN : RECORDS_BROKEN;
    case STDIN:
        if (r->stage != BODY) return RECORDS_BROKEN;
        if (r->left) return RECORDS_BODY;
        r->stage = WHOLE;
        return r->padding ? RECORDS_MORE : RECORDS_WHOLE; /* whoever watches the connection must not find any there */
    default: return RECORDS_BROKEN;
    }
}

static bool take_begin(struct records *r, struct span piece)
{
    memcpy(r->begin + sizeof r->begin - r->left, piece.at, piece.len);
    if (piece.len < r->left) return true;
    r->id = number_of(r);
    r->stage = VARIABLES;
    return (r->begin[0] << 8 | r->begin[1]) == RESPONDER;
}

/* Of any record but one of the body. */
static bool take_content(struct records *r, struct span piece)
{
    bool fine = true;
    if (is_ours(r) && type_of(r) == BEGIN_REQUEST) fine = take_begin(r, piece);
    else if (is_ours(r) && type_of(r) == PARAMS) fine = buf_span(&r->variables, piece) == WEIR_OK;
    r->left -= piece.len;
    return fine;
}

static struct span take(struct span *in, size_t most)
{
    struct span piece = {in->at, in->len < most ? in->len : most};
    in->at += piece.len;
    in->len -= piece.len;
    return piece;
}

static void close_record(struct records *r)
{
    if (r->have == RECORD_HEAD && !r->left && !r->padding) r->have = 0;
}

size_t records_body_next(const struct records *r)
{
    return r->stage == BODY && r->have == RECORD_HEAD && is_ours(r) && type_of(r) == STDIN ? r->left : 0;
}

void records_took(struct records *r, size_t n)
{
    r->left -= n;
    close_record(r);
}

enum records_event records_next(struct records *r, struct span *in)
{
    enum records_event event = records_body_next(r) ? RECORDS_BODY : RECORDS_MORE;
    while (in->len && event == RECORDS_MORE) {
        if (r->have < RECORD_HEAD) {
            struct span piece = take(in, RECORD_HEAD - r->have);
            memcpy(r->head + r->have, piece.at, piece.len);
            r->have += piece.len;
            if (r->have == RECORD_HEAD) event = open_record(r);
        } else if (r->left) {
            if (!take_content(r, take(in, r->left))) event = RECORDS_BROKEN;
        } else {
            r->padding -= take(in, r->padding).len;
            if (!r->padding && r->stage == WHOLE) event = RECORDS_WHOLE;
        }
        close_record(r);
    }
    return event;
}

/* ---- answers ---- */

static void write_head(const struct records *r, int type, size_t n, unsigned char out[RECORD_HEAD])
{
    const unsigned char head[RECORD_HEAD] = {VERSION, (unsigned char)type, (unsigned char)(r->id >> 8), (unsigned char)r->id,
                                             (unsigned char)(n >> 8), (unsigned char)n, 0, 0};
    memcpy(out, head, sizeof head);
}

void records_answer(const struct records *r, size_t n, unsigned char out[RECORD_HEAD]) { write_head(r, STDOUT, n, out); }

void records_end(const struct records *r, unsigned char out[RECORDS_END])
{
    write_head(r, STDOUT, 0, out);
    write_head(r, END_REQUEST, 8, out + RECORD_HEAD);
    memset(out + 2 * RECORD_HEAD, 0, 8); /* application and protocol status: complete */
}
