/* SPDX-License-Identifier: MIT */
/*
 * spec/c/socket.c: net/socket.c on a libuv loop of its own: events are told
 * once and only when they are wanted, descriptors are closed in any order, and
 * nothing is left.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "check.h"
#include "net/socket.h"

static uv_loop_t uv;
static struct weft_mem mem;

struct seen {
  int count, events;
};

static void on_ready(void *listener, int events) {
  struct seen *seen = listener;
  seen->count++;
  seen->events = events;
}

static struct weft_filter *filter_of(struct weft_socket *socket) {
  return (struct weft_filter *)(void *)socket;
}

static struct weft_socket *open_one(int fd, struct seen *seen) {
  int rc = 1;
  struct weft_socket *socket = weft_socket_new(&uv, &mem, fd, &rc);
  CHECK(socket != NULL && rc == 0 && weft_socket_fd(socket) == fd);
  CHECK(weft_socket_of(filter_of(socket)) == socket);
  memset(seen, 0, sizeof(*seen));
  weft_socket_listen(socket, on_ready, seen);
  return socket;
}

static void open_two(struct weft_socket **a, struct weft_socket **b,
                     struct seen *seen) {
  int fds[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  *a = open_one(fds[0], &seen[0]);
  *b = open_one(fds[1], &seen[1]);
  CHECK(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
}

static void turn(void) {
  uv_run(&uv, UV_RUN_NOWAIT);
}

static ssize_t send_text(struct weft_socket *socket, const char *text) {
  uv_buf_t buf = {(char *)(uintptr_t)text, strlen(text)};
  return weft_filter_send(filter_of(socket), &buf, 1);
}

static void tells_once_what_is_wanted(void) {
  struct weft_socket *a, *b;
  struct seen seen[2];
  char data[16];
  open_two(&a, &b, seen);
  CHECK(weft_filter_recv(filter_of(b), data, 16) == UV_EAGAIN);
  CHECK(send_text(a, "hello") == 5);
  turn();
  CHECK(seen[1].count == 0); /* nobody wanted it */
  CHECK(weft_filter_want(filter_of(b), WEFT_READ) == 0);
  turn();
  turn();
  CHECK(seen[1].count == 1 && seen[1].events == WEFT_READ);
  CHECK(weft_filter_recv(filter_of(b), data, 16) == 5);
  CHECK(weft_filter_want(filter_of(b), WEFT_READ) == 0);
  turn();
  CHECK(seen[1].count == 1); /* nothing has come */
  CHECK(weft_filter_want(filter_of(b), 0) == 0);
  CHECK(send_text(a, "more") == 4);
  turn();
  CHECK(seen[1].count == 1); /* wanted no more */
  CHECK(weft_filter_want(filter_of(b), WEFT_READ | WEFT_WRITE) == 0);
  turn();
  CHECK(seen[1].count == 2 && seen[1].events == (WEFT_READ | WEFT_WRITE));
  weft_filter_destroy(filter_of(a));
  weft_filter_destroy(filter_of(b));
}

static void waits_for_room(void) {
  struct weft_socket *a, *b;
  struct seen seen[2];
  static char data[1 << 16];
  uv_buf_t bufs[100];
  size_t sent = 0, got = 0;
  ssize_t n;
  int i;
  open_two(&a, &b, seen);
  for (i = 0; i < 100; i++) /* more than one call takes */
    bufs[i] = uv_buf_init(data, 10);
  CHECK(weft_filter_send(filter_of(a), bufs, 100) % 10 == 0);
  CHECK(weft_filter_recv(filter_of(b), data, 1000) > 0);
  bufs[0] = uv_buf_init(data, sizeof(data));
  while ((n = weft_filter_send(filter_of(a), bufs, 1)) > 0)
    sent += (size_t)n;
  CHECK(n == UV_EAGAIN && sent > 0);
  CHECK(weft_filter_want(filter_of(a), WEFT_WRITE) == 0);
  turn();
  CHECK(seen[0].count == 0);
  while (got < sent && seen[0].count == 0) {
    do /* one that was short asks for an event first */
      n = read(weft_socket_fd(b), data, sizeof(data));
    while (n > 0);
    got += sizeof(data);
    turn();
  }
  CHECK(seen[0].count == 1 && seen[0].events == WEFT_WRITE);
  weft_filter_destroy(filter_of(b));
  weft_filter_destroy(filter_of(a));
}

