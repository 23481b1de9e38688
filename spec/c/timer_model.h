/* SPDX-License-Identifier: MIT */
/*
 * spec/c/timer_model.h: the heap of src/loop/timer.c beside a plain array of
 * which each answer is found by looking at every element.
 *
 * Shared by spec/c/timer.c, which feeds it pseudo-random operations, and by
 * spec/fuzz/timer.c, which feeds it those of libFuzzer. Each operation checks
 * the heap's answer, and model_check its inner order.
 */
#ifndef WEFT_SPEC_TIMER_MODEL_H
#define WEFT_SPEC_TIMER_MODEL_H

#include <string.h>

#include "check.h"
#include "loop/timer.h"

#define MODEL_TIMERS 200u

struct model_timer {
  struct weft_timer timer; /* first: leads back to the struct */
  uint64_t deadline;
  uint64_t serial; /* of its start */
  int is_started;
};

struct model {
  struct weft_mem mem;
  struct weft_timers timers;
  struct model_timer all[MODEL_TIMERS];
  uint64_t serial, now;
  uint32_t count;
  /* What an expiring timer does: 0 nothing, odd: starts the next timer, even:
   * stops it; counted down by each. */
  uint32_t chain;
};

/* There is one: expire is called without a context. */
static struct model model;

static inline void model_open(uint32_t first_order) {
  uint32_t i;
  memset(&model, 0, sizeof(model));
  weft_timers_init(&model.timers, &model.mem);
  model.timers.order = first_order;
  for (i = 0; i < MODEL_TIMERS; i++)
    weft_timer_init(&model.all[i].timer);
}

static inline void model_close(void) {
  weft_timers_deinit(&model.timers);
  CHECK(model.mem.blocks == 0);
  CHECK(model.mem.bytes == 0);
}

static inline int model_is_before(const struct model_timer *a,
                                  const struct model_timer *b) {
  return a->deadline != b->deadline ? a->deadline < b->deadline
                                    : a->serial < b->serial;
}

static inline struct model_timer *model_first(void) {
  struct model_timer *first = NULL;
  uint32_t i;
  for (i = 0; i < MODEL_TIMERS; i++) {
    struct model_timer *one = &model.all[i];
    if (one->is_started && (first == NULL || model_is_before(one, first)))
      first = one;
  }
  return first;
}

static void model_on_expire(struct weft_timer *timer);

/* Starts timer `i`; one that is started is stopped first. */
static inline void model_start(uint32_t i, uint64_t deadline) {
  struct model_timer *one = &model.all[i % MODEL_TIMERS];
  if (one->is_started)
    weft_timer_stop(&model.timers, &one->timer);
  else
    model.count++;
  CHECK(weft_timer_start(&model.timers, &one->timer, deadline,
                         model_on_expire) == 0);
  one->deadline = deadline;
  one->serial = ++model.serial;
  one->is_started = 1;
  CHECK(weft_timer_is_started(&one->timer));
  CHECK(weft_timer_deadline(&model.timers, &one->timer) == deadline);
}

static inline void model_stop(uint32_t i) {
  struct model_timer *one = &model.all[i % MODEL_TIMERS];
  weft_timer_stop(&model.timers, &one->timer);
  model.count -= (uint32_t)one->is_started;
  one->is_started = 0;
  CHECK(!weft_timer_is_started(&one->timer));
}

static void model_on_expire(struct weft_timer *timer) {
  struct model_timer *one = (struct model_timer *)(void *)timer;
  uint32_t next = (uint32_t)(one - model.all) + 1;
  CHECK(one->is_started);
  CHECK(one == model_first());
  CHECK(one->deadline <= model.now);
  CHECK(!weft_timer_is_started(timer));
  one->is_started = 0;
  model.count--;
  if (model.chain == 0)
    return;
  if (model.chain-- % 2 == 1)
    model_start(next, model.now - (model.now > 2 ? 2 : 0) + model.chain % 5);
  else
    model_stop(next);
}

/* Expires all that is due at `now`; the first `chain` of them start or stop
 * their neighbour. */
static inline void model_expire(uint64_t now, uint32_t chain) {
  struct model_timer *first;
  uint64_t started = model.serial;
  uint32_t before = model.count, n;
  model.now = now;
  model.chain = chain;
  n = weft_timers_expire(&model.timers, now);
  first = model_first();
  CHECK(first == NULL || first->deadline > now);
  if (chain == 0)
    CHECK(n == before - model.count && model.serial == started);
  model.chain = 0;
}

/* The heap's inner order, and what it says of itself. */
static inline void model_check(void) {
  const struct weft_timers *timers = &model.timers;
  const struct model_timer *first = model_first();
  uint32_t i;
  CHECK(timers->count == model.count);
  CHECK(timers->count <= timers->capacity || timers->capacity == 0);
  CHECK(weft_timers_next(timers) ==
        (first != NULL ? first->deadline : UINT64_MAX));
  for (i = 0; i < timers->count; i++) {
    const struct model_timer *one =
        (const struct model_timer *)(const void *)timers->slots[i].timer;
    const struct model_timer *parent =
        (const struct model_timer *)(const void *)timers
            ->slots[(i - (i > 0)) / 4]
            .timer;
    CHECK(one->timer.index == i);
    CHECK(one->is_started && one->deadline == timers->slots[i].deadline);
    CHECK(i == 0 || model_is_before(parent, one));
  }
}

#endif
