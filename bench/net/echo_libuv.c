/* SPDX-License-Identifier: MIT */
/*
 * bench/net/echo_libuv.c: the limit for echo round trips: 64 connections from
 * this process to itself, in plain libuv, each sending a message and waiting
 * for it to come back. Prints the CPU nanoseconds of a round trip.
 * usage: echo_libuv CONNECTIONS ROUNDS SIZE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

static uv_loop_t *loop;
static int left_connections, rounds, size;
static char *message;

struct peer {
  uv_tcp_t tcp;
  uv_write_t write;
  uv_connect_t connect;
  char buffer[65536];
  int is_client, left;
  size_t got;
};

static void on_close(uv_handle_t *handle) {
  free(handle->data);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf) {
  struct peer *peer = handle->data;
  (void)hint;
  *buf = uv_buf_init(peer->buffer, sizeof(peer->buffer));
}

static void send_bytes(struct peer *peer, char *data, size_t n) {
  uv_buf_t buf = uv_buf_init(data, (unsigned)n);
  if (uv_try_write((uv_stream_t *)&peer->tcp, &buf, 1) != (int)n)
    abort();
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct peer *peer = stream->data;
  if (n < 0) {
    uv_close((uv_handle_t *)stream, on_close);
    return;
  }
  if (!peer->is_client) {
    send_bytes(peer, buf->base, (size_t)n);
    return;
  }
  peer->got += (size_t)n;
  if (peer->got < (size_t)size)
    return;
  peer->got = 0;
  if (--peer->left > 0) {
    send_bytes(peer, message, (size_t)size);
    return;
  }
  uv_close((uv_handle_t *)stream, on_close);
  if (--left_connections == 0)
    uv_stop(loop);
}

static struct peer *new_peer(int is_client) {
  struct peer *peer = calloc(1, sizeof(*peer));
  peer->is_client = is_client;
  peer->left = rounds;
  uv_tcp_init(loop, &peer->tcp);
  peer->tcp.data = peer;
  return peer;
}

static void on_connection(uv_stream_t *server, int status) {
  struct peer *peer = new_peer(0);
  (void)status;
  uv_accept(server, (uv_stream_t *)&peer->tcp);
  uv_tcp_nodelay(&peer->tcp, 1);
  uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read);
}

static void on_connect(uv_connect_t *request, int status) {
  struct peer *peer = request->handle->data;
  if (status != 0)
    abort();
  uv_tcp_nodelay(&peer->tcp, 1);
  uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read);
  send_bytes(peer, message, (size_t)size);
}

int main(int argc, char **argv) {
  int connections = argc > 1 ? atoi(argv[1]) : 64, i;
  struct sockaddr_in address;
  int length = sizeof(address);
  uv_tcp_t server;
  clock_t start;
  rounds = argc > 2 ? atoi(argv[2]) : 3000;
  size = argc > 3 ? atoi(argv[3]) : 64;
  message = malloc((size_t)size);
  memset(message, 'x', (size_t)size);
  left_connections = connections;
  loop = uv_default_loop();
  uv_tcp_init(loop, &server);
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_bind(&server, (struct sockaddr *)&address, 0);
  uv_listen((uv_stream_t *)&server, 511, on_connection);
  uv_tcp_getsockname(&server, (struct sockaddr *)&address, &length);
  start = clock();
  for (i = 0; i < connections; i++) {
    struct peer *peer = new_peer(1);
    uv_tcp_connect(&peer->connect, &peer->tcp, (struct sockaddr *)&address,
                   on_connect);
  }
  uv_run(loop, UV_RUN_DEFAULT);
  printf("%.0f\n", (double)(clock() - start) / CLOCKS_PER_SEC * 1e9 /
                       ((double)connections * rounds));
  return 0;
}
