/* How many tokens a request may cost, before anybody has counted: an upper bound for hard limits, an estimate for soft
 * ones. (DESIGN.md, "How much is held"; figures: WIRE.md 4) */
#ifndef WEIR_STAGE_ESTIMATE_H
#define WEIR_STAGE_ESTIMATE_H

#include "fcgi/provider/chat.h"
#include "sql/routes.h"

#define TOKENS_A_REQUEST 3     /* a chat's frame */
#define TOKENS_A_MESSAGE 4     /* each message's */
#define TOKENS_A_TOOL    400   /* what a provider says around a tool's schema: one cost 14 -> 403 */
#define TOKENS_AN_IMAGE  5000  /* bound: large ones at high detail cost 765 to 4,800 */
#define TOKENS_IMAGE_ESTIMATE 1000
/* An allowance, no bound: of audio, video and documents, sent or only named; of what a hosted tool finds */
#define TOKENS_A_FILE    50000
#define OUTPUT_FLOOR     16    /* a choice's; with less left a clamped answer is of no use */
#define OUTPUT_UNKNOWN   4096  /* a model whose max_output nobody has told */
#define OUTPUT_ESTIMATE  500   /* what an answer has where nothing was seen of the model's yet */

/* What this process has seen of each model lately: shared by all threads, a bounded table, forgotten with the process. */
struct experience;
struct experience *experience_new(void); /* NULL when memory is out */
void experience_free(struct experience *x);
/* An answer of the alias had so many output tokens over so many choices. over_bound: its prompt had more than
 * was held for it: from then on the prompt bound of this alias is doubled (up to 16 times), until
 * many answers were within. */
void experience_add(struct experience *x, const char *alias, int64_t output, int64_t choices, bool over_bound);

/* An answer's prompt had `told` tokens by its provider's own figure, and `guessed` by estimate_request: from then on
 * estimate_tokens of this alias goes by it, up at once, down slowly. Short prompts say nothing and are passed over. */
void experience_add_prompt(struct experience *x, const char *alias, int64_t told, int64_t guessed);

struct estimate {
    int64_t prompt_bound, prompt_estimate; /* tokens */
    int64_t output_bound;                  /* over all choices; 0 for embeddings */
    int64_t output_estimate;
    int64_t output_least;                  /* tokens over all choices: a clamped answer of fewer is of no use, or refused */
    bool has_audio, has_files;             /* parts of sound; of audio, video or documents */
    int64_t samples;                       /* answers that are paid for: n, or best_of if that is more, for each prompt */
};

/* Tokens of so many characters of text, about. */
int64_t estimate_text(int64_t characters);

/* What a prompt weighs, in quarters of a token: all that a model may read, and one message (or item of a response's input)
 * of it. Without a message a request weighs that much less. */
int64_t estimate_weight(const struct chat *chat);
int64_t estimate_message(struct jval message);
/* Tokens of such a weight, by what the alias's providers have told of earlier ones. */
int64_t estimate_tokens(struct experience *x, const char *alias, int64_t weight);

/* model: of the plan. The output bound is the caller's maximum, else the model's, each time samples. */
void estimate_request(const struct chat *chat, const struct model_row *model, struct experience *x, struct estimate *out);

#endif
