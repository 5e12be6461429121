/* Cookies and sessions of people. */
#include "admin/session.h"

#include <stdio.h>
#include <unistd.h>

#include "fcgi/base/log.h"
#include "sql/list.h"
#include "sql/settings.h"
#include "sql/writer.h"

#define COOKIE "weir_session"
#define VISITOR "weir_login" /* before a log-in: what ties the log-in form to this browser */

/* ---- cookies ---- */

/* RFC 6265 5.4: "a=1; b=2". Absent if there is none, or two. */
static struct span cookie_of(const struct web_request *r, const char *name)
{
    struct span found = SPAN_NONE, left = span_of(r->cookie);
    size_t n = strlen(name);
    while (left.len) {
        const char *end = memchr(left.at, ';', left.len);
        struct span one = span_trim((struct span){left.at, end ? (size_t)(end - left.at) : left.len});
        if (one.len > n && memcmp(one.at, name, n) == 0 && one.at[n] == '=') {
            if (found.at) return SPAN_NONE;
            found = (struct span){one.at + n + 1, one.len - n - 1};
        }
        left = end ? (struct span){end + 1, left.len - (size_t)(end + 1 - left.at)} : SPAN_NONE;
    }
    return found;
}

/* value "": the browser forgets it. */
static enum weir_err cookie_set(struct web_way *w, const char *name, const char *value)
{
    char *line = arena_printf(&w->memory, "%s=%s; Path=%.*s/admin; HttpOnly; SameSite=Strict%s%s", name, value,
                              (int)w->r.mount.len, w->r.mount.len ? w->r.mount.at : "", w->r.is_https ? "; Secure" : "",
                              *value ? "" : "; Max-Age=0");
    if (!line) return WEIR_NOMEM;
    w->head.cookies[w->head.cookies[0] != NULL] = line;
    return WEIR_OK;
}

/* ---- tokens ---- */

