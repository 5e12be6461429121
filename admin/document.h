/* The configuration document of `weir apply`: its sections, read and checked entry by entry. Nothing here touches the
 * database; references to what stands elsewhere are checked by who knows both (apply.c). */
#ifndef WEIR_ADMIN_DOCUMENT_H
#define WEIR_ADMIN_DOCUMENT_H

#include "admin/field.h"
#include "fcgi/base/text.h"
#include "sql/admin_verifiers.h"
#include "sql/keys.h"
#include "sql/limits.h"
#include "sql/routes.h"

enum section { SECTION_PROVIDERS, SECTION_MODELS, SECTION_LIMITS, SECTION_KEYS, SECTION_JWT, SECTION_COUNT };
extern const char *const section_names[SECTION_COUNT];

/* Lives as long as the text it was read from. */
struct document { struct jval sections[SECTION_COUNT], settings; }; /* JSON_ABSENT where there is none */

#define TIMEOUT_MOST 86400000 /* a day, ms */

#define DIALECTS "openai|anthropic|azure|gemini|groq|ollama|mock"
#define STRATEGIES "priority|weighted|round_robin|least_latency|cheapest"
#define JWT_ALGORITHMS "HS256|HS384|HS512|RS256|RS384|RS512|ES256|ES384|ES512"
#define AUTHS "bearer|x-api-key|api-key"
#define CACHE_SCOPES "key|user|team|global"
#define CONTEXT_ACTIONS "trim|refuse|fallback"
#define KEY_STRATEGIES "priority|round_robin|least_used"
#define LIMIT_METRICS "requests|tokens|cost|concurrency"
#define LIMIT_SHAPES "bucket|window|calendar|total"
#define LIMIT_PERIODS "hour|day|week|month"

/* secret absent: not given. Its bytes are in the reader's memory, which is not wiped: the command ends soon after. */
struct doc_upstream_key { const char *name; int64_t priority; struct span secret; };
struct doc_provider { struct provider_row row; const struct doc_upstream_key *keys; int key_count; }; /* row.keys unused */
struct doc_target { const char *provider, *model; int64_t weight; struct price price; };
struct doc_model { struct model_row row; const struct doc_target *targets; int target_count; };      /* row.targets unused */
struct doc_key {
    struct key row;
    struct span secret;
}; /* times: only expires */
/* short_secret: shorter than the hash it keys (RFC 7518 3.2) */
struct doc_jwt { const char *name; struct span body, secret; bool symmetric, short_secret; };

/* Checks the syntax and the names of the sections. */
bool document_read(struct reader *r, struct span text, struct document *out);

/* One entry each, at the reader's present path. False: refused. Texts are the reader's memory. */
bool doc_provider_read(struct reader *r, struct jval v, struct doc_provider *out);
bool doc_model_read(struct reader *r, struct jval v, struct doc_model *out);
bool doc_limit_read(struct reader *r, struct jval v, struct limit_rule *out);
bool doc_key_read(struct reader *r, struct jval v, struct doc_key *out);
bool doc_jwt_read(struct reader *r, struct jval v, struct doc_jwt *out);

/* Is it "global" or KIND/NAME? NULL when fine, else a static sentence. */
const char *scope_fault(const char *scope);
/* Billionths as a plain number, a JSON number as well: "25", "0.125". */
void rate_text(int64_t nano, char out[MONEY_TEXT]);

/* What a limit is known by, as one text in the reader's memory; NULL when memory is out. */
char *limit_identity(struct arena *a, const struct limit_rule *l);

/* An array of texts as JSON written anew, each checked by `fault` (NULL: fine). */
bool doc_texts_read(struct reader *r, const char *name, struct jval list, const char *(*fault)(struct span),
                    const char **out);
const char *alias_fault(struct span s);
const char *endpoint_fault(struct span s);

/* "sk-...", "env:NAME" or "file:PATH" to the secret itself (white space round a file's text is taken off). */
bool secret_read(struct reader *r, struct jval v, struct span *out);

/* An upstream address: https, or http to loopback and private addresses or where plain is allowed; no user, query or
 * fragment. NULL when fine, else a static sentence. */
const char *address_fault(struct span url, bool allow_plain_http);

/* Writers of the same document, for export. They append one JSON value. */
void doc_text_write(struct buf *out, const char *lead, const char *text); /* lead, then text as a JSON string */
enum weir_err doc_provider_write(struct buf *out, const struct provider_row *p);
enum weir_err doc_model_write(struct buf *out, const struct model_row *m);
enum weir_err doc_limit_write(struct buf *out, const struct limit_rule *l);
enum weir_err doc_key_write(struct buf *out, const struct key *k);

#endif