static void ends(void) {
  struct weft_socket *a, *b;
  struct seen seen[2];
  char data[16];
  open_two(&a, &b, seen);
  CHECK(weft_filter_connect(filter_of(a)) == 0); /* it is connected */
  CHECK(send_text(a, "last") == 4);
  CHECK(weft_filter_shutdown(filter_of(a)) == 0);
  CHECK(weft_filter_shutdown(filter_of(a)) == 0);
  CHECK(weft_filter_recv(filter_of(b), data, 4) == 4);
  CHECK(weft_filter_recv(filter_of(b), data, 16) == UV_EOF);
  CHECK(weft_filter_recv(filter_of(b), data, 16) == UV_EOF);
  CHECK(send_text(a, "x") == UV_EPIPE); /* and no SIGPIPE */
  weft_filter_destroy(filter_of(a));
  CHECK(send_text(b, "x") == UV_EPIPE);
  weft_filter_destroy(filter_of(b));
}

/* A pipe is no socket: other calls, and no half close. */
static void takes_pipes(void) {
  struct weft_socket *in, *out;
  struct seen seen[2];
  int fds[2];
  char data[8];
  CHECK(pipe(fds) == 0);
  in = open_one(fds[0], &seen[0]);
  out = open_one(fds[1], &seen[1]);
  CHECK(send_text(out, "abc") == 3);
  CHECK(weft_filter_recv(filter_of(in), data, 8) == 3);
  CHECK(weft_filter_shutdown(filter_of(out)) == UV_ENOTSUP);
  weft_filter_destroy(filter_of(out));
  CHECK(weft_filter_want(filter_of(in), WEFT_READ) == 0);
  turn();
  CHECK(seen[0].count == 1);
  CHECK(weft_filter_recv(filter_of(in), data, 8) == UV_EOF);
  weft_filter_destroy(filter_of(in));
}

static void on_walk(uv_handle_t *handle, void *arg) {
  struct weft_closer *closer = handle->data;
  (void)arg;
  if (!uv_is_closing(handle))
    closer->close(closer);
}

/* The loop goes first: the descriptor is closed, each call says so, and the
 * memory waits for its owner. */
static void outlives_its_loop(void) {
  struct weft_socket *a, *b;
  struct seen seen[2];
  char data[8];
  open_two(&a, &b, seen);
  uv_walk(&uv, on_walk, NULL);
  CHECK(weft_socket_fd(a) == -1 && weft_socket_fd(b) == -1);
  turn();
  CHECK(mem.blocks == 2);
  CHECK(weft_filter_recv(filter_of(a), data, 8) == UV_EBADF);
  CHECK(send_text(a, "x") == UV_EBADF);
  CHECK(weft_filter_shutdown(filter_of(a)) == UV_EBADF);
  CHECK(weft_filter_want(filter_of(a), WEFT_READ) == UV_EBADF);
  CHECK(weft_socket_accept(a) == UV_EBADF);
  weft_filter_destroy(filter_of(a));
  CHECK(mem.blocks == 1);
  weft_filter_destroy(filter_of(b));
  CHECK(mem.blocks == 0);
}

static void fails_without_harm(void) {
  int fds[2], rc = 0;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  mem.fail_after = 1;
  CHECK(weft_socket_new(&uv, &mem, fds[0], &rc) == NULL && rc == UV_ENOMEM);
  CHECK(close(fds[0]) != 0); /* it took it all the same */
  rc = 0;
  CHECK(weft_socket_new(&uv, &mem, -1, &rc) == NULL && rc == UV_EBADF);
  close(fds[1]);
  CHECK(mem.blocks == 0);
}

int main(void) {
  CHECK(uv_loop_init(&uv) == 0);
  tells_once_what_is_wanted();
  waits_for_room();
  ends();
  takes_pipes();
  outlives_its_loop();
  fails_without_harm();
  uv_run(&uv, UV_RUN_DEFAULT);
  CHECK(mem.blocks == 0 && mem.bytes == 0);
  CHECK(uv_loop_close(&uv) == 0);
  return 0;
}
