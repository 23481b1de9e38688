/* SPDX-License-Identifier: MIT */
/*
 * net/socket.h: the bottom of most chains: a descriptor that can be polled,
 * be it a TCP or Unix socket, a pipe or a terminal. Also what listens.
 *
 * Owns: the descriptor and its uv_poll_t. Knows no names and no protocols.
 * Invariant: the descriptor is closed at once by destroy or with the loop; the
 * memory goes when both have happened and libuv has let go of the handle.
 */
#ifndef WEFT_NET_SOCKET_H
#define WEFT_NET_SOCKET_H

#include <sys/socket.h>

#include "net/filter.h"

struct weft_socket;

/* Makes a filter of an open descriptor, which it owns from then on, also when
 * it fails; sets it to non-blocking. NULL: *rc says why. */
struct weft_socket *weft_socket_new(uv_loop_t *uv, struct weft_mem *mem, int fd,
                                    int *rc);

/* The descriptor; -1 once it is closed. */
int weft_socket_fd(const struct weft_socket *socket);

/* A new descriptor: non-blocking, not inherited by children. Negative: error.
 */
int weft_socket_open(int family, int type);

/* Starts connecting: 0 done, UV_EAGAIN: weft_filter_connect tells, or an error.
 */
int weft_socket_connect(struct weft_socket *socket,
                        const struct sockaddr *address, socklen_t size);

/* For one that listens: `on_ready` is called with `listener` when a connection
 * has come, once after each weft_filter_want. */
void weft_socket_listen(struct weft_socket *socket,
                        void (*on_ready)(void *listener, int events),
                        void *listener);

/* Closes the descriptor, the chain above being as it was: what it still wants
 * to say to the peer is not said. For a process that has only a copy of it. */
void weft_socket_sever(struct weft_socket *socket);

/* Keeps a descriptor from children. 0 or an error. */
int weft_socket_cloexec(int fd);

/* Accepts a connection: its descriptor; UV_EAGAIN; or an error. */
int weft_socket_accept(struct weft_socket *socket);

/* The chain's way to the socket at its bottom; NULL if that is none. */
struct weft_socket *weft_socket_of(struct weft_filter *filter);

#endif
