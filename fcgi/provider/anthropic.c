/* Anthropic: the version goes with every call (by default the one that all models and SDKs know, WIRE.md 2), the key by
 * x-api-key or, if the provider says so, as a bearer token. */
#include "fcgi/provider/anthropic.h"

#include "fcgi/provider/limit_headers.h"
#include "fcgi/provider/model_list.h"
#include "fcgi/provider/send.h"

#define VERSION_STANDARD "2023-06-01"

static struct sending sending_to(const struct call *c, const char *path)
{
    const struct provider_row *p = c->target->provider;
    return (struct sending){
        .url = send_url(c, path), .secret_header = send_secret_header(p, "x-api-key: "),
        .more = {{"anthropic-version", p->anthropic_version ? p->anthropic_version : VERSION_STANDARD}},
    };
}

static enum weir_err anthropic_open(const struct call *c, struct upstream **out)
{
    struct sending s = sending_to(c, send_path(c->target->asked));
    if (c->beta && !c->target->conversation) s.more[1] = (struct http_header){"anthropic-beta", c->beta};
    return send_call(c, &s, out);
}

/* A page holds 1,000, more than there are. */
static enum weir_err ask_models(const struct call *c, struct upstream **out)
{
    struct sending s = sending_to(c, "/models?limit=1000");
    s.asks = true;
    return send_call(c, &s, out);
}

static unsigned anthropic_faces(const struct provider_row *p) { return (void)p, 1u << FACE_MESSAGES; }

const struct dialect dialect_anthropic = {
    "anthropic", anthropic_faces, FACE_MESSAGES, NULL, anthropic_open, NULL, trouble_anthropic, limits_anthropic, ask_models,
    models_anthropic,
};
