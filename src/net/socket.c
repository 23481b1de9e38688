/* SPDX-License-Identifier: MIT */
/*
 * net/socket.c: see socket.h.
 * The poll stays on as long as somebody may want its next event: asking libuv
 * for other events costs two system calls. An event that nobody wants any more
 * turns it off.
 */
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/list.h"

struct weft_socket {
  struct weft_bottom bottom;
  struct weft_closer closer;
  uv_poll_t poll;
  int fd;
  uint8_t is_socket;     /* else a pipe or a terminal */
  uint8_t is_connecting; /* connect was called, its outcome not asked for */
  uint8_t wanted, armed; /* sets of enum weft_direction; armed: of the poll */
  uint8_t is_drained;    /* the last read left nothing: wait for an event */
  uint8_t is_dropped;    /* its chain is destroyed */
  uint8_t is_gone;       /* libuv has let go */
};

static struct weft_socket *of(struct weft_filter *filter) {
  return (struct weft_socket *)(void *)filter;
}

/* --- the end ------------------------------------------------------------- */

static void free_if_over(struct weft_socket *socket) {
  if (socket->is_dropped && socket->is_gone)
    weft_free(socket->bottom.filter.mem, socket);
}

static void on_gone(uv_handle_t *uv) {
  struct weft_socket *socket =
      WEFT_CONTAINER_OF(uv->data, struct weft_socket, closer);
  socket->is_gone = 1;
  free_if_over(socket);
}

static void close_fd(struct weft_socket *socket) {
  if (socket->fd < 0)
    return;
  if (!uv_is_closing((uv_handle_t *)&socket->poll))
    uv_close((uv_handle_t *)&socket->poll, on_gone);
  close(socket->fd);
  socket->fd = -1;
}

static void on_loop_close(struct weft_closer *closer) {
  close_fd(WEFT_CONTAINER_OF(closer, struct weft_socket, closer));
}

static void destroy(struct weft_filter *filter) {
  struct weft_socket *socket = of(filter);
  socket->bottom.listener = NULL;
  socket->is_dropped = 1;
  close_fd(socket);
  free_if_over(socket);
}

/* --- waiting ------------------------------------------------------------- */

/* A poll that is armed though nobody wants its event keeps no loop alive: it is
 * not I/O that somebody waits for. */
