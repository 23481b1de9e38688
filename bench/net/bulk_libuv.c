/* SPDX-License-Identifier: MIT */
/*
 * bench/net/bulk_libuv.c: the limit for bulk throughput: a child sends this
 * process MIB mebibytes over one connection, in plain libuv, in writes of 64
 * KiB. Prints the CPU milliseconds of both.
 * usage: bulk_libuv MIB
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

static uv_loop_t *loop;
static size_t left, received;
static char chunk[65536], buffer[65536];
static uv_tcp_t server, client, accepted;
static uv_write_t request;

static void send_more(uv_write_t *req, int status) {
  uv_buf_t buf = uv_buf_init(chunk, sizeof(chunk));
  (void)req;
  if (status != 0)
    abort();
  if (left == 0) {
    uv_close((uv_handle_t *)&client, NULL);
    return;
  }
  left -= sizeof(chunk);
  uv_write(&request, (uv_stream_t *)&client, &buf, 1, send_more);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf) {
  (void)handle;
  (void)hint;
  *buf = uv_buf_init(buffer, sizeof(buffer));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  (void)buf;
  if (n < 0) {
    uv_close((uv_handle_t *)stream, NULL);
    uv_close((uv_handle_t *)&server, NULL);
    return;
  }
  received += (size_t)n;
}

static void on_connection(uv_stream_t *stream, int status) {
  (void)status;
  uv_tcp_init(loop, &accepted);
  uv_accept(stream, (uv_stream_t *)&accepted);
  uv_read_start((uv_stream_t *)&accepted, on_alloc, on_read);
}

static void on_connect(uv_connect_t *req, int status) {
  (void)req;
  send_more(NULL, status);
}

static void send_all(const struct sockaddr_in *address) {
  uv_connect_t connect;
  uv_tcp_init(loop, &client);
  uv_tcp_connect(&connect, &client, (const struct sockaddr *)address,
                 on_connect);
  uv_run(loop, UV_RUN_DEFAULT);
}

static void receive_all(size_t total) {
  uv_listen((uv_stream_t *)&server, 1, on_connection);
  uv_run(loop, UV_RUN_DEFAULT);
  if (received != total)
    abort();
}

static double cpu_ms(int who) {
  struct rusage usage;
  getrusage(who, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

int main(int argc, char **argv) {
  size_t total = (size_t)(argc > 1 ? atoi(argv[1]) : 1024) << 20;
  struct sockaddr_in address;
  int length = sizeof(address), fd;
  left = total;
  memset(chunk, 'x', sizeof(chunk));
  fd = socket(AF_INET, SOCK_STREAM, 0);
  uv_ip4_addr("127.0.0.1", 0, &address);
  if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
      listen(fd, 1) != 0)
    abort();
  getsockname(fd, (struct sockaddr *)&address, (socklen_t *)&length);
  if (fork() == 0) {
    loop = uv_default_loop();
    send_all(&address);
    return 0;
  }
  loop = uv_default_loop();
  uv_tcp_init(loop, &server);
  uv_tcp_open(&server, fd);
  receive_all(total);
  wait(NULL);
  printf("%.0f\n", cpu_ms(RUSAGE_SELF) + cpu_ms(RUSAGE_CHILDREN));
  return 0;
}
