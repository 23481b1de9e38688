/* SPDX-License-Identifier: MIT */
/*
 * net/udp.c: see udp.h.
 * Why not uv_udp_t: it reads many datagrams ahead into 64 KiB each, and a send
 * that waits cannot be taken back.
 */
#include "net/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct weft_udp {
  struct weft_closer closer;
  uv_poll_t poll;
  struct weft_mem *mem;
  int fd, family;
  int wanted; /* events that the listener waits for */
  int polled; /* events that libuv looks for */
  void (*on_ready)(void *listener, int events);
  void (*on_close)(void *listener);
  void *listener; /* NULL: nobody */
};

static int set_int(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

/* --- opening and closing ------------------------------------------------- */

static void on_closed(uv_handle_t *handle) {
  struct weft_udp *udp = handle->data;
  weft_free(udp->mem, udp);
}

void weft_udp_close(struct weft_udp *udp) {
  udp->listener = NULL;
  uv_close((uv_handle_t *)&udp->poll, on_closed);
  close(udp->fd);
}

static void on_loop_close(struct weft_closer *closer) {
  struct weft_udp *udp = (struct weft_udp *)(void *)closer;
  void *listener = udp->listener;
  weft_udp_close(udp);
  if (listener != NULL)
    udp->on_close(listener);
}

static int open_socket(int family) {
  int fd, rc;
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
  fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  rc = fd >= 0 ? 0 : -errno;
#else
  fd = socket(family, SOCK_DGRAM, 0);
  rc = fd >= 0 ? 0 : -errno;
  if (rc == 0 && (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
                  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)) {
    rc = -errno;
    close(fd);
  }
#endif
  return rc != 0 ? rc : fd;
}

static int set_flags(int fd, int family, int flags) {
  int rc = 0;
  if (flags & WEFT_UDP_REUSE_ADDRESS)
    rc = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (rc == 0 && flags & WEFT_UDP_REUSE_PORT)
    rc = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (rc == 0 && flags & WEFT_UDP_BROADCAST)
    rc = set_int(fd, SOL_SOCKET, SO_BROADCAST, 1);
  if (rc == 0 && family == AF_INET6)
    rc =
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, (flags & WEFT_UDP_V6_ONLY) != 0);
  return rc;
}

struct weft_udp *weft_udp_open(uv_loop_t *uv, struct weft_mem *mem, int family,
                               int flags, int *rc) {
  struct weft_udp *udp = weft_calloc(mem, sizeof(*udp));
  int fd;
  *rc = UV_ENOMEM;
  if (udp == NULL)
    return NULL;
  *rc = fd = open_socket(family);
  if (fd < 0)
    goto out;
  *rc = set_flags(fd, family, flags);
  if (*rc == 0)
    *rc = uv_poll_init(uv, &udp->poll, fd);
  if (*rc != 0)
    goto out;
  udp->closer.close = on_loop_close;
  udp->poll.data = udp;
  udp->mem = mem;
  udp->fd = fd;
  udp->family = family;
  uv_unref((uv_handle_t *)&udp->poll);
  return udp;
out:
  if (fd >= 0)
    close(fd);
  weft_free(mem, udp);
  return NULL;
}

void weft_udp_listen(struct weft_udp *udp,
                     void (*on_ready)(void *listener, int events),
                     void (*on_close)(void *listener), void *listener) {
  udp->on_ready = on_ready;
  udp->on_close = on_close;
  udp->listener = listener;
}

int weft_udp_bind(struct weft_udp *udp, const union weft_sockaddr *address) {
  return bind(udp->fd, &address->any, weft_sockaddr_size(address)) == 0
             ? 0
             : -errno;
}

int weft_udp_connect(struct weft_udp *udp, const union weft_sockaddr *address) {
  return connect(udp->fd, &address->any, weft_sockaddr_size(address)) == 0
             ? 0
             : -errno;
}

/* --- waiting ------------------------------------------------------------- */

static void on_poll(uv_poll_t *poll, int status, int events);

static int poll_for(struct weft_udp *udp, int events) {
  int rc = 0;
  if (events != udp->polled)
    rc = events != 0 ? uv_poll_start(&udp->poll, events, on_poll)
                     : uv_poll_stop(&udp->poll);
  if (rc == 0)
    udp->polled = events;
  return rc;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  struct weft_udp *udp = poll->data;
  int came = events & udp->wanted;
  if (status < 0) { /* libuv has stopped; the next call says what is wrong */
    udp->polled = 0;
    came = udp->wanted;
  } else if (came != events) {
    poll_for(udp, udp->wanted);
  }
  if (came != 0 && udp->listener != NULL)
    udp->on_ready(udp->listener, came);
}

/* Reading is polled on until something comes that nobody wants, so that who
 * takes one datagram after the other makes no system calls for the polling. */
