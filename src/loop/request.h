/* SPDX-License-Identifier: MIT */
/*
 * loop/request.h: work that somebody else does (libuv's threads, a resolver, a
 * child) and that tells once when it is done: the operation on which a task
 * waits for it.
 *
 * Owns: struct weft_request, from weft_request_new until both its callback has
 * come and nobody waits. Knows no particular kind of work.
 * Invariant: weft_request_complete comes exactly once for each request that was
 * started, also after the task stopped waiting; only then is its memory freed.
 */
#ifndef WEFT_LOOP_REQUEST_H
#define WEFT_LOOP_REQUEST_H

#include "loop/task.h"

struct weft_request;

struct weft_request_class {
  struct weft_op_class op; /* WEFT_REQUEST_OP("getaddrinfo"), ... */
  /* Pushes what the wait returns after `true`; returns the number of values.
   * May raise for want of memory. */
  int (*push)(struct weft_request *request, lua_State *co);
  /* Frees what the request holds, not its own memory. Calls no Lua. */
  void (*deinit)(struct weft_request *request);
  /* Nobody waits any more: stops the work, if that can be. The completion must
   * still come, but not from within. NULL: let it run. */
  void (*cancel)(struct weft_request *request);
};

void weft_request_abort(struct weft_task *task);
int weft_request_push(struct weft_task *task, lua_State *co);
#define WEFT_REQUEST_OP(name) \
  { name, weft_request_abort, weft_request_push, NULL }

/* The first member of a larger struct. */
struct weft_request {
  const struct weft_request_class *cls;
  struct weft_loop *loop;
  struct weft_task *task;    /* the one parked on it, or NULL */
  struct weft_request **box; /* the userdata that holds it, or NULL */
  unsigned char is_started, is_done;
};

/* Makes a request of `size` bytes, zeroed but for the first member, and pushes
 * the userdata that holds it: if that is collected, or left by an error, before
 * the request was started, the request goes with it. NULL when memory is out
 * (the userdata is pushed all the same). [-0, +1, m] */
void *weft_request_new(lua_State *L, struct weft_loop *loop,
                       const struct weft_request_class *cls, size_t size);

/* Parks the running task on a request whose work has begun; its userdata is at
 * index `object` of L. To be returned from the C function. */
int weft_request_park(struct weft_request *request, struct weft_task *task,
                      lua_State *L, int object);

/* The work is done: wakes the task, or frees the request if nobody waits. Calls
 * no Lua: for libuv's callbacks. */
void weft_request_complete(struct weft_request *request);

/* __gc of the userdata. */
int weft_request_gc(lua_State *L);

#endif
