/* SPDX-License-Identifier: MIT */
/*
 * spec/c/timer.c: the timer heap against a plain array, by pseudo-random
 * operations; ties; the order that wraps; memory that runs out.
 */
#include "timer_model.h"

/* One operation in `range` ticks around now. */
static void operate(uint32_t *seed, uint32_t range) {
  uint32_t what = check_random(seed) % 16, i = check_random(seed);
  if (what < 8)
    model_start(i, model.now + check_random(seed) % range);
  else if (what < 13)
    model_stop(i);
  else
    model_expire(model.now + check_random(seed) % (range / 4 + 1),
                 what == 13 ? check_random(seed) % 8 : 0);
}

/* A small range makes many ties. */
static void random_operations(uint32_t seed, uint32_t range, uint32_t order) {
  int i;
  model_open(order);
  for (i = 0; i < 5000; i++) {
    operate(&seed, range);
    model_check();
  }
  model_expire(UINT64_MAX, 0);
  CHECK(model.count == 0);
  model_close();
}

/* Timers that last for ever expire last, at the end of time. */
static void extremes(void) {
  model_open(0);
  model_start(0, UINT64_MAX);
  model_start(1, 0);
  model_start(2, UINT64_MAX);
  CHECK(weft_timers_next(&model.timers) == 0);
  model_expire(0, 0);
  CHECK(model.count == 2);
  CHECK(weft_timers_next(&model.timers) == UINT64_MAX);
  model_expire(UINT64_MAX - 1, 0);
  CHECK(model.count == 2);
  model_expire(UINT64_MAX, 0);
  CHECK(model.count == 0);
  model_close();
}

static void no_memory(void) {
  struct weft_timer timer;
  uint32_t i;
  model_open(0);
  weft_timer_init(&timer);
  model.mem.fail_after = 1;
  CHECK(weft_timer_start(&model.timers, &timer, 1, model_on_expire) == -1);
  CHECK(!weft_timer_is_started(&timer) && model.timers.count == 0);
  for (i = 0; model.timers.count == 0 || i < model.timers.capacity; i++)
    model_start(i, MODEL_TIMERS - i);
  model.mem.fail_after = 1; /* the array is full: it cannot grow */
  CHECK(weft_timer_start(&model.timers, &timer, 1, model_on_expire) == -1);
  CHECK(!weft_timer_is_started(&timer));
  model_check();
  model_close(); /* with timers that are still started */
}

int main(void) {
  uint32_t seed;
  for (seed = 1; seed <= 20; seed++) {
    random_operations(seed, 4, 0);
    random_operations(seed, 1000, UINT32_MAX - 1000);
  }
  extremes();
  no_memory();
  return 0;
}
