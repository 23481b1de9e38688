/* SPDX-License-Identifier: MIT */
/*
 * loop/loop.h: the event loop: a ready queue, timers, and libuv beneath.
 *
 * Owns: the uv_loop_t, the ready queue, the timer heap, the pool of threads,
 * and the anchors that keep live tasks from being collected. Knows no sockets.
 * Invariants: one turn runs what was ready at its start, then polls; libuv
 * callbacks only record and wake; a loop belongs to the process that made it.
 */
#ifndef WEFT_LOOP_LOOP_H
#define WEFT_LOOP_LOOP_H

#include <uv.h>

#include "loop/timer.h"
#include "loop/vm.h"

struct weft_handle;

struct weft_box {             /* see handle.h */
  struct weft_handle *handle; /* NULL: not open yet, or closed */
};

struct weft_thread {
  lua_State *co;
  uint32_t slot;
};

struct weft_loop {
  uv_loop_t uv;
  struct weft_vm *vm;
  lua_State *home;
  lua_State *nursery; /* where new threads are made: see store.c */
  struct weft_list ready, batch;
  struct weft_timers timers;
  struct weft_box timer_box;
  uv_timer_t *timer; /* wakes libuv's poll for the first of `timers` */
  uint64_t now;      /* ns, as of the last poll, or the virtual time */
  uint64_t polled;   /* ns at which the last poll ended */
  uint64_t epoch;    /* ns at which the loop was made */
  struct weft_thread *pool;
  uint32_t *free_slots;
  uint32_t *uses;       /* of a function's slot: tasks that will start it */
  const void *function; /* the last one anchored, while it is in use */
  uint32_t function_slot;
  uint32_t pool_count, pool_capacity;
  uint32_t free_count, free_capacity;
  uint32_t slot_top, slot_capacity; /* slots used so far; length of anchors */
  uint32_t tasks;                   /* live */
  uint32_t peak;                    /* most live ones since the last trim */
  uint64_t trimmed;                 /* ns at which the pool was trimmed */
  uint32_t last_id;
  uint32_t burst; /* steps between two polls */
  uint64_t steps; /* since the loop was made */
  double slow;    /* s: a step that takes longer is reported in debug mode */
  long pid;
  uint8_t is_open, is_running, in_turn, is_stopping, is_virtual, is_debugging;
  uint8_t is_separate;           /* in a forked child: see weft_loop_separate */
  uint8_t in_wakeup, has_wakeup; /* the host's on_wakeup */
  uint8_t has_reports; /* errors that nobody looked at wait to be reported */
  /* for weft.testing */
  uint8_t gc_every_step;
  uint32_t trap_count;       /* waits until a task is cancelled; 0: never */
  struct weft_task *trapped; /* the one to cancel; NULL: whichever waits */
  struct weft_timer trap;
};

/* Opens a loop in the zeroed memory of the userdata on the top of L; `first` is
 * the index of the first of the values for home's stack, from GATE to
 * ERROR. Returns 0 or a libuv error; on an error nothing is left open. */
int weft_loop_open(struct weft_loop *loop, lua_State *L, struct weft_vm *vm,
                   int first);

/* Closes all handles, abandons tasks, frees all. Idempotent; calls no Lua; in a
 * forked child it leaves the parent's descriptors alone. */
void weft_loop_close(struct weft_loop *loop);

/* In a forked child, before anything of the loop's is closed: gives libuv an
 * epoll descriptor of its own, as with the shared one a socket that is closed
 * here would not be polled for the parent any more. 0, also where there is
 * nothing to do, or WEFT_EFORKED: then leave all handles as they are. */
int weft_loop_separate(struct weft_loop *loop);

/* 0, or why the loop cannot be used or run now (WEFT_ECLOSED, ...). */
int weft_loop_check(const struct weft_loop *loop);

/* One turn: runs what is ready, then polls; waits in the poll only if `block`
 * and nothing is ready. 0 or an error. */
int weft_loop_turn(struct weft_loop *loop, lua_State *L, int block);

/* Turns until stopped, until `until` (NULL: none) is done, or until nothing can
 * wake the loop. `forever`: waits in that last case. */
enum weft_run { WEFT_RUN_STOPPED, WEFT_RUN_DONE, WEFT_RUN_IDLE };
int weft_loop_run(struct weft_loop *loop, lua_State *L,
                  const struct weft_node *until, int forever);

/* Undoes what a run that was left by an error did not. */
void weft_loop_leave(struct weft_loop *loop);

/* Whether anything can still happen: ready work, timers, active handles. */
int weft_loop_can_wake(const struct weft_loop *loop);

/* Nanoseconds of the loop's clock, now. */
uint64_t weft_loop_now(const struct weft_loop *loop);

/* Nanoseconds until run_once has something to do; UINT64_MAX for never. */
uint64_t weft_loop_next_timeout(struct weft_loop *loop);

/* Puts a node at the end of the ready queue, and tells the host if this work
 * came from outside a turn. */
void weft_loop_push(struct weft_loop *loop, struct weft_node *node);

/* Tells the host that next_timeout may have changed. */
void weft_loop_notify(struct weft_loop *loop);

/* Takes an anchor slot; 0 when memory is out. [L: -0, +0, m] */
uint32_t weft_loop_take_slot(struct weft_loop *loop, lua_State *L);
void weft_loop_free_slot(struct weft_loop *loop, uint32_t slot);

/* Anchors the function at `idx` for a task that has not started; tasks made one
 * after the other from one function share its slot. 0 when memory is out.
 * [-0, +0, m] */
uint32_t weft_loop_keep_function(struct weft_loop *loop, lua_State *L, int idx);

/* Pushes the function on `co` and ends that task's use of the slot. */
void weft_loop_take_function(struct weft_loop *loop, uint32_t slot,
                             lua_State *co);

/* The task or callback anchored in a slot, or NULL. */
struct weft_node *weft_loop_anchored(struct weft_loop *loop, uint32_t slot);

/* Frees the C memory of anchors and pool, as the loop closes. */
void weft_loop_free_store(struct weft_loop *loop);

/* Takes a thread from the pool or makes one; the caller gives it back, empty,
 * or drops it (when an error is left on it). co is NULL when memory is out. */
struct weft_thread weft_loop_take_thread(struct weft_loop *loop, lua_State *L);
void weft_loop_give_thread(struct weft_loop *loop, struct weft_thread thread);
void weft_loop_drop_thread(struct weft_loop *loop, struct weft_thread thread);

/* Sets what the Lua fast paths ask: may a wait go on without a check? */
void weft_loop_set_gate(struct weft_loop *loop, int open);

/* Drops pooled threads beyond what the recent past needed. */
void weft_loop_trim_pool(struct weft_loop *loop);

/* Calls the report function with the top `n` values of L as its arguments, on a
 * thread of its own; an error in it goes to stderr. [-n, +0, m] */
void weft_loop_report(struct weft_loop *loop, lua_State *L, int n);

#endif