int weft_udp_want(struct weft_udp *udp, int events) {
  int rc = poll_for(udp, events | (udp->polled & UV_READABLE));
  if (rc != 0)
    return rc;
  udp->wanted = events;
  if (events != 0)
    uv_ref((uv_handle_t *)&udp->poll);
  else
    uv_unref((uv_handle_t *)&udp->poll);
  return 0;
}

/* --- datagrams ----------------------------------------------------------- */

ssize_t weft_udp_receive(struct weft_udp *udp, char *data, size_t size,
                         union weft_sockaddr *from, int *is_cut) {
  struct iovec iov;
  struct msghdr message;
  ssize_t n;
  iov.iov_base = data;
  iov.iov_len = size;
  memset(from, 0, sizeof(*from));
  memset(&message, 0, sizeof(message));
  message.msg_name = from;
  message.msg_namelen = sizeof(*from);
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  do
    n = recvmsg(udp->fd, &message, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return errno == EWOULDBLOCK ? UV_EAGAIN : -errno;
  *is_cut = (message.msg_flags & MSG_TRUNC) != 0;
  return n;
}

int weft_udp_send(struct weft_udp *udp, const char *data, size_t size,
                  const union weft_sockaddr *to) {
  ssize_t n;
  do
    n = sendto(udp->fd, data, size, 0, to != NULL ? &to->any : NULL,
               to != NULL ? weft_sockaddr_size(to) : 0);
  while (n < 0 && errno == EINTR);
  if (n >= 0)
    return 0;
  return errno == EWOULDBLOCK || errno == ENOBUFS ? UV_EAGAIN : -errno;
}

/* --- options ------------------------------------------------------------- */

static int set_byte(int fd, int level, int name, int value) {
  unsigned char byte = (unsigned char)value;
  return setsockopt(fd, level, name, &byte, sizeof(byte)) == 0 ? 0 : -errno;
}

static int set_interface_v4(int fd, int interface) {
  struct ip_mreqn request;
  memset(&request, 0, sizeof(request));
  request.imr_ifindex = interface;
  return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &request,
                    sizeof(request)) == 0
             ? 0
             : -errno;
}

int weft_udp_set(struct weft_udp *udp, enum weft_udp_option option, int value) {
  int is_v4 = udp->family == AF_INET, fd = udp->fd;
  switch (option) {
  case WEFT_UDP_TTL:
    return is_v4 ? set_int(fd, IPPROTO_IP, IP_TTL, value)
                 : set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, value);
  case WEFT_UDP_MULTICAST_TTL:
    return is_v4 ? set_byte(fd, IPPROTO_IP, IP_MULTICAST_TTL, value)
                 : set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, value);
  case WEFT_UDP_MULTICAST_LOOP:
    return is_v4 ? set_byte(fd, IPPROTO_IP, IP_MULTICAST_LOOP, value)
                 : set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, value);
  case WEFT_UDP_MULTICAST_INTERFACE:
    return is_v4 ? set_interface_v4(fd, value)
                 : set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, value);
  case WEFT_UDP_RECEIVE_BUFFER:
    return set_int(fd, SOL_SOCKET, SO_RCVBUF, value);
  default:
    return set_int(fd, SOL_SOCKET, SO_SNDBUF, value);
  }
}

static int join(struct weft_udp *udp, int level, int name, const void *request,
                socklen_t size) {
  return setsockopt(udp->fd, level, name, request, size) == 0 ? 0 : -errno;
}

int weft_udp_membership(struct weft_udp *udp, const union weft_sockaddr *group,
                        unsigned interface, int is_member) {
  struct ip_mreqn v4;
  struct ipv6_mreq v6;
  if (group->any.sa_family != udp->family)
    return UV_EINVAL;
  memset(&v4, 0, sizeof(v4));
  memset(&v6, 0, sizeof(v6));
  v4.imr_multiaddr = group->v4.sin_addr;
  v4.imr_ifindex = (int)interface;
  v6.ipv6mr_multiaddr = group->v6.sin6_addr;
  v6.ipv6mr_interface = interface;
  if (udp->family == AF_INET)
    return join(udp, IPPROTO_IP,
                is_member ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &v4,
                sizeof(v4));
  return join(udp, IPPROTO_IPV6, is_member ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP,
              &v6, sizeof(v6));
}

int weft_udp_name(struct weft_udp *udp, union weft_sockaddr *address) {
  socklen_t size = sizeof(*address);
  return getsockname(udp->fd, &address->any, &size) == 0 ? 0 : -errno;
}

int weft_udp_peer(struct weft_udp *udp, union weft_sockaddr *address) {
  socklen_t size = sizeof(*address);
  return getpeername(udp->fd, &address->any, &size) == 0 ? 0 : -errno;
}

int weft_udp_family(const struct weft_udp *udp) {
  return udp->family;
}
