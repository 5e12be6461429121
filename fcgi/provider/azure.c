/* Azure serves the same wire at three kinds of address (WIRE.md 3), told apart by the provider's base address:
 *   .../openai/v1                     the model stands in the body
 *   .../openai/deployments/NAME       every target is that deployment; needs an api_version
 *   the resource alone                with an api_version the deployment named by the target's model, else as /openai/v1 */
#include "fcgi/provider/azure.h"

#include "fcgi/base/text.h"
#include "fcgi/provider/limit_headers.h"
#include "fcgi/provider/mend.h"
#include "fcgi/provider/model_list.h"
#include "fcgi/provider/send.h"

/* A deployment's name as one segment of a path. */
static void add_segment(struct buf *out, const char *name)
{
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c);
        if (plain) buf_char(out, (char)c);
        else buf_printf(out, "%%%02X", c);
    }
}

/* deployment: NULL where none is asked. */
static char *url_for(const struct call *c, const char *path, const char *deployment)
{
    const struct provider_row *p = c->target->provider;
    size_t n = strcspn(p->base_url, "?");
    bool has_query = p->base_url[n] != '\0';
    bool is_v1 = strstr(p->base_url, "/openai/v1"), is_deployment = strstr(p->base_url, "/openai/deployments/");
    struct buf url;
    buf_init(&url, 8192);
    while (n && p->base_url[n - 1] == '/') n--;
    if (is_deployment && !deployment) n = (size_t)(strstr(p->base_url, "/openai/deployments/") - p->base_url) + 7;
    buf_add(&url, p->base_url, n);
    if (!is_v1 && !is_deployment) buf_str(&url, p->api_version ? "/openai" : "/openai/v1");
    if (!is_v1 && !is_deployment && p->api_version && deployment) {
        buf_str(&url, "/deployments/");
        add_segment(&url, deployment);
    }
    buf_str(&url, path);
    buf_str(&url, p->base_url + strcspn(p->base_url, "?"));
    if (p->api_version && !is_v1 && !has_query) buf_printf(&url, "?api-version=%s", p->api_version);
    char *out = url.err ? NULL : arena_str(c->memory, buf_all(&url));
    buf_free(&url);
    return out;
}

static enum weir_err azure_open(const struct call *c, struct upstream **out)
{
    return send_call(c, &(struct sending){
        .url = url_for(c, send_path(c->target->asked), c->target->model),
        .secret_header = send_secret_header(c->target->provider, "api-key: ")}, out);
}

/* The models that the resource could deploy: what it has deployed only its management tells. */
static enum weir_err ask_models(const struct call *c, struct upstream **out)
{
    return send_call(c, &(struct sending){
        .url = url_for(c, "/models", NULL), .asks = true,
        .secret_header = send_secret_header(c->target->provider, "api-key: ")}, out);
}

static unsigned azure_faces(const struct provider_row *p)
{
    return (void)p, 1u << FACE_CHAT | 1u << FACE_COMPLETIONS | 1u << FACE_EMBEDDINGS;
}

const struct dialect dialect_azure = {
    "azure", azure_faces, FACE_CHAT, NULL, azure_open, mend_azure, trouble_openai, limits_openai, ask_models, models_openai,
};
