/* The web server's door: FastCGI's records over the connections it opens (base/records.h), and plain CGI beside it. No call
 * waits longer than BOUND_WEB_SERVER_S for a web server that says or reads nothing, but CGI's writes where those block. */
#include "fcgi/door/fastcgi.h"

#include <errno.h>
#include <poll.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fcgi/base/clock.h"
#include "fcgi/base/records.h"

#define SHORT_OF_MS 10
#define HOLDS       4096 /* bytes, of what came and was not read yet; then of what is to go out together */

extern char **environ;

struct conn {
    int fd;              /* FastCGI: the connection; -1: none */
    int64_t until;       /* clock_mono_ms: hurried, the web server is not waited for any longer; else 0 */
    int watch_fd;        /* CGI: standard output where its closing can be seen, else -1 */
    bool is_cgi;
    bool open;           /* between accept and end */
    bool begun;          /* FastCGI: a request can be answered */
    bool answers;        /* the first byte of the answer was written */
    bool at_end;         /* the body was read to its end */
    bool broken;         /* what came is no request, or the rest does not come */
    bool gone;           /* a write failed */
    size_t taken;        /* body bytes read so far */
    size_t left;         /* CGI: body bytes that were announced and are still to be read */
    struct records records;
    struct span unread;  /* of held */
    size_t out;          /* bytes of held that are to go out, as one record: its head first */
    char held[HOLDS];
};

/* FastCGI hands over a socket that is not connected (2.2). */
bool fastcgi_is_cgi(void)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    return getpeername(FASTCGI_LISTEN_FD, (struct sockaddr *)&peer, &len) == 0 || errno != ENOTCONN;
}

enum weir_err conn_new(bool is_cgi, struct conn **out)
{
    struct conn *c = *out = calloc(1, sizeof *c);
    if (!c) return WEIR_NOMEM;
    c->is_cgi = is_cgi;
    c->fd = -1;
    records_init(&c->records);
    struct stat st;
    c->watch_fd = is_cgi && fstat(STDOUT_FILENO, &st) == 0 &&
                  S_ISFIFO(st.st_mode) ? STDOUT_FILENO : -1;
    return WEIR_OK;
}

void conn_free(struct conn *c)
{
    if (!c) return;
    conn_end(c);
    records_free(&c->records);
    free(c);
}

