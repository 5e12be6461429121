/* What translating answers costs: one event of text read in one face and written in another, and a plain answer of 2 KB.
 * Not part of the tests. Build and run:
 *   make build/libweir.a && cc -O2 -std=c11 -D_GNU_SOURCE -I. -o /tmp/delta_bench tests/bench/delta_bench.c build/libweir.a \
 *   $(pkg-config --libs sqlite3 libsodium json-c libcurl) -lfcgi && /tmp/delta_bench */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "fcgi/base/bounds.h"
#include "fcgi/provider/delta.h"

#define EVENTS 2000
#define ROUNDS 200
#define PLAIN 20000

static const struct { const char *name; enum face face; } faces[] = {
    {"chat", FACE_CHAT}, {"completions", FACE_COMPLETIONS}, {"responses", FACE_RESPONSES}, {"messages", FACE_MESSAGES},
};

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(bool what)
{
    if (!what) abort();
}

struct way { struct delta_writer *writer; struct buf *out; };

static void pass_on(const struct delta *d, void *arg)
{
    const struct way *way = arg;
    delta_write(way->writer, d, way->out);
}

static struct way way_to(enum face face, bool stream, const struct chat *c, struct arena *a, struct buf *out)
{
    struct delta_target t = {.face = face, .stream = stream, .wants_usage = true, .chat = c, .request_id = "req-0123456789"};
    struct way way = {delta_writer_new(&t, a), out};
    must(way.writer != NULL);
    return way;
}

static double event_us(enum face from, enum face to, const struct chat *c)
{
    static const char chat_event[] = "{\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o-mini\","
        "\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}";
    static const char messages_event[] = "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" token\"}}";
    struct span event = from == FACE_CHAT ? SPAN(chat_event) : SPAN(messages_event);
    double began = cpu_us();
    for (int round = 0; round < ROUNDS; round++) {
        struct arena a;
        struct buf out;
        arena_init(&a);
        buf_init(&out, BOUND_ANSWER);
        struct delta_reader *r = delta_reader_new(from, &a);
        struct way way = way_to(to, true, c, &a, &out);
        for (int i = 0; i < EVENTS; i++) {
            out.len = 0; /* as it is sent event by event */
            delta_read_event(r, event, pass_on, &way);
        }
        delta_read_end(r, pass_on, &way);
        delta_write_end(way.writer, &out);
        must(out.err == WEIR_OK);
        delta_writer_free(way.writer);
        buf_free(&out);
        arena_end(&a);
    }
    return (cpu_us() - began) / ROUNDS / EVENTS;
}

static double plain_us(enum face from, enum face to, const struct chat *c)
{
    char words[1501], body[2400];
    for (size_t i = 0; i < sizeof words - 1; i++) words[i] = i % 6 ? 'x' : ' ';
    words[sizeof words - 1] = '\0';
    const char *call = from == FACE_CHAT
        ? "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":"
          "{\"role\":\"assistant\",\"content\":\"%s\",\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"weather\","
          "\"arguments\":\"{\\\"city\\\":\\\"Graz\\\",\\\"days\\\":3}\"}}],\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}],"
          "\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,\"total_tokens\":29,\"prompt_tokens_details\":{\"cached_tokens\":0}}}"
        : "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"},{\"type\":"
          "\"tool_use\",\"id\":\"toolu_1\",\"name\":\"weather\",\"input\":{\"city\":\"Graz\",\"days\":3}}],\"stop_reason\":\"tool_use\",\"stop_sequence\":"
          "null,\"usage\":{\"input_tokens\":19,\"output_tokens\":10}}";
    snprintf(body, sizeof body, call, words);
    double began = cpu_us();
    for (int round = 0; round < PLAIN; round++) {
        struct arena a;
        struct buf out;
        arena_init(&a);
        buf_init(&out, BOUND_ANSWER);
        struct way way = way_to(to, false, c, &a, &out);
        must(delta_read_answer(delta_reader_new(from, &a), span_of(body), pass_on, &way));
        delta_write_end(way.writer, &out);
        must(out.err == WEIR_OK);
        delta_writer_free(way.writer);
        buf_free(&out);
        arena_end(&a);
    }
    return (cpu_us() - began) / PLAIN;
}

int main(void)
{
    struct chat c = {.face = FACE_RESPONSES};
    struct jfault bad;
    must(jscan_check(SPAN("{\"model\":\"m\",\"input\":\"hi\",\"tools\":[{\"type\":\"function\",\"name\":\"weather\",\"parameters\":{}}]}"),
                     BOUND_JSON_DEPTH, &c.root, &bad) == WEIR_OK);
    c.model = jscan_find(c.root, "model");
    printf("%-10s %-12s %14s %16s\n", "from", "to", "us an event", "us an answer");
    for (int from = 0; from < 2; from++)
        for (size_t to = 0; to < sizeof faces / sizeof *faces; to++) {
            enum face face = from ? FACE_MESSAGES : FACE_CHAT;
            printf("%-10s %-12s %14.2f %16.2f\n", from ? "messages" : "chat", faces[to].name, event_us(face, faces[to].face, &c),
                   plain_us(face, faces[to].face, &c));
        }
    return 0;
}
