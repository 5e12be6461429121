/* What the files of the libcurl door share: the pool and its handles. Only they include it, and curl. */
#ifndef WEIR_DOOR_HTTP_ROOM_H
#define WEIR_DOOR_HTTP_ROOM_H

#include <curl/curl.h>

#include "fcgi/door/http.h"

#define BLIND_MS 10          /* until a call is connected and out, what it waits for is not only its sockets */
#define SOCKETS_A_HANDLE 4   /* an idle connection and a new one, which may try both kinds of IP */
#define STREAM_BUFFER 2048   /* bytes read from the network at once; of streams there may be thousands */
#define ANSWER_BUFFER 16384

struct handle {
    struct handle *next; /* in the idle list */
    CURLM *multi;
    CURL *easy;
    curl_socket_t sockets[SOCKETS_A_HANDLE]; /* open ones, for who waits for several calls; -1: none */
    int64_t idle_since;   /* clock_mono_ms */
    bool is_plain;        /* http_one's: libcurl has only connected it */
    bool is_tls;          /* such a connection is */
    curl_socket_t socket; /* of it, once it is made; else CURL_SOCKET_BAD */
};

struct origin;

/* The newest idle handle of the call's upstream that is of that kind, or a new one; NULL: memory is out. */
struct handle *pool_take(struct http_pool *p, const char *name, bool is_plain, struct origin **origin);
void pool_give(struct http_pool *p, struct origin *o, struct handle *h);
void handle_free(struct handle *h); /* and its connection; NULL is fine */
int pool_stop_fd(const struct http_pool *p);

/* Of http_one's connections: as curl_easy_send and curl_easy_recv, which without TLS do no more than the socket does. */
CURLcode handle_send(const struct handle *h, struct span bytes, size_t *n);
CURLcode handle_recv(const struct handle *h, char *in, size_t size, size_t *n);

enum upstream_failure failure_of(CURLcode code);
/* The result of a handle's transfer. False: it goes on. */
bool handle_result(struct handle *h, CURLcode *result);
/* Waits for whatever curl waits for, the client's going and the process's stop. UPSTREAM_BYTES: curl is to be asked. */
enum upstream_event handle_wait(struct handle *h, int client_fd, int stop_fd, int64_t left_ms);

/* HTTP/1.1, read and written here; and what libcurl does alone, which may be HTTP/2. */
enum weir_err http_one_open(struct http_pool *p, const struct http_call *c, struct upstream **out);
enum weir_err http_two_open(struct http_pool *p, const struct http_call *c, struct upstream **out);

#endif
