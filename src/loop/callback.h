/* SPDX-License-Identifier: MIT */
/*
 * loop/callback.h: a function that the loop calls once, soon or at a time: what
 * call_soon, call_later, done callbacks and signal handlers are.
 *
 * Owns: struct weft_callback, the memory of a userdata whose table holds the
 * function and its arguments. It is anchored while it is scheduled.
 * A callback runs outside any task: it cannot wait, and an error in it is
 * reported and stops nothing.
 */
#ifndef WEFT_LOOP_CALLBACK_H
#define WEFT_LOOP_CALLBACK_H

#include "loop/timer.h"
#include "loop/vm.h"

struct weft_callback {
  struct weft_node node;
  struct weft_timer timer;
  uint64_t deadline; /* ns; 0 for call_soon */
  uint32_t slot;     /* anchor; 0 while it is not scheduled */
  uint32_t again;    /* repeating: times it was triggered while queued */
};

#define WEFT_CALLBACK_REPEATS 1 /* node.flags: may be scheduled again */

/* Makes a callback from the function and arguments that are the top `n` values
 * of L; not scheduled. [-n, +1, m] */
struct weft_callback *weft_callback_new(lua_State *L, struct weft_loop *loop,
                                        int n);

/* Makes and queues one. Leaves nothing on the stack. [-n, +0, m] */
void weft_callback_soon(lua_State *L, struct weft_loop *loop, int n);

/* Anchors the callback at the top of L: 0, or -1 when memory is out. */
int weft_callback_anchor(struct weft_callback *callback, lua_State *L);

/* Anchors the callback at the top of L and queues it (deadline 0) or starts its
 * timer. Returns 0, or -1 when C memory is out. [-0, +0, m] */
int weft_callback_schedule(struct weft_callback *callback, lua_State *L,
                           uint64_t deadline);

/* Queues a repeating callback that is anchored. Calls no Lua: for libuv's
 * callbacks. */
void weft_callback_trigger(struct weft_callback *callback);

/* Takes it off wherever it is scheduled; it will not be called. Idempotent. */
void weft_callback_cancel(struct weft_callback *callback);

/* Runs a queued callback. */
void weft_callback_step(struct weft_callback *callback, lua_State *L);

#endif