enum weir_err fastcgi_accept(int *fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    *fd = accept4(FASTCGI_LISTEN_FD, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
    if (*fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        poll(NULL, 0, SHORT_OF_MS); /* until others have let go of theirs */
        return WEIR_BUSY;
    }
    if (*fd < 0) return errno == EBADF || errno == ENOTSOCK || errno == EINVAL || errno == EOPNOTSUPP ? WEIR_IO : WEIR_BUSY;
    if (len && peer.ss_family != AF_UNIX) setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return WEIR_OK;
}

void conn_open(struct conn *c, int fd)
{
    c->begun = c->answers = c->at_end = c->broken = c->gone = false;
    c->taken = c->out = 0;
    c->unread = SPAN_NONE;
    c->until = 0;
    c->fd = c->is_cgi ? -1 : fd;
    c->open = true;
}

void conn_hurry(struct conn *c, int ms) { c->until = clock_mono_ms() + ms; }
bool conn_may_hurry(const struct conn *c) { return !c->is_cgi && c->at_end; }

/* Mostly what is waited for is there already: asked for first, waited for only then. */
static bool wait_for(const struct conn *c, int fd, short what)
{
    struct pollfd p = {.fd = fd, .events = what};
    int64_t left = c->until ? c->until - clock_mono_ms() : BOUND_WEB_SERVER_S * 1000;
    int n;
    if (left <= 0) return false;
    do n = poll(&p, 1, (int)left); while (n < 0 && errno == EINTR);
    return n > 0;
}

/* 0 or less: there will be no more. */
static ssize_t receive(const struct conn *c, char *to, size_t n)
{
    ssize_t got;
    while ((got = recv(c->fd, to, n, MSG_DONTWAIT)) < 0 && (errno == EINTR || errno == EAGAIN))
        if (errno == EAGAIN && !wait_for(c, c->fd, POLLIN)) break;
    return got;
}

static bool refill(struct conn *c)
{
    ssize_t got = receive(c, c->held, sizeof c->held);
    c->unread = (struct span){c->held, got > 0 ? (size_t)got : 0};
    return got > 0;
}

/* The next event but RECORDS_MORE. */
static enum records_event next_event(struct conn *c)
{
    enum records_event event;
    while ((event = records_next(&c->records, &c->unread)) == RECORDS_MORE)
        if (!refill(c)) return RECORDS_BROKEN;
    return event;
}

static size_t announced(void)
{
    const char *text = getenv("CONTENT_LENGTH");
    char *end;
    if (!text || *text < '0' || *text > '9') return 0;
    unsigned long long n = strtoull(text, &end, 10);
    return *end ? 0 : n > SIZE_MAX ? SIZE_MAX : (size_t)n;
}

enum weir_err conn_begin(struct conn *c)
{
    if (c->is_cgi) {
        c->left = announced();
        c->at_end = c->left == 0;
        return WEIR_OK;
    }
    records_start(&c->records);
    c->broken = next_event(c) != RECORDS_BEGUN;
    bool no_memory = c->records.variables.err == WEIR_NOMEM || c->records.pointers.err == WEIR_NOMEM;
    c->begun = !c->broken || no_memory;
    return !c->broken ? WEIR_OK : no_memory ? WEIR_NOMEM : WEIR_IO;
}

char **conn_environ(const struct conn *c)
{
    return c->is_cgi ? environ : records_environ(&c->records);
}

/* ---- the body ---- */

static ssize_t read_stdin(const struct conn *c, char *to, size_t n)
{
    ssize_t got;
    if (!wait_for(c, STDIN_FILENO, POLLIN)) return -1;
    do got = read(STDIN_FILENO, to, n); while (got < 0 && errno == EINTR);
    return got;
}

/* CGI: standard input has no end of its own, the announced length is the end (RFC 3875 4.2). */
static ssize_t read_cgi(struct conn *c, char *to, size_t n)
{
    ssize_t got = read_stdin(c, to, n < c->left ? n : c->left);
    if (got > 0) c->left -= (size_t)got;
    c->at_end = c->left == 0;
    return got;
}

static size_t take_unread(struct conn *c, char *to, size_t n)
{
    if (n > c->unread.len) n = c->unread.len;
    memcpy(to, c->unread.at, n);
    c->unread.at += n;
    c->unread.len -= n;
    return n;
}

/* What of a long record has not come yet goes straight to where it is wanted. 0: the end. */
static ssize_t read_fcgi(struct conn *c, char *to, size_t n)
{
    enum records_event event = next_event(c);
    size_t next = records_body_next(&c->records);
    ssize_t got;
    c->at_end = event == RECORDS_WHOLE;
    if (event != RECORDS_BODY) return c->at_end ? 0 : -1;
    if (n > next) n = next;
    if (!c->unread.len && n >= HOLDS) got = receive(c, to, n);
    else got = c->unread.len || refill(c) ? (ssize_t)take_unread(c, to, n) : -1;
    if (got > 0) records_took(&c->records, (size_t)got);
    return got > 0 ? got : -1;
}

enum weir_err conn_read(struct conn *c, void *to, size_t n, size_t *got)
{
    *got = 0;
    while (*got < n && !c->at_end && !c->broken) {
        char *at = (char *)to + *got;
        ssize_t more = c->is_cgi ? read_cgi(c, at, n - *got) : read_fcgi(c, at, n - *got);
        if (more > 0) *got += (size_t)more;
        else c->broken = !c->at_end;
    }
    c->taken += *got;
    return c->broken ? WEIR_IO : WEIR_OK;
}

/* Reads on to the end of the body: an answer that overtakes the rest confuses web servers. */
static void skip(struct conn *c)
{
    char trash[2048]; /* small: thousands of threads keep the stack they once touched */
    size_t got = 1;
    while (!c->at_end && got && c->taken < BOUND_BODY_MAX)
        if (conn_read(c, trash, sizeof trash, &got) != WEIR_OK) return;
}

/* ---- the answer ---- */

static bool write_stdout(const struct conn *c, struct span bytes)
{
    while (bytes.len) {
        ssize_t done = write(STDOUT_FILENO, bytes.at, bytes.len);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && errno == EAGAIN && wait_for(c, STDOUT_FILENO, POLLOUT)) continue;
        if (done <= 0) return false;
        bytes.at += done;
        bytes.len -= (size_t)done;
    }
    return true;
}

