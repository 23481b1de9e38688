/* SPDX-License-Identifier: MIT */
/*
 * loop/latch.h: waiting for many futures at once: what gather, wait,
 * as_completed, map and task_group are made of; and the plain list of waiters
 * that semaphores, locks, events and queues are made of.
 *
 * Owns: the watches, one for each future watched, and the order in which the
 * futures completed. The userdata's table (set by the caller) keeps the
 * futures.
 */
#ifndef WEFT_LOOP_LATCH_H
#define WEFT_LOOP_LATCH_H

#include "loop/future.h"
#include "loop/task.h"

struct weft_latch;

struct weft_watch {
  struct weft_node node;    /* on the ring of the future */
  struct weft_list sibling; /* in latch->pending or latch->completed */
  struct weft_latch *latch;
  struct weft_future *future;
  uint32_t index; /* the caller's number for it */
};

enum weft_until { /* what a task parked on a latch waits for */
                  WEFT_UNTIL_ALL,
                  WEFT_UNTIL_FAILURE, /* all done, or one failed or was
                                         cancelled */
                  WEFT_UNTIL_RAISED,  /* all done, or one failed */
                  WEFT_UNTIL_ANY /* there is a completed one that was not taken
                                  */
};

struct weft_latch {
  struct weft_loop *loop;
  struct weft_task *task; /* the one parked on it, or NULL */
  enum weft_until until;
  struct weft_list pending, completed;
  uint32_t npending, ncompleted, nfailed, nraised;
};

void weft_latch_init(struct weft_latch *latch, struct weft_loop *loop);

/* Watches a future (one that is done counts at once). 0, or -1 for memory. */
int weft_latch_add(struct weft_latch *latch, struct weft_future *future,
                   uint32_t index);

/* Whether there is nothing (more) to wait for. */
int weft_latch_is_open(const struct weft_latch *latch, enum weft_until until);

/* Parks the running task; the latch is at index 1 of L. */
int weft_latch_park(struct weft_latch *latch, struct weft_task *task,
                    lua_State *L, enum weft_until until);

/* Takes the index of the next completed future; 0 when there is none. */
uint32_t weft_latch_take(struct weft_latch *latch);

/* Wakes the task parked on it, if there is one and nothing more to wait for. */
void weft_latch_wake(struct weft_latch *latch);

/* Stops watching; wakes nobody. Idempotent; calls no Lua. */
void weft_latch_close(struct weft_latch *latch);

/* To be called by the future that completed. */
void weft_watch_complete(struct weft_watch *watch);

/* A list of parked tasks, first come, first served. */
struct weft_waitlist {
  struct weft_list tasks;
};

/* Parks the running task at the end; the list is at index 1 of L. */
int weft_waitlist_park(struct weft_waitlist *list, struct weft_task *task,
                       lua_State *L);

/* Wakes the first with the top `n` values of L as its results; 0 if there is
 * none (the values stay). [-(n or 0), +0, m] */
int weft_waitlist_wake(struct weft_waitlist *list, lua_State *L, int n);

#endif
