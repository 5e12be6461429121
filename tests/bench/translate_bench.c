/* What translation costs: a request of 2 KB read from chat and written as Messages, one event of a stream read in one face and
 * written in another, a plain answer of 2 KB. Process CPU time; the targets are of the project's fourth issue. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "fcgi/base/bounds.h"
#include "fcgi/provider/conversation.h"
#include "fcgi/provider/delta.h"

#define EVENTS 2000
#define ROUNDS 200
#define PLAIN 20000
#define REQUESTS 20000
#define REQUEST_AND_ANSWER_US 60.0
#define EVENT_US 15.0

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

static double request_us(void)
{
    struct chat c = {.face = FACE_CHAT, .max_output = 100};
    struct jfault bad;
    struct problem p;
    struct buf body, out;
    buf_init(&body, 1 << 16);
    buf_init(&out, 1 << 16);
    buf_str(&body, "{\"model\":\"m\",\"max_tokens\":100,\"temperature\":0.5,\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\","
                   "\"description\":\"Tells the weather\",\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}}}],"
                   "\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"}");
    while (body.len < 1980) buf_str(&body, ",{\"role\":\"user\",\"content\":\"How does a weir regulate a flow, and measure it?\\n\"},"
                                           "{\"role\":\"assistant\",\"content\":\"By its crest, over which \\\"water\\\" falls.\"}");
    buf_str(&body, ",{\"role\":\"user\",\"content\":\"Thanks.\"}]}");
    double begun = cpu_us();
    for (int i = 0; i < REQUESTS; i++) {
        struct arena a;
        struct conversation talk;
        arena_init(&a);
        buf_clear(&out);
        must(jscan_check(buf_all(&body), BOUND_JSON_DEPTH, &c.root, &bad) == WEIR_OK);
        must(conversation_read(&c, &a, &talk, &p) == WEIR_OK && conversation_fits(&talk, FACE_CHAT, FACE_MESSAGES, &p) == WEIR_OK);
        conversation_write(&talk, FACE_MESSAGES, &(struct write_options){.model = "claude", .max_output = 100}, &out);
        must(out.err == WEIR_OK);
        arena_end(&a);
    }
    double us = (cpu_us() - begun) / REQUESTS;
    buf_free(&body);
    buf_free(&out);
    return us;
}

int main(void)
{
    struct chat c = {.face = FACE_RESPONSES};
    struct jfault bad;
    double request = request_us(), worst_event = 0, worst_plain = 0;
    must(jscan_check(SPAN("{\"model\":\"m\",\"input\":\"hi\",\"tools\":[{\"type\":\"function\",\"name\":\"weather\",\"parameters\":{}}]}"),
                     BOUND_JSON_DEPTH, &c.root, &bad) == WEIR_OK);
    c.model = jscan_find(c.root, "model");
    printf("translation, CPU: a 2 KB request from chat to messages %.1f us\n%-10s %-12s %14s %16s\n", request, "from", "to", "us an event",
           "us an answer");
    for (int from = 0; from < 2; from++)
        for (size_t to = 0; to < sizeof faces / sizeof *faces; to++) {
            enum face face = from ? FACE_MESSAGES : FACE_CHAT;
            double event = event_us(face, faces[to].face, &c), plain = plain_us(face, faces[to].face, &c);
            printf("%-10s %-12s %14.2f %16.2f\n", from ? "messages" : "chat", faces[to].name, event, plain);
            worst_event = event > worst_event ? event : worst_event;
            worst_plain = plain > worst_plain ? plain : worst_plain;
        }
    printf("  request and answer %.1f us (target <= %.0f), an event %.2f us (<= %.0f): %s\n", request + worst_plain, REQUEST_AND_ANSWER_US,
           worst_event, EVENT_US, request + worst_plain <= REQUEST_AND_ANSWER_US && worst_event <= EVENT_US ? "reached" : "NOT reached");
    return 0;
}
