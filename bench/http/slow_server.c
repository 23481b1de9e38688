/* SPDX-License-Identifier: MIT */
/*
 * bench/http/slow_server.c: a server that answers each request three seconds
 * after it came, then closes the connection.
 * usage: slow_server [MILLISECONDS]     prints its port, serves until killed
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define BACKLOG 65535
#define HEAD_MAX 4096

struct peer {
  uv_tcp_t tcp;
  uv_timer_t timer;
  int handles; /* of the two, how many are not yet closed */
  size_t size;
  char head[HEAD_MAX];
};

static uint64_t delay = 3000;
static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 6\r\n"
                             "Connection: close\r\n\r\nlate.\n";

static void on_closed(uv_handle_t *handle) {
  struct peer *peer = handle->data;
  if (--peer->handles == 0)
    free(peer);
}

static void drop(struct peer *peer) {
  if (uv_is_closing((uv_handle_t *)&peer->tcp))
    return;
  uv_close((uv_handle_t *)&peer->tcp, on_closed);
  uv_close((uv_handle_t *)&peer->timer, on_closed);
}

static void on_time(uv_timer_t *timer) {
  struct peer *peer = timer->data;
  uv_buf_t buf = uv_buf_init((char *)answer, sizeof(answer) - 1);
  uv_try_write((uv_stream_t *)&peer->tcp, &buf, 1);
  drop(peer);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf) {
  struct peer *peer = handle->data;
  (void)hint;
  *buf = uv_buf_init(peer->head + peer->size,
                     (unsigned)(HEAD_MAX - 1 - peer->size));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct peer *peer = stream->data;
  (void)buf;
  if (n < 0) {
    drop(peer);
    return;
  }
  peer->size += (size_t)n;
  peer->head[peer->size] = '\0';
  if (strstr(peer->head, "\r\n\r\n") != NULL)
    uv_timer_start(&peer->timer, on_time, delay, 0);
}

static void on_connection(uv_stream_t *server, int status) {
  struct peer *peer = malloc(sizeof(*peer));
  (void)status;
  peer->handles = 2;
  peer->size = 0;
  uv_tcp_init(server->loop, &peer->tcp);
  uv_timer_init(server->loop, &peer->timer);
  peer->tcp.data = peer->timer.data = peer;
  if (uv_accept(server, (uv_stream_t *)&peer->tcp) != 0)
    drop(peer);
  else
    uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read);
}

int main(int argc, char **argv) {
  struct sockaddr_in address;
  int size = sizeof(address);
  uv_tcp_t server;
  if (argc > 1)
    delay = (uint64_t)atol(argv[1]);
  signal(SIGPIPE, SIG_IGN);
  uv_tcp_init(uv_default_loop(), &server);
  uv_ip4_addr("127.0.0.1", 0, &address);
  if (uv_tcp_bind(&server, (struct sockaddr *)&address, 0) != 0 ||
      uv_listen((uv_stream_t *)&server, BACKLOG, on_connection) != 0)
    return 1;
  uv_tcp_getsockname(&server, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
