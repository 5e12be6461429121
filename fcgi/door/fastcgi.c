/* The libfcgi door. libfcgi reads and writes the records; accepting and closing are done here, for its own ways of both
 * put descriptors into an fd_set, which has no room for those above 1023, and its close waits for the web server. */
#include "fcgi/door/fastcgi.h"

#include <errno.h>
#include <fcgiapp.h>
#include <poll.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fcgi/base/bounds.h"

#define FCGI_STDOUT_TYPE 6
#define FCGI_HEAD    8
#define SHORT_OF_MS  10
#define RECORD_MOST  65528 /* bytes in a record, a multiple of 8 */
#define STREAM_HOLDS 8192  /* what libfcgi's own stream buffers */

extern char **environ;

struct conn {
    FCGX_Request fcgi;
    bool is_cgi;
    bool open;    /* between accept and end */
    bool at_end;  /* the body was read to its end */
    bool gone;    /* a write failed */
    size_t taken; /* body bytes read so far */
    size_t length; /* body bytes announced; CGI's end of the body */
    int watch_fd;  /* CGI: standard output where its closing can be seen, else -1 */
};

enum weir_err fastcgi_start(bool *is_cgi)
{
    *is_cgi = FCGX_IsCGI();
    return *is_cgi || FCGX_Init() == 0 ? WEIR_OK : WEIR_INTERNAL;
}

enum weir_err conn_new(bool is_cgi, struct conn **out)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c) return WEIR_NOMEM;
    c->is_cgi = is_cgi;
    struct stat st;
    c->watch_fd = is_cgi && fstat(STDOUT_FILENO, &st) == 0 &&
                  S_ISFIFO(st.st_mode) ? STDOUT_FILENO : -1;
    /* No listening socket: libfcgi must not accept by itself when a connection breaks off in its head. */
    if (!is_cgi) FCGX_InitRequest(&c->fcgi, -1, FCGI_FAIL_ACCEPT_ON_INTR);
    *out = c;
    return WEIR_OK;
}

void conn_free(struct conn *c)
{
    if (!c) return;
    conn_end(c);
    free(c);
}

