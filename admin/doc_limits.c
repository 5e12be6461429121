/* The section `limits` of the document: read, checked, written. What a limit does is the ledger's. */
#include "admin/document.h"

#include "fcgi/base/bounds.h"
#include "fcgi/base/text.h"

#define AMOUNT_MOST 1000000000000000000 /* 10^18, in units or nano-dollars */
#define SECONDS_MOST 315360000          /* ten years */
#define OFFSET_MOST (14 * 60)           /* minutes; UTC+14 is the largest there is */

/* A limit as it stands in the text: the numbers are read when metric and shape are known. */
struct limit_text {
    const char *scope, *metric, *shape, *period, *mode;
    int64_t seconds, warn_percent;
    struct jval capacity, refill, amount, utc_offset;
};

#define SCOPE_KINDS "team|rolegroup|role|user|key|ip|model|provider"

const char *scope_fault(const char *scope)
{
    const char *slash = strchr(scope, '/');
    struct span kind = {scope, slash ? (size_t)(slash - scope) : 0}, name = slash ? span_of(slash + 1) : SPAN_NONE;

    if (strcmp(scope, "global") == 0) return NULL;
    if (!slash || !choice_is(SCOPE_KINDS, kind)) return "must be global, or KIND/NAME with one of " SCOPE_KINDS;
    if (!name.len) return "has no name behind the /";
    if (name.len > (span_is(kind, "model") ? BOUND_ALIAS : BOUND_NAME)) return "has too long a name";
    if (span_is(kind, "ip") && !span_is(name, "*") && !ip_range_is_valid(name))
        return "must name an address or * behind ip/";
    return NULL;
}

static bool scope_check(struct reader *r, const char *scope)
{
    const char *fault = scope_fault(scope);

    return !fault || refuse_member(r, "scope", "%s", fault);
}

/* Capacity or amount: a number, or under the metric cost a decimal text of dollars. */
static bool amount_read(struct reader *r, const char *name, struct jval v, bool cost, int64_t *out)
{
    const struct field count = {name, FIELD_INT, 0, false, 1, AMOUNT_MOST, NULL},
                       money = {name, FIELD_MONEY, 0, false, 0, 0, NULL};
    size_t before = path_member(r, name);

    if (v.kind == JSON_ABSENT) return refuse(r, "is missing");
    if (!field_read(r, v, cost ? &money : &count, out)) return false;
    if (*out <= 0) return refuse(r, "must be above 0");
    path_back(r, before);
    return true;
}

/* Billionths of a unit (cost: of a dollar) a second; exact, from the number's own digits. */
static bool refill_read(struct reader *r, struct jval v, bool cost, int64_t *out)
{
    const struct field money = {"refill_per_sec", FIELD_MONEY, 0, false, 0, 0, NULL};
    size_t before = path_member(r, "refill_per_sec");

    if (v.kind == JSON_ABSENT) return refuse(r, "is missing");
    if (cost) {
        if (!field_read(r, v, &money, out)) return false;
    } else {
        if (v.kind != JSON_NUMBER) return refuse(r, "must be a number");
        if (*v.text.at == '-') return refuse(r, "must be above 0");
        if (!money_parse(v.text, out)) return refuse(r, "must be a plain number with at most 9 decimals, up to 9000000000");
    }
    if (*out <= 0) return refuse(r, "must be above 0");
    path_back(r, before);
    return true;
}

