/* SPDX-License-Identifier: MIT */
/*
 * loop/timer.c: the 4-ary heap of timer.h. Four children share a cache line
 * (16-byte slots), which halves the depth of a binary heap for free.
 */
#include "loop/timer.h"

#include "base/prefetch.h"

#define ARITY 4u
#define FIRST_CAPACITY 64u

void weft_timers_init(struct weft_timers *timers, struct weft_mem *mem) {
  timers->mem = mem;
  timers->slots = NULL;
  timers->count = timers->capacity = 0;
  timers->order = 0;
}

void weft_timers_deinit(struct weft_timers *timers) {
  weft_free(timers->mem, timers->slots);
  weft_timers_init(timers, timers->mem);
}

static inline int is_before(const struct weft_timer_slot *a,
                            const struct weft_timer_slot *b) {
  if (a->deadline != b->deadline)
    return a->deadline < b->deadline;
  return (int32_t)(a->timer->order - b->timer->order) < 0;
}

static inline void put(struct weft_timers *timers, uint32_t i,
                       struct weft_timer_slot slot) {
  timers->slots[i] = slot;
  slot.timer->index = i;
}

static void sift_up(struct weft_timers *timers, uint32_t i,
                    struct weft_timer_slot slot) {
  while (i > 0) {
    uint32_t parent = (i - 1) / ARITY;
    if (!is_before(&slot, &timers->slots[parent]))
      break;
    put(timers, i, timers->slots[parent]);
    i = parent;
  }
  put(timers, i, slot);
}

static uint32_t first_of(const struct weft_timers *timers, uint32_t child) {
  uint32_t best = child, end = child + ARITY;
  if (end > timers->count)
    end = timers->count;
  while (++child < end)
    if (is_before(&timers->slots[child], &timers->slots[best]))
      best = child;
  return best;
}

static void sift_down(struct weft_timers *timers, uint32_t i,
                      struct weft_timer_slot slot) {
  for (;;) {
    uint32_t child = i * ARITY + 1;
    if (child >= timers->count)
      break;
    child = first_of(timers, child);
    if (!is_before(&timers->slots[child], &slot))
      break;
    put(timers, i, timers->slots[child]);
    i = child;
  }
  put(timers, i, slot);
}

static int grow(struct weft_timers *timers) {
  uint32_t capacity =
      timers->capacity != 0 ? timers->capacity * 2 : FIRST_CAPACITY;
  void *slots = weft_realloc(timers->mem, timers->slots,
                             capacity * sizeof(struct weft_timer_slot));
  if (slots == NULL)
    return -1;
  timers->slots = slots;
  timers->capacity = capacity;
  return 0;
}

int weft_timer_start(struct weft_timers *timers, struct weft_timer *timer,
                     uint64_t deadline, void (*expire)(struct weft_timer *)) {
  struct weft_timer_slot slot = {deadline, timer};
  if (timers->count == timers->capacity && grow(timers) != 0)
    return -1;
  timer->order = timers->order++;
  timer->expire = expire;
  sift_up(timers, timers->count++, slot);
  return 0;
}

void weft_timer_stop(struct weft_timers *timers, struct weft_timer *timer) {
  uint32_t i = timer->index;
  struct weft_timer_slot last;
  if (i == WEFT_TIMER_IDLE)
    return;
  timer->index = WEFT_TIMER_IDLE;
  last = timers->slots[--timers->count];
  if (i == timers->count)
    return;
  if (i > 0 && is_before(&last, &timers->slots[(i - 1) / ARITY]))
    sift_up(timers, i, last);
  else
    sift_down(timers, i, last);
}

uint64_t weft_timer_deadline(const struct weft_timers *timers,
                             const struct weft_timer *timer) {
  return timers->slots[timer->index].deadline;
}

uint32_t weft_timers_expire(struct weft_timers *timers, uint64_t now) {
  uint32_t n = 0;
  while (timers->count != 0 && timers->slots[0].deadline <= now) {
    struct weft_timer *timer = timers->slots[0].timer;
    weft_timer_stop(timers, timer);
    if (timers->count != 0)
      weft_prefetch(timers->slots[0].timer);
    timer->expire(timer);
    n++;
  }
  return n;
}