/* Keyed hash of what the cookie says: whoever does not know the cookie cannot know the token. */
static void token_of(const struct web_way *w, const char *what, struct span cookie, char out[48])
{
    struct client_hash hash;
    char text[256];
    size_t n = strlen(what);
    memcpy(text, what, n);
    if (cookie.len > sizeof text - n) cookie.len = sizeof text - n;
    memcpy(text + n, cookie.at, cookie.len);
    secret_client_hash(w->web->master, (struct span){text, n + cookie.len}, &hash);
    for (int i = 0; i < 20; i++) {
        out[2 * i] = "0123456789abcdef"[hash.at[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[hash.at[i] & 15];
    }
    out[40] = '\0';
}

static bool token_is(const char *want, const char *given)
{
    unsigned char differ = strlen(given) != 40;
    for (int i = 0; !differ && i < 40; i++) differ |= (unsigned char)(want[i] ^ given[i]);
    return !differ;
}

/* ---- whose page sent it ---- */

static bool is_host(const char *origin, struct span host)
{
    const char *at = strstr(origin, "://");
    return at && span_is_nocase(host, at + 3);
}

/* What the browser says itself (Sec-Fetch-Site, of https and of this machine) needs no host to compare with. Where it says
 * nothing, its Origin must be the host it spoke to: Host, or what a trusted proxy says Host was; of several proxies the
 * first is the one that the browser speaks with. */
static enum weir_err is_of_our_page(struct web_way *w, bool *ours)
{
    const struct web_request *r = &w->r;
    const struct web_header *told = &r->forwarded_host;
    struct settings s;
    if (r->fetch_site.times) {
        struct span site = span_of(r->fetch_site.value);
        *ours = r->fetch_site.times == 1 && (span_is(site, "same-origin") || span_is(site, "none"));
        return WEIR_OK;
    }
    *ours = !r->origin || is_host(r->origin, span_of(r->host));
    if (*ours || told->times != 1) return WEIR_OK;
    enum weir_err err = settings_load(w->db, &w->memory, &s);
    if (err == WEIR_OK && s.trusted_proxies && list_has_range(s.trusted_proxies, span_of(r->ip)))
        *ours = is_host(r->origin, span_trim((struct span){told->value, strcspn(told->value, ",")}));
    return err;
}

enum weir_err session_check_csrf(struct web_way *w, const char *token)
{
    struct span visitor = cookie_of(&w->r, VISITOR);
    char want[48] = "";
    bool ours = false;
    if (w->who.administrator) memcpy(want, w->who.csrf, sizeof want);
    else if (visitor.len) token_of(w, "visitor:", visitor, want);
    enum weir_err err = is_of_our_page(w, &ours);
    if (err != WEIR_OK) return problem_set(&w->problem, err, NULL, NULL);
    if (*want && token && token_is(want, token) && ours) return WEIR_OK;
    return problem_set(&w->problem, WEIR_IDENTITY_FORBIDDEN, NULL,
                       "This was not sent by a page of Weir's, or the page is from before a log-in. Nothing was "
                           "changed; open "
                       "the page again.");
}

enum weir_err session_visitor(struct web_way *w, char csrf[48])
{
    struct span visitor = cookie_of(&w->r, VISITOR);
    char made[CLIENT_KEY_LEN + 1];
    enum weir_err err = WEIR_OK;
    if (!visitor.len) {
        secret_client_key(made);
        visitor = span_of(made + sizeof CLIENT_KEY_PREFIX - 1);
        err = cookie_set(w, VISITOR, visitor.at);
    }
    token_of(w, "visitor:", visitor, csrf);
    return err;
}

#define HALF_MS (5 * 60 * 1000) /* to find the device and type its code */

void session_half(const struct web_way *w, const char *csrf, int64_t administrator, int64_t time, char token[48])
{
    char what[64];
    snprintf(what, sizeof what, "code:%lld:%lld:", (long long)administrator, (long long)time);
    token_of(w, what, span_of(csrf), token);
}

bool session_is_half(const struct web_way *w, int64_t administrator, int64_t time, const char *token)
{
    char want[48];
    session_half(w, form_text(&w->form, "csrf"), administrator, time, want);
    return token_is(want, token) && time <= w->r.begun_wall_ms && w->r.begun_wall_ms - time < HALF_MS;
}

/* ---- sessions ---- */

enum weir_err session_enter(struct web_way *w)
{
    struct span cookie = cookie_of(&w->r, COOKIE);
    struct admin_session s;
    struct client_hash hash;
    if (!cookie.len || cookie.len > CLIENT_KEY_LEN) return WEIR_UNAUTHENTICATED;
    secret_client_hash(w->web->master, cookie, &hash);
    enum weir_err err = session_find(w->db, &hash, w->r.begun_wall_ms, &w->memory, &s);
    if (err != WEIR_OK) return err == WEIR_NOT_FOUND ? WEIR_UNAUTHENTICATED : err;
    w->who = (struct web_who){.name = s.who.name, .role = s.who.role, .administrator = s.who.id,
                              .must_change = s.who.must_change, .session = hash, .last_seen = s.seen};
    token_of(w, "form:", cookie, w->who.csrf);
    return WEIR_OK;
}

enum weir_err session_begin(struct web_way *w, const struct administrator *a)
{
    char made[CLIENT_KEY_LEN + 1];
    struct client_hash hash;
    secret_client_key(made);
    const char *cookie = made + sizeof CLIENT_KEY_PREFIX - 1;
    secret_client_hash(w->web->master, span_of(cookie), &hash);
    int lock = writer_lock(w->web->data_dir);
    enum weir_err err = lock < 0 ? WEIR_BUSY : session_add(w->db, &hash, a->id, w->r.ip, w->r.begun_wall_ms);
    if (err == WEIR_OK && w->who.administrator) err = session_end(w->db, &w->who.session); /* its cookie is overwritten */
    if (lock >= 0) close(lock);
    if (err == WEIR_OK) err = cookie_set(w, COOKIE, cookie);
    if (err == WEIR_OK) err = cookie_set(w, VISITOR, "");
    secret_wipe(made, sizeof made);
    return err;
}

enum weir_err session_leave(struct web_way *w, bool everywhere)
{
    int lock = writer_lock(w->web->data_dir);
    enum weir_err err = lock < 0 ? WEIR_BUSY
                        : everywhere ? sessions_end(w->db, w->who.administrator)
                                     : session_end(w->db, &w->who.session);
    if (lock >= 0) close(lock);
    return err == WEIR_OK ? cookie_set(w, COOKIE, "") : err;
}

void session_note_use(struct web_way *w)
{
    if (!w->who.administrator || w->who.last_seen > w->r.begun_wall_ms - SESSION_SEEN_MS) return;
    int lock = writer_lock(w->web->data_dir);
    enum weir_err err = lock < 0 ? WEIR_BUSY : session_seen(w->db, &w->who.session, w->r.begun_wall_ms);
    if (lock >= 0) close(lock);
    if (err != WEIR_OK) log_event(LOG_WARN, "session_use_not_noted", LOG_TEXT("reason", weir_err_info(err)->text));
}
