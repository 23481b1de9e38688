/* SPDX-License-Identifier: MIT */
/*
 * loop/future.h: an outcome that arrives once, and who waits for it.
 *
 * Owns: the outcome of futures and tasks (a task is a future with a coroutine)
 * and the ring of their waiters. Knows no sockets and no timers.
 * Invariant: the outcome is set once; setting it takes every waiter off the
 * ring and wakes it.
 *
 * A future is the memory of its userdata and has no finalizer: the collector
 * frees it when neither Lua nor the loop (for tasks: while they live) holds it.
 * Beside its bytes it carries one table: at first the loop's root table, later,
 * if needed, one of its own ("extra") with name, context, callbacks and values.
 */
#ifndef WEFT_LOOP_FUTURE_H
#define WEFT_LOOP_FUTURE_H

#include "loop/vm.h"

/* States of futures (NEW, then one of the last three) and of tasks. */
enum weft_state {
  WEFT_NEW,   /* future: pending; task: not yet started */
  WEFT_READY, /* in the ready queue */
  WEFT_RUNNING,
  WEFT_PARKED, /* on one operation */
  WEFT_RETURNED,
  WEFT_RAISED,
  WEFT_CANCELLED
};

/* Flags: the low bits tell where the outcome is. */
enum weft_value {
  WEFT_VALUE_NONE, /* no values */
  WEFT_VALUE_NIL,
  WEFT_VALUE_FALSE,
  WEFT_VALUE_TRUE,
  WEFT_VALUE_NUMBER,
  WEFT_VALUE_INTEGER,
  WEFT_VALUE_TABLE, /* extra[1..n] */
  WEFT_VALUE_MASK = 7
};

enum weft_flag {
  WEFT_FLAG_EXTRA = 1 << 3,     /* has a table of its own */
  WEFT_FLAG_CALLBACKS = 1 << 4, /* extra.callbacks is not empty */
  WEFT_FLAG_RETRIEVED = 1 << 5, /* somebody looked at the outcome */
  WEFT_FLAG_FAILURE = 1 << 6,   /* extra.failure watches for a lost error */
  WEFT_FLAG_CONTEXT = 1 << 7,   /* extra.context is there */
  /* tasks only */
  WEFT_FLAG_EXPIRED = 1 << 8,  /* a scope of it may have expired */
  WEFT_FLAG_SHIELDED = 1 << 9, /* its wait is not passed on to what it awaits */
  WEFT_FLAG_WAKE_STACK = 1 << 10, /* the resume values are on its stack */
  WEFT_FLAG_WAKE_INTERRUPT = 1 << 11,
  WEFT_FLAG_NESTED = 1 << 12 /* the innermost coroutine has a resumer */
};

struct weft_future {
  struct weft_node node;
  struct weft_list *waiters; /* a ring without a head; NULL when empty */
  union {
    lua_Number number;
    lua_Integer integer;
    void *target; /* of a parked task: what it waits for */
  } u;
};

static inline int weft_future_is_done(const struct weft_future *f) {
  return f->node.state >= WEFT_RETURNED;
}

/* Makes a future of `loop`. [-0, +1, m] */
struct weft_future *weft_future_new(lua_State *L, struct weft_loop *loop);

/* Fills in a fresh future or the head of a task. */
void weft_future_init(struct weft_future *f, struct weft_loop *loop,
                      enum weft_kind kind);

/* Sets the outcome from the `n` values on the top of `L` and wakes all that
 * wait. The future's userdata is at `idx` of L. `state` is one of the last
 * three. [-n, +0, m] */
void weft_future_complete(lua_State *L, struct weft_future *f, int idx,
                          enum weft_state state, int n);

/* Pushes the outcome as a wait returns it: true and the values; false and the
 * error; or, when it was cancelled without an error object, false. The
 * userdata is at `idx` of L. Counts as looking at it. Returns the number of
 * values pushed. [-0, +n, m] */
int weft_future_push(lua_State *L, struct weft_future *f, int idx);

/* Pushes the future's own table, making it if need be. [-0, +1, m] */
void weft_future_extra(lua_State *L, struct weft_future *f, int idx);

/* Puts a waiter (a parked task or a watch) at the end of the ring. */
void weft_future_add_waiter(struct weft_future *f, struct weft_node *waiter);

/* Takes a waiter off the ring. */
void weft_future_remove_waiter(struct weft_future *f, struct weft_node *waiter);

/* An error that nobody looked at yet: a userdata in extra.failure whose
 * collection is the sign that nobody ever will. */
struct weft_failure {
  struct weft_loop *loop;
  int retrieved;
};

#endif
