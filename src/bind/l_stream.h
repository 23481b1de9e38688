/* SPDX-License-Identifier: MIT */
/*
 * bind/l_stream.h: the userdata of a stream, for the binding files that make
 * streams or put filters on them.
 */
#ifndef WEFT_BIND_L_STREAM_H
#define WEFT_BIND_L_STREAM_H

#include "bind/lutil.h"
#include "net/socket.h"
#include "net/stream.h"

#define WEFT_STREAM_BUFS 8 /* strings of one write that need no allocation */

struct l_stream {
  struct weft_stream stream;
  struct weft_loop *loop;     /* kept by the userdata's table */
  struct weft_task *tasks[3]; /* who waits, by enum weft_stream_op */
  uv_buf_t bufs[WEFT_STREAM_BUFS];
  uv_buf_t *more_bufs; /* owned; in place of `bufs` while a write waits */
};

/* Pushes a new, closed stream of the running loop; give it a chain with
 * weft_stream_attach. Made first, so that what is acquired next has an owner.
 * Its table is for Lua. [-0, +1, m] */
struct l_stream *weft_stream_new(lua_State *L, struct weft_loop *loop);

/* Gives a stream that has none its chain, which it owns from then on. */
void weft_stream_attach(struct l_stream *s, struct weft_filter *top);

/* Closes a stream: idempotent, wakes who waits. */
void weft_stream_detach(struct l_stream *s);

/* The stream at an index, open or not; raises `type`. */
struct l_stream *weft_check_stream(lua_State *L, int idx);

/* The same, raising `closed` when it is closed, `state` when it belongs to
 * another loop than the running one, or when a task waits in `op` already. */
struct l_stream *weft_check_stream_op(lua_State *L, int idx,
                                      enum weft_stream_op op);

#endif
