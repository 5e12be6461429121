/* A streamed call, and when its pieces come. */
#include "admin/stream_call.h"

#include <stdio.h>

#include "fcgi/base/bounds.h"
#include "fcgi/base/clock.h"
#include "fcgi/base/text.h"
#include "fcgi/door/http.h"

#define CONNECT_MS 5000
#define MOMENT_MS 2

static void stream_read(struct upstream *u, int64_t start, int64_t deadline, struct stream_result *out)
{
    enum upstream_event event;
    int64_t last = 0;
    bool line_start = true;

    while ((event = u->ops->wait(u, -1, deadline)) == UPSTREAM_HEAD || event == UPSTREAM_BYTES) {
        int64_t now = clock_mono_ms();
        struct span bytes = buf_all(&u->bytes);

        out->status = u->status;
        if (event == UPSTREAM_HEAD) continue;
        if (!out->moments) out->first_ms = now - start;
        if (!out->moments || now - last >= MOMENT_MS) out->moments++;
        last = now;
        for (size_t i = 0; i < bytes.len; i++) {
            if (line_start && bytes.at[i] == 'd') out->events++;
            line_start = bytes.at[i] == '\n';
        }
        buf_clear(&u->bytes);
    }
    out->all_ms = clock_mono_ms() - start;
    if (event == UPSTREAM_FAILED) snprintf(out->text, sizeof out->text, "%s", u->failure_text);
    if (event == UPSTREAM_TIMEOUT) snprintf(out->text, sizeof out->text, "no end within %lld ms", (long long)out->all_ms);
}

void call_stream(const char *url, const struct secret *key, const char *model, int64_t bound_ms, struct stream_result *out)
{
    char whole[BOUND_PATH + 32];
    struct http_call call = {.origin = url,
                             .url = whole,
                             .accept = "text/event-stream",
                             .secret_header = "Authorization: Bearer ",
                             .secret = key,
                             .connect_ms = CONNECT_MS};
    struct http_pool *pool = NULL;
    struct upstream *u = NULL;
    struct buf body;
    int64_t start = clock_mono_ms();

    *out = (struct stream_result){0};
    buf_init(&body, 4096);
    buf_str(&body, "{\"model\":");
    json_string(&body, span_of(model));
    buf_str(&body, ",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Count to twenty.\"}]}");
    snprintf(whole, sizeof whole, "%s/v1/chat/completions", url);
    call.body = buf_all(&body);
    if (!body.err && !http_start() && !http_pool_new(-1, &pool) && !http_open(pool, &call, &u)) {
        stream_read(u, start, start + bound_ms, out);
        u->ops->close(u);
    } else {
        snprintf(out->text, sizeof out->text, "the call could not be made");
    }
    if (pool) http_pool_free(pool);
    buf_free(&body);
}