/* "+02:00", "-05:30", "Z", or minutes. */
static bool offset_read(struct reader *r, struct jval v, int64_t *out)
{
    const struct field minutes = {"utc_offset", FIELD_INT, 0, false, -OFFSET_MOST, OFFSET_MOST, NULL};
    size_t before = path_member(r, "utc_offset");
    struct span s;

    if (v.kind == JSON_NUMBER) {
        if (!field_read(r, v, &minutes, out)) return false;
    } else {
        if (v.kind != JSON_STRING) return refuse(r, "must be a text like \"+02:00\" or a number of minutes");
        if (!text_read(r, v, &s)) return false;
        if (span_is(s, "Z")) {
            *out = 0;
        } else {
            for (size_t i = 0; i < s.len; i++)
                if (i == 0 ? s.at[i] != '+' && s.at[i] != '-' : i == 3 ? s.at[i] != ':' : s.at[i] < '0' || s.at[i] > '9')
                    s.len = 0;
            if (s.len != 6 || s.at[4] > '5') return refuse(r, "must be a text like \"+02:00\" or a number of minutes");
            *out = (s.at[1] - '0') * 600 + (s.at[2] - '0') * 60 + (s.at[4] - '0') * 10 + (s.at[5] - '0');
            if (*out > OFFSET_MOST) return refuse(r, "must be from -14:00 to +14:00");
            if (s.at[0] == '-') *out = -*out;
        }
    }
    path_back(r, before);
    return true;
}

/* Members that belong to another shape are refused: they would be ignored in silence. */
static bool strangers_check(struct reader *r, const struct limit_text *t)
{
    bool bucket = strcmp(t->shape, "bucket") == 0, window = strcmp(t->shape, "window") == 0,
         calendar = strcmp(t->shape, "calendar") == 0;
    const struct { const char *name; bool given, fits; } all[] = {
        {"capacity", t->capacity.kind != JSON_ABSENT, bucket},
        {"refill_per_sec", t->refill.kind != JSON_ABSENT, bucket},
        {"amount", t->amount.kind != JSON_ABSENT, !bucket},
        {"seconds", t->seconds != 0, window},
        {"period", t->period != NULL, calendar},
        {"utc_offset", t->utc_offset.kind != JSON_ABSENT, calendar},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].given && !all[i].fits)
            return refuse_member(r, all[i].name, "does not belong to %s%s",
                                 strcmp(t->shape, "none") == 0 ? "the metric concurrency" : "the shape ",
                                 strcmp(t->shape, "none") == 0 ? "" : t->shape);
    return true;
}

static bool shape_read(struct reader *r, const struct limit_text *t, struct limit_rule *out)
{
    bool cost = strcmp(t->metric, "cost") == 0;

    if (strcmp(t->shape, "bucket") == 0)
        return amount_read(r, "capacity", t->capacity, cost, &out->amount) &&
               refill_read(r, t->refill, cost, &out->refill_nano);
    if (strcmp(t->shape, "window") == 0 && !t->seconds) return refuse_member(r, "seconds", "is missing");
    if (strcmp(t->shape, "calendar") == 0) {
        if (!t->period) return refuse_member(r, "period", "is missing");
        if (t->utc_offset.kind != JSON_ABSENT && !offset_read(r, t->utc_offset, &out->utc_offset_min)) return false;
    }
    return amount_read(r, "amount", t->amount, cost, &out->amount);
}

