/* SPDX-License-Identifier: MIT */
/*
 * net/filter.h: a connection is a chain of filters: at the bottom a socket or
 * an end of a pair, above it TLS, or TLS in TLS.
 *
 * Owns: the interface of a filter. Knows no Lua, no tasks, no protocols.
 * Invariants: a filter is pulled: it moves bytes only when it is asked to, and
 * takes no more than there is room for; a call goes down the chain, never up;
 * only the bottom knows libuv, and tells one listener that a call is worth
 * trying again.
 */
#ifndef WEFT_NET_FILTER_H
#define WEFT_NET_FILTER_H

#include <sys/types.h>
#include <uv.h>

#include "base/closer.h"
#include "base/mem.h"

/* What can be waited for: also a set of bits. */
enum weft_direction {
  WEFT_CONNECT = 1, /* the way up to a usable connection: TCP, TLS handshake */
  WEFT_READ = 2,
  WEFT_WRITE = 4
};

struct weft_filter;

/* Every function but `destroy` returns a negative code of libuv or of weft on
 * failure, UV_EAGAIN when it must be called again after an event. NULL stands
 * for the function of the filter below. None calls Lua or blocks. */
struct weft_filter_class {
  const char *name;
  /* Gets ready for use, first below, then here. 0 once that is done; may be
   * called again then. */
  int (*connect)(struct weft_filter *filter);
  /* Takes up to `size` (> 0) bytes: how many, or UV_EOF at the end of the
   * stream, and after that again. */
  ssize_t (*recv)(struct weft_filter *filter, char *data, size_t size);
  /* Sends some of the bytes: how many (> 0). After UV_EAGAIN it must be called
   * with the same bytes. */
  ssize_t (*send)(struct weft_filter *filter, const uv_buf_t *bufs,
                  unsigned count);
  /* Tells the peer that nothing more will be sent, after which send must not be
   * called. 0, also when it was done already. */
  int (*shutdown)(struct weft_filter *filter);
  /* What the bottom must wait for (a set of WEFT_READ and WEFT_WRITE) before a
   * call in `direction` that gave UV_EAGAIN is worth trying again. */
  int (*needs)(struct weft_filter *filter, enum weft_direction direction);
  /* The bottom only: tells the listener as soon as one of `events` (a set, 0
   * for none) is there, once; replaces what was asked before. */
  int (*want)(struct weft_filter *filter, int events);
  /* Frees the filter, not the one below. May say goodbye to the peer if that
   * needs no waiting. */
  void (*destroy)(struct weft_filter *filter);
  /* The bottom only: whether it is known without asking that nothing has come
   * since the last recv, not even the end. If not, the next recv asks, also
   * where it would say UV_EAGAIN before an event. NULL: it asks always. */
  int (*is_quiet)(struct weft_filter *filter);
};

struct weft_filter {
  const struct weft_filter_class *cls;
  struct weft_filter *below; /* owned; NULL at the bottom */
  struct weft_mem *mem;      /* borrowed; outlives the filter */
};

/* What stands at the bottom: the first member of its struct. */
struct weft_bottom {
  struct weft_filter filter;
  /* Tells that `events` of those wanted have come; nothing is wanted any more.
   * Called from libuv or from the other end of a pair. */
  void (*on_ready)(void *listener, int events);
  void *listener; /* NULL: nobody */
};

int weft_filter_connect(struct weft_filter *filter);
ssize_t weft_filter_recv(struct weft_filter *filter, char *data, size_t size);
ssize_t weft_filter_send(struct weft_filter *filter, const uv_buf_t *bufs,
                         unsigned count);
int weft_filter_shutdown(struct weft_filter *filter);
int weft_filter_needs(struct weft_filter *filter,
                      enum weft_direction direction);
int weft_filter_want(struct weft_filter *filter, int events);

/* Destroys the whole chain, from the top down. */
void weft_filter_destroy(struct weft_filter *filter);

/* The lowest filter of the chain. */
struct weft_bottom *weft_filter_bottom(struct weft_filter *filter);

#endif