static void set_wanted(struct weft_socket *socket, int events) {
  socket->wanted = (uint8_t)events;
  if (events != 0)
    uv_ref((uv_handle_t *)&socket->poll);
  else
    uv_unref((uv_handle_t *)&socket->poll);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static int arm(struct weft_socket *socket, int directions) {
  int events = (directions & WEFT_READ ? UV_READABLE : 0) |
               (directions & WEFT_WRITE ? UV_WRITABLE : 0);
  int rc = events != 0 ? uv_poll_start(&socket->poll, events, on_poll)
                       : uv_poll_stop(&socket->poll);
  socket->armed = rc == 0 ? (uint8_t)directions : 0;
  return rc;
}

/* On an error of the descriptor libuv turns the poll off and tells no events:
 * the calls themselves will say what is wrong. */
static void on_poll(uv_poll_t *poll, int status, int events) {
  struct weft_socket *socket =
      WEFT_CONTAINER_OF(poll->data, struct weft_socket, closer);
  int come = (events & UV_READABLE ? WEFT_READ : 0) |
             (events & UV_WRITABLE ? WEFT_WRITE : 0);
  socket->is_drained = 0;
  if (status < 0) {
    socket->armed = 0;
    come = WEFT_READ | WEFT_WRITE;
  }
  if ((come & socket->wanted) == 0) {
    if (status == 0)
      (void)arm(socket, socket->wanted);
    return;
  }
  come &= socket->wanted;
  set_wanted(socket, 0);
  if (socket->bottom.listener != NULL)
    socket->bottom.on_ready(socket->bottom.listener, come);
}

static int socket_want(struct weft_filter *filter, int events) {
  struct weft_socket *socket = of(filter);
  if (socket->fd < 0)
    return UV_EBADF;
  set_wanted(socket, events);
  /* WRITE is there nearly always: it is not left armed. */
  if ((events & ~socket->armed) == 0 &&
      ((socket->armed & ~events) & WEFT_WRITE) == 0)
    return 0;
  return arm(socket, events);
}

static int socket_needs(struct weft_filter *filter,
                        enum weft_direction direction) {
  (void)filter;
  return direction == WEFT_READ ? WEFT_READ : WEFT_WRITE;
}

/* --- moving bytes -------------------------------------------------------- */

static int error_of(int number) {
  return number == EWOULDBLOCK || number == EINTR ? UV_EAGAIN : -number;
}

static ssize_t socket_recv(struct weft_filter *filter, char *data,
                           size_t size) {
  struct weft_socket *socket = of(filter);
  ssize_t n;
  if (socket->fd < 0)
    return UV_EBADF;
  if (socket->is_drained)
    return UV_EAGAIN; /* so that it is polled, which tells if there is more */
  do
    n = socket->is_socket ? recv(socket->fd, data, size, 0)
                          : read(socket->fd, data, size);
  while (n < 0 && errno == EINTR);
  socket->is_drained = n > 0 && (size_t)n < size;
  if (n > 0)
    return n;
  /* The other side of a pseudo-terminal that is closed gives EIO. */
  if (n == 0 || (errno == EIO && !socket->is_socket))
    return UV_EOF;
  return error_of(errno);
}

#define BUFS_MAX                                               \
  64 /* far below the system's limit; the rest comes next time \
      */

static ssize_t socket_send(struct weft_filter *filter, const uv_buf_t *bufs,
                           unsigned count) {
  struct weft_socket *socket = of(filter);
  struct msghdr message = {0};
  ssize_t n;
  if (socket->fd < 0)
    return UV_EBADF;
  if (count > BUFS_MAX)
    count = BUFS_MAX;
  message.msg_iov = (struct iovec *)(void *)(uintptr_t)bufs; /* the same */
  message.msg_iovlen = count;
  do {
    if (socket->is_socket && count == 1)
      n = send(socket->fd, bufs->base, bufs->len, MSG_NOSIGNAL);
    else if (socket->is_socket)
      n = sendmsg(socket->fd, &message, MSG_NOSIGNAL);
    else
      n = writev(socket->fd, message.msg_iov, (int)count);
  } while (n < 0 && errno == EINTR);
  return n >= 0 ? n : error_of(errno);
}

static int socket_shutdown(struct weft_filter *filter) {
  struct weft_socket *socket = of(filter);
  if (socket->fd < 0)
    return UV_EBADF;
  if (!socket->is_socket)
    return UV_ENOTSUP;
  return shutdown(socket->fd, SHUT_WR) == 0 ? 0 : error_of(errno);
}

/* --- connecting ---------------------------------------------------------- */

int weft_socket_connect(struct weft_socket *socket,
                        const struct sockaddr *address, socklen_t size) {
  int rc;
  if (socket->fd < 0)
    return UV_EBADF;
  do
    rc = connect(socket->fd, address, size);
  while (rc != 0 && errno == EINTR);
  if (rc == 0)
    return 0;
  if (errno != EINPROGRESS)
    return errno == EAGAIN ? UV_ECONNREFUSED : error_of(errno);
  socket->is_connecting = 1;
  return UV_EAGAIN;
}

static int is_writable(int fd) {
  struct pollfd pfd = {fd, POLLOUT, 0};
  return poll(&pfd, 1, 0) != 0;
}

static int socket_connect(struct weft_filter *filter) {
  struct weft_socket *socket = of(filter);
  int number = 0;
  socklen_t size = sizeof(number);
  if (!socket->is_connecting)
    return 0;
  if (socket->fd < 0)
    return UV_EBADF;
  if (!is_writable(socket->fd))
    return UV_EAGAIN;
  socket->is_connecting = 0;
  if (getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0)
    number = errno;
  return -number;
}

/* --- making -------------------------------------------------------------- */

/* Emptied, and polled since: an event would have come. */
static int socket_is_quiet(struct weft_filter *filter) {
  struct weft_socket *socket = of(filter);
  if (socket->is_drained && (socket->armed & WEFT_READ) != 0)
    return 1;
  socket->is_drained = 0;
  return 0;
}

static const struct weft_filter_class socket_class = {
    "socket",     socket_connect, socket_recv, socket_send,     socket_shutdown,
    socket_needs, socket_want,    destroy,     socket_is_quiet,
};

static int is_socket(int fd) {
  int type;
  socklen_t size = sizeof(type);
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

struct weft_socket *weft_socket_new(uv_loop_t *uv, struct weft_mem *mem, int fd,
                                    int *rc) {
  struct weft_socket *socket = weft_calloc(mem, sizeof(*socket));
  *rc = UV_ENOMEM;
  if (socket != NULL)
    *rc = uv_poll_init(uv, &socket->poll, fd); /* sets O_NONBLOCK */
  if (*rc != 0) {
    weft_free(mem, socket);
    close(fd);
    return NULL;
  }
  socket->bottom.filter.cls = &socket_class;
  socket->bottom.filter.mem = mem;
  socket->closer.close = on_loop_close;
  socket->poll.data = &socket->closer;
  socket->fd = fd;
  socket->is_socket = (uint8_t)is_socket(fd);
  return socket;
}

int weft_socket_fd(const struct weft_socket *socket) {
  return socket->fd;
}

struct weft_socket *weft_socket_of(struct weft_filter *filter) {
  struct weft_bottom *bottom = weft_filter_bottom(filter);
  return bottom->filter.cls == &socket_class ? of(&bottom->filter) : NULL;
}

void weft_socket_listen(struct weft_socket *socket,
                        void (*on_ready)(void *listener, int events),
                        void *listener) {
  socket->bottom.on_ready = on_ready;
  socket->bottom.listener = listener;
}

void weft_socket_sever(struct weft_socket *socket) {
  close_fd(socket);
}

int weft_socket_cloexec(int fd) {
  return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : error_of(errno);
}

static int set_flags(int fd) {
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
    return error_of(errno);
  return 0;
}

/* Flags set by the call itself, where there are such, leave no moment in which
 * another thread's child could inherit the descriptor. */
int weft_socket_open(int family, int type) {
  int fd;
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
  fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd >= 0 ? fd : -errno;
#else
  int rc;
  fd = socket(family, type, 0);
  if (fd < 0)
    return -errno;
  rc = set_flags(fd);
  if (rc != 0)
    close(fd);
  return rc != 0 ? rc : fd;
#endif
}

int weft_socket_accept(struct weft_socket *socket) {
  int fd, rc;
  if (socket->fd < 0)
    return UV_EBADF;
  do {
#if defined(__linux__)
    fd = accept4(socket->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
    fd = accept(socket->fd, NULL, NULL);
#endif
  } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
  if (fd < 0)
    return error_of(errno);
  rc = set_flags(fd);
  if (rc != 0)
    close(fd);
  return rc != 0 ? rc : fd;
}
