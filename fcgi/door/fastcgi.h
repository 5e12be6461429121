/* The web server's door: one request and the answer to it, as FastCGI or as plain CGI. */
#ifndef WEIR_DOOR_FASTCGI_H
#define WEIR_DOOR_FASTCGI_H

#include "fcgi/base/err.h"
#include "fcgi/base/span.h"

#define FASTCGI_LISTEN_FD 0 /* the web server hands the listening socket over as standard input */

struct conn; /* one request; used by one thread at a time, again and again */

/* Was this process started for a single request? */
bool fastcgi_is_cgi(void);

enum weir_err conn_new(bool is_cgi, struct conn **out);
void conn_free(struct conn *c); /* NULL is fine */

/* Accepts a connection from the listening socket, waiting. WEIR_BUSY: nothing came (a signal, or another took it); WEIR_IO:
 * the socket is unusable. */
enum weir_err fastcgi_accept(int *fd);
/* Serves that connection, which becomes its own; in CGI mode the process's one request, and fd is not looked at. No request
 * may be open. */
void conn_open(struct conn *c, int fd);
/* Of the connection accepted: for no longer than ms, all in all, the web server is waited for from now on. */
void conn_hurry(struct conn *c, int ms);
/* Reads the request's head. WEIR_IO: the web server broke off, or what it says is no request; WEIR_NOMEM: nothing is known
 * of the request, but it can be answered. */
enum weir_err conn_begin(struct conn *c);

/* The request's variables (RFC 3875 and HTTP_*): "NAME=value" strings, NULL at the end. They live until conn_end. */
char **conn_environ(const struct conn *c);

/* Body bytes, in order; *got below n only at the end. WEIR_IO: the web server broke off or was silent too long. */
enum weir_err conn_read(struct conn *c, void *to, size_t n, size_t *got);
/* Was the body read to its end, and is it FastCGI's? Then a short answer is sent without waiting. */
bool conn_may_hurry(const struct conn *c);
/* Answer bytes, CGI header first (RFC 3875 6). Buffered until conn_flush. The first reads what is left of the body, up to
 * BOUND_BODY_MAX, and drops it; there is no reading after it. WEIR_GONE sticks: nobody reads any more, or nothing could be
 * written for a minute. */
enum weir_err conn_write(struct conn *c, struct span bytes);
/* A whole answer, 500 and an error object, for when memory is out and no other can be made. */
void conn_write_no_memory(struct conn *c, const char *request_id);
enum weir_err conn_flush(struct conn *c);
/* A descriptor that becomes readable, or hung up, when the web server gives the request up. Only after the body was
 * read to its end. */
int conn_watch_fd(const struct conn *c);
/* Sends what is buffered and ends the request. May be called twice. */
void conn_end(struct conn *c);

#endif