/* A silent web server must not hold a thread for ever (libfcgi itself knows no time-outs). */
static void bound_waiting(int fd, int seconds)
{
    const struct timeval most = {seconds, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
}

enum weir_err conn_accept(struct conn *c)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    if (c->is_cgi) {
        c->open = true;
        return WEIR_OK;
    }
    int fd = accept4(FASTCGI_LISTEN_FD, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        poll(NULL, 0, SHORT_OF_MS); /* until others have let go of theirs */
        return WEIR_BUSY;
    }
    if (fd < 0) return errno == EBADF || errno == ENOTSOCK || errno == EINVAL || errno == EOPNOTSUPP ? WEIR_IO : WEIR_BUSY;
    bound_waiting(fd, BOUND_WEB_SERVER_S);
    if (len && peer.ss_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->fcgi.ipcFd = fd;
    c->open = true;
    return WEIR_OK;
}

void conn_hurry(struct conn *c)
{
    if (!c->is_cgi) bound_waiting(c->fcgi.ipcFd, 1);
}

static size_t announced(const struct conn *c)
{
    const char *text = conn_env(c, "CONTENT_LENGTH");
    char *end;
    if (!text || *text < '0' || *text > '9') return 0;
    unsigned long long n = strtoull(text, &end, 10);
    return *end ? 0 : n > SIZE_MAX ? SIZE_MAX : (size_t)n;
}

enum weir_err conn_begin(struct conn *c)
{
    c->gone = false;
    c->taken = 0;
    if (!c->is_cgi) {
        /* Set, so that libfcgi neither closes the connection it is given nor, at the end, waits for the peer's close. */
        c->fcgi.keepConnection = 1;
        c->fcgi.detached = 1;
        if (FCGX_Accept_r(&c->fcgi) != 0) {
            c->open = c->fcgi.ipcFd >= 0;
            return WEIR_IO;
        }
        /* Nothing is said on the error stream; its buffer is a third of what libfcgi takes for a request. */
        FCGX_FClose(c->fcgi.err);
        FCGX_FreeStream(&c->fcgi.err);
    }
    c->length = announced(c);
    c->at_end = c->is_cgi && c->length == 0;
    return WEIR_OK;
}

char **conn_environ(const struct conn *c)
{
    return c->is_cgi ? environ : c->fcgi.envp;
}

const char *conn_env(const struct conn *c, const char *name)
{
    return c->is_cgi ? getenv(name) : FCGX_GetParam(name, c->fcgi.envp);
}

/* ---- the body ---- */

static ssize_t read_stdin(char *to, size_t n)
{
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    ssize_t got;
    if (poll(&ready, 1, BOUND_WEB_SERVER_S * 1000) <= 0) return -1;
    do got = read(STDIN_FILENO, to, n); while (got < 0 && errno == EINTR);
    return got;
}

/* CGI: standard input has no end of its own, the announced length is the end (RFC 3875 4.2). */
static size_t read_cgi(struct conn *c, char *to, size_t n, bool *broken)
{
    size_t have = 0, left = c->length - c->taken;
    if (n > left) n = left;
    while (have < n) {
        ssize_t got = read_stdin(to + have, n - have);
        if (got <= 0) {
            *broken = true;
            break;
        }
        have += (size_t)got;
    }
    c->taken += have;
    c->at_end = *broken || c->taken == c->length;
    return have;
}

static size_t read_fcgi(struct conn *c, char *to, size_t n, bool *broken)
{
    size_t have = 0;
    while (have < n) {
        int want = n - have > (1 << 20) ? 1 << 20 : (int)(n - have);
        int got = FCGX_GetStr(to + have, want, c->fcgi.in);
        if (got > 0) have += (size_t)got;
        if (got < want) {
            c->at_end = true;
            break;
        }
    }
    c->taken += have;
    *broken = FCGX_GetError(c->fcgi.in) != 0;
    return have;
}

enum weir_err conn_read(struct conn *c, void *to, size_t n, size_t *got)
{
    bool broken = false;
    *got = c->at_end ? 0 : c->is_cgi ? read_cgi(c, to, n, &broken) : read_fcgi(c, to, n, &broken);
    return broken ? WEIR_IO : WEIR_OK;
}

void conn_skip(struct conn *c, size_t most)
{
    char trash[2048]; /* small: thousands of threads keep the stack they once touched */
    size_t got;
    while (!c->at_end && most) {
        if (conn_read(c, trash, most < sizeof trash ? most : sizeof trash, &got) != WEIR_OK) return;
        most -= got;
    }
}

/* ---- the answer ---- */

static bool write_stdout(struct span bytes)
{
    while (bytes.len) {
        ssize_t done = write(STDOUT_FILENO, bytes.at, bytes.len);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        bytes.at += done;
        bytes.len -= (size_t)done;
    }
    return true;
}

/* All of the parts, or false. */
static bool write_parts(int fd, struct iovec *parts, int count)
{
    while (count) {
        ssize_t done = writev(fd, parts, count);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        for (; count && (size_t)done >= parts->iov_len; parts++, count--) done -= (ssize_t)parts->iov_len;
        if (count) {
            parts->iov_base = (char *)parts->iov_base + done;
            parts->iov_len -= (size_t)done;
        }
    }
    return true;
}

/* Records of libfcgi's stream have at most 8 KB, each a write of its own. What is longer goes out as few large ones
 * behind what the stream holds (FastCGI 1.0, 3.3: a record has up to 65535 bytes). */
static bool write_records(struct conn *c, struct span bytes)
{
    if (FCGX_FFlush(c->fcgi.out) != 0) return false;
    while (bytes.len) {
        size_t n = bytes.len < RECORD_MOST ? bytes.len : RECORD_MOST;
        unsigned char head[FCGI_HEAD] = {1, FCGI_STDOUT_TYPE,
                                         (unsigned char)(c->fcgi.requestId >> 8), (unsigned char)c->fcgi.requestId,
                                         (unsigned char)(n >> 8), (unsigned char)n, 0, 0};
        struct iovec parts[2] = {{head, sizeof head}, {(void *)(uintptr_t)bytes.at, n}};
        if (!write_parts(c->fcgi.ipcFd, parts, 2)) return false;
        bytes.at += n;
        bytes.len -= n;
    }
    return true;
}

enum weir_err conn_write(struct conn *c, struct span bytes)
{
    if (c->gone || !bytes.len) return c->gone ? WEIR_GONE : WEIR_OK;
    if (c->is_cgi) c->gone = !write_stdout(bytes);
    else if (bytes.len > STREAM_HOLDS) c->gone = !write_records(c, bytes);
    else c->gone = FCGX_PutStr(bytes.at, (int)bytes.len, c->fcgi.out) != (int)bytes.len;
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
    if (!c->is_cgi && !c->gone) c->gone = FCGX_FFlush(c->fcgi.out) != 0;
    return c->gone ? WEIR_GONE : WEIR_OK;
}

int conn_watch_fd(const struct conn *c)
{
    return c->is_cgi ? c->watch_fd : c->fcgi.ipcFd;
}

void conn_end(struct conn *c)
{
    if (!c->open) return;
    c->open = false;
    if (c->is_cgi) return;
    c->fcgi.keepConnection = 1;
    c->fcgi.detached = 1;
    FCGX_Finish_r(&c->fcgi);
    if (c->fcgi.ipcFd >= 0) close(c->fcgi.ipcFd);
    c->fcgi.ipcFd = -1;
}
