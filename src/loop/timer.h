/* SPDX-License-Identifier: MIT */
/*
 * loop/timer.h: deadlines in a 4-ary heap.
 *
 * Owns the heap's array; the timers themselves are embedded in others' structs.
 * Knows no clock, no libuv and no Lua: the loop says what time it is.
 * Invariant: timers expire by deadline, and equal deadlines in the order in
 * which they were started.
 *
 * Why not uv_timer_t: it takes 152 bytes and half a microsecond to expire;
 * here a sleeping task costs 16 bytes of heap.
 */
#ifndef WEFT_LOOP_TIMER_H
#define WEFT_LOOP_TIMER_H

#include <stdint.h>

#include "base/mem.h"

#define WEFT_TIMER_IDLE UINT32_MAX

struct weft_timer {
  uint32_t index; /* place in the heap; WEFT_TIMER_IDLE when not started */
  uint32_t order; /* of start, to break ties; wraps */
  void (*expire)(struct weft_timer *timer);
};

struct weft_timer_slot {
  uint64_t deadline;
  struct weft_timer *timer;
};

struct weft_timers {
  struct weft_mem *mem;
  struct weft_timer_slot *slots;
  uint32_t count, capacity;
  uint32_t order;
};

/* `mem` is borrowed until deinit. */
void weft_timers_init(struct weft_timers *timers, struct weft_mem *mem);

/* Frees the array. Timers that are still started must not be touched by their
 * owners through this heap any more. */
void weft_timers_deinit(struct weft_timers *timers);

/* Starts an idle timer, which is borrowed until it expires or is stopped.
 * `expire` will be called once, by weft_timers_expire, with the timer idle
 * again. Returns 0, or -1 when memory is out (the timer stays idle). */
int weft_timer_start(struct weft_timers *timers, struct weft_timer *timer,
                     uint64_t deadline, void (*expire)(struct weft_timer *));

/* Stops a timer; one that is idle is left alone. Never fails. */
void weft_timer_stop(struct weft_timers *timers, struct weft_timer *timer);

static inline int weft_timer_is_started(const struct weft_timer *timer) {
  return timer->index != WEFT_TIMER_IDLE;
}

static inline void weft_timer_init(struct weft_timer *timer) {
  timer->index = WEFT_TIMER_IDLE;
}

/* The deadline of a started timer. */
uint64_t weft_timer_deadline(const struct weft_timers *timers,
                             const struct weft_timer *timer);

/* The nearest deadline, or UINT64_MAX when no timer is started. */
static inline uint64_t weft_timers_next(const struct weft_timers *timers) {
  return timers->count != 0 ? timers->slots[0].deadline : UINT64_MAX;
}

/* Expires all timers due at `now`; returns how many. An `expire` may start and
 * stop timers; one it starts at or before `now` expires in the same call only
 * if `now` was reached, so callers pass a fixed time. */
uint32_t weft_timers_expire(struct weft_timers *timers, uint64_t now);

#endif
