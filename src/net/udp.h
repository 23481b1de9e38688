/* SPDX-License-Identifier: MIT */
/*
 * net/udp.h: a UDP socket that is polled by a loop.
 *
 * Owns: the descriptor and its uv_poll_t. Knows no Lua, no names, no tasks.
 * Invariants: nothing is read ahead: what has come and was not taken lies in
 * the kernel's buffer, which is what bounds it; the descriptor is closed at
 * once, the memory goes when libuv has let go of the handle.
 *
 * Functions that return an int or ssize_t return a negative code of libuv on
 * failure; none calls Lua or blocks.
 */
#ifndef WEFT_NET_UDP_H
#define WEFT_NET_UDP_H

#include <sys/types.h>
#include <uv.h>

#include "base/closer.h"
#include "base/mem.h"
#include "net/sockaddr.h"

struct weft_udp;

enum weft_udp_flag {
  WEFT_UDP_REUSE_ADDRESS = 1, /* several may have the port: multicast */
  WEFT_UDP_REUSE_PORT = 2,    /* the kernel spreads datagrams over them */
  WEFT_UDP_BROADCAST = 4,
  WEFT_UDP_V6_ONLY = 8
};

enum weft_udp_option {
  WEFT_UDP_TTL,
  WEFT_UDP_MULTICAST_TTL,
  WEFT_UDP_MULTICAST_LOOP,
  WEFT_UDP_MULTICAST_INTERFACE, /* its number */
  WEFT_UDP_RECEIVE_BUFFER,      /* bytes */
  WEFT_UDP_SEND_BUFFER
};

/* Opens a socket of a family; flags: a set of enum weft_udp_flag. NULL: *rc
 * says why. */
struct weft_udp *weft_udp_open(uv_loop_t *uv, struct weft_mem *mem, int family,
                               int flags, int *rc);

/* on_ready is told which of the events that are wanted (UV_READABLE,
 * UV_WRITABLE) have come; on_close, that the socket was closed with its loop,
 * after which the pointer is not to be used any more. */
void weft_udp_listen(struct weft_udp *udp,
                     void (*on_ready)(void *listener, int events),
                     void (*on_close)(void *listener), void *listener);

/* Closes it; the pointer is not to be used any more, nobody is told. */
void weft_udp_close(struct weft_udp *udp);

int weft_udp_bind(struct weft_udp *udp, const union weft_sockaddr *address);
int weft_udp_connect(struct weft_udp *udp, const union weft_sockaddr *address);

/* The events to be told of, until it is called again; 0: none. While none is
 * wanted the socket does not keep its loop alive. */
int weft_udp_want(struct weft_udp *udp, int events);

/* Takes the next datagram: its size, or UV_EAGAIN. What does not fit into
 * `size` is lost, and *is_cut set. An error may be that of a datagram sent
 * before. */
ssize_t weft_udp_receive(struct weft_udp *udp, char *data, size_t size,
                         union weft_sockaddr *from, int *is_cut);

/* Sends one, to the peer if `to` is NULL: 0, or UV_EAGAIN. */
int weft_udp_send(struct weft_udp *udp, const char *data, size_t size,
                  const union weft_sockaddr *to);

int weft_udp_set(struct weft_udp *udp, enum weft_udp_option option, int value);

/* Joins or leaves a multicast group, on an interface (0: the system's choice).
 */
int weft_udp_membership(struct weft_udp *udp, const union weft_sockaddr *group,
                        unsigned interface, int is_member);

/* The address of the socket, or that of the peer. */
int weft_udp_name(struct weft_udp *udp, union weft_sockaddr *address);
int weft_udp_peer(struct weft_udp *udp, union weft_sockaddr *address);

int weft_udp_family(const struct weft_udp *udp);

#endif