bool doc_limit_read(struct reader *r, struct jval v, struct limit_rule *out)
{
    static const struct field table[] = {
        {"scope", FIELD_TEXT, offsetof(struct limit_text, scope), true, 1, BOUND_ALIAS + 16, NULL},
        {"metric", FIELD_CHOICE, offsetof(struct limit_text, metric), true, 0, 0, LIMIT_METRICS},
        {"shape", FIELD_CHOICE, offsetof(struct limit_text, shape), false, 0, 0, LIMIT_SHAPES},
        {"mode", FIELD_CHOICE, offsetof(struct limit_text, mode), false, 0, 0, "hard|soft|observe"},
        {"warn_percent", FIELD_INT, offsetof(struct limit_text, warn_percent), false, 1, 100, NULL},
        {"seconds", FIELD_INT, offsetof(struct limit_text, seconds), false, 1, SECONDS_MOST, NULL},
        {"period", FIELD_CHOICE, offsetof(struct limit_text, period), false, 0, 0, LIMIT_PERIODS},
        {"capacity", FIELD_ANY, offsetof(struct limit_text, capacity), false, 0, 0, NULL},
        {"refill_per_sec", FIELD_ANY, offsetof(struct limit_text, refill), false, 0, 0, NULL},
        {"amount", FIELD_ANY, offsetof(struct limit_text, amount), false, 0, 0, NULL},
        {"utc_offset", FIELD_ANY, offsetof(struct limit_text, utc_offset), false, 0, 0, NULL},
        {NULL, FIELD_ANY, 0, false, 0, 0, NULL},
    };
    struct limit_text t = {.mode = "hard", .warn_percent = 80};

    *out = (struct limit_rule){0};
    if (!fields_read(r, v, table, &t) || !scope_check(r, t.scope)) return false;
    if (strcmp(t.metric, "concurrency") == 0) {
        if (t.shape) return refuse_member(r, "shape", "does not belong to the metric concurrency");
        t.shape = "none";
    }
    if (!t.shape) return refuse_member(r, "shape", "is missing; one of bucket|window|calendar|total");
    if (!strangers_check(r, &t) || !shape_read(r, &t, out)) return false;
    out->scope = t.scope;
    out->metric = t.metric;
    out->shape = t.shape;
    out->period = t.period ? t.period : "";
    out->seconds = t.seconds;
    out->mode = t.mode;
    out->warn_percent = t.warn_percent;
    return true;
}

char *limit_identity(struct arena *a, const struct limit_rule *l)
{
    return arena_printf(a, "%s\n%s\n%s\n%s\n%lld", l->scope, l->metric, l->shape, l->period, (long long)l->seconds);
}

static void write_amount(struct buf *out, const char *name, int64_t amount, bool cost)
{
    char text[MONEY_TEXT];

    buf_printf(out, ",\"%s\":", name);
    if (cost) {
        money_text(amount, text);
        json_string(out, span_of(text));
    } else {
        buf_int(out, amount);
    }
}

void rate_text(int64_t nano, char out[MONEY_TEXT])
{
    size_t n;

    money_text(nano, out); /* "25.00", "0.50" */
    n = strlen(out);
    while (out[n - 1] == '0') n--;
    if (out[n - 1] == '.') n--;
    out[n] = 0;
}

static void write_refill(struct buf *out, int64_t nano, bool cost)
{
    char text[MONEY_TEXT];

    buf_str(out, ",\"refill_per_sec\":");
    if (cost) {
        money_text(nano, text);
        json_string(out, span_of(text));
    } else {
        rate_text(nano, text);
        buf_str(out, text);
    }
}

enum weir_err doc_limit_write(struct buf *out, const struct limit_rule *l)
{
    bool cost = strcmp(l->metric, "cost") == 0;

    buf_str(out, "{\"scope\":");
    json_string(out, span_of(l->scope));
    buf_printf(out, ",\"metric\":\"%s\"", l->metric);
    if (strcmp(l->shape, "none") != 0) buf_printf(out, ",\"shape\":\"%s\"", l->shape);
    if (strcmp(l->shape, "bucket") == 0) {
        write_amount(out, "capacity", l->amount, cost);
        write_refill(out, l->refill_nano, cost);
    } else {
        if (*l->period) buf_printf(out, ",\"period\":\"%s\"", l->period);
        if (l->seconds) buf_printf(out, ",\"seconds\":%lld", (long long)l->seconds);
        if (l->utc_offset_min) buf_printf(out, ",\"utc_offset\":%lld", (long long)l->utc_offset_min);
        write_amount(out, "amount", l->amount, cost);
    }
    buf_printf(out, ",\"mode\":\"%s\"", l->mode);
    if (l->warn_percent != 80) buf_printf(out, ",\"warn_percent\":%lld", (long long)l->warn_percent);
    return buf_char(out, '}');
}
