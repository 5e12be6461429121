/* OpenAI's dialect: any compatible upstream; and Groq's, Gemini's and Ollama's, which differ in the faces they serve, in
 * what they refuse (quirks.c) and in what has to be mended (mend.c). */
#include "fcgi/provider/openai.h"

#include "fcgi/provider/limit_headers.h"
#include "fcgi/provider/mend.h"
#include "fcgi/provider/model_list.h"
#include "fcgi/provider/quirks.h"
#include "fcgi/provider/send.h"

#define CHAT (1u << FACE_CHAT)
#define COMPLETIONS (1u << FACE_COMPLETIONS)
#define EMBEDDINGS (1u << FACE_EMBEDDINGS)
#define RESPONSES (1u << FACE_RESPONSES)

static enum weir_err openai_open(const struct call *c, struct upstream **out)
{
    return send_call(c, &(struct sending){
        .url = send_url(c, send_path(c->target->asked)),
        .secret_header = send_secret_header(c->target->provider, "Authorization: Bearer ")}, out);
}

static enum weir_err ask_models(const struct call *c, struct upstream **out)
{
    return send_call(c, &(struct sending){
        .url = send_url(c, "/models"), .asks = true,
        .secret_header = send_secret_header(c->target->provider, "Authorization: Bearer ")}, out);
}

/* Compatible servers mostly know chat, completions and embeddings; responses are OpenAI's own unless the provider names
 * them. */
static unsigned openai_faces(const struct provider_row *p)
{
    bool own = strncmp(p->base_url, "https://api.openai.com/", 23) == 0;
    return CHAT | COMPLETIONS | EMBEDDINGS | (own ? RESPONSES : 0);
}

static unsigned groq_faces(const struct provider_row *p) { return (void)p, CHAT; }
static unsigned gemini_faces(const struct provider_row *p) { return (void)p, CHAT | EMBEDDINGS; }
static unsigned ollama_faces(const struct provider_row *p) { return (void)p, CHAT | COMPLETIONS | EMBEDDINGS; }

const struct dialect dialect_openai = {
    "openai", openai_faces, FACE_CHAT, NULL, openai_open, NULL, trouble_openai, limits_openai, ask_models, models_openai,
};
const struct dialect dialect_groq = {
    "groq", groq_faces, FACE_CHAT, quirks_groq, openai_open, mend_groq, trouble_openai, limits_openai, ask_models,
    models_openai,
};
const struct dialect dialect_gemini = {
    "gemini", gemini_faces, FACE_CHAT, NULL, openai_open, mend_gemini, trouble_gemini, limits_openai, ask_models,
    models_gemini,
};
const struct dialect dialect_ollama = {
    "ollama", ollama_faces, FACE_CHAT, quirks_ollama, openai_open, NULL, trouble_openai, limits_openai, ask_models,
    models_openai,
};