/* All of the parts, or false. */
static bool send_parts(const struct conn *c, struct iovec *parts, size_t count)
{
    while (count) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
        ssize_t done = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0 && errno == EAGAIN && wait_for(c, c->fd, POLLOUT)) continue;
        if (done <= 0) return false;
        for (; count && (size_t)done >= parts->iov_len; parts++, count--) done -= (ssize_t)parts->iov_len;
        if (count) {
            parts->iov_base = (char *)parts->iov_base + done;
            parts->iov_len -= (size_t)done;
        }
    }
    return true;
}

/* What is held as one record, the bytes behind it as others, in as few calls of the kernel as that takes. */
static bool send_records(struct conn *c, struct span bytes)
{
    unsigned char head[RECORD_HEAD];
    if (c->out) records_answer(&c->records, c->out - RECORD_HEAD, (unsigned char *)c->held);
    do {
        size_t n = bytes.len < RECORD_MOST ? bytes.len : RECORD_MOST;
        struct iovec parts[3] = {{c->held, c->out}, {head, n ? sizeof head : 0}, {(void *)(uintptr_t)bytes.at, n}};
        records_answer(&c->records, n, head);
        if (!send_parts(c, parts, 3)) return false;
        c->out = 0;
        bytes.at += n;
        bytes.len -= n;
    } while (bytes.len);
    return true;
}

static bool write_fcgi(struct conn *c, struct span bytes)
{
    size_t held = c->out ? c->out : RECORD_HEAD;
    if (bytes.len > HOLDS - RECORDS_END - held) return send_records(c, bytes);
    memcpy(c->held + held, bytes.at, bytes.len);
    c->out = held + bytes.len;
    return true;
}

enum weir_err conn_write(struct conn *c, struct span bytes)
{
    if (!c->answers && !c->at_end) skip(c);
    if (!c->answers) c->unread = SPAN_NONE; /* what it is held in now holds the answer */
    c->answers = true;
    if (c->gone || !bytes.len) return c->gone ? WEIR_GONE : WEIR_OK;
    c->gone = !(c->is_cgi ? write_stdout(c, bytes) : write_fcgi(c, bytes));
    return c->gone ? WEIR_GONE : WEIR_OK;
}

void conn_write_no_memory(struct conn *c, const char *request_id)
{
    conn_write(c, SPAN("Status: 500 Internal Server Error\r\nContent-Type: application/json\r\nx-request-id: "));
    conn_write(c, span_of(request_id));
    conn_write(c, SPAN("\r\n\r\n{\"error\":{\"message\":\"The gateway is out of memory.\",\"type\":\"server_error\","
                       "\"param\":null,\"code\":\"internal_error\"}}"));
}

enum weir_err conn_flush(struct conn *c)
{
    if (c->out && !c->gone) c->gone = !send_records(c, SPAN_NONE);
    return c->gone ? WEIR_GONE : WEIR_OK;
}

int conn_watch_fd(const struct conn *c)
{
    return c->is_cgi ? c->watch_fd : c->fd;
}

/* The answer's last bytes and its end go together. */
static void send_end(struct conn *c)
{
    size_t held = c->out;
    if (held) records_answer(&c->records, held - RECORD_HEAD, (unsigned char *)c->held);
    records_end(&c->records, (unsigned char *)c->held + held);
    send_parts(c, &(struct iovec){c->held, held + RECORDS_END}, 1);
}

void conn_end(struct conn *c)
{
    if (!c->open) return;
    c->open = false;
    if (c->is_cgi) return;
    if (c->begun && !c->gone) send_end(c);
    close(c->fd);
    c->fd = -1;
}
