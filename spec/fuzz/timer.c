/* SPDX-License-Identifier: MIT */
/*
 * spec/fuzz/timer.c: libFuzzer's bytes as operations on the timer heap, each
 * checked against the plain array of spec/c/timer_model.h.
 *
 * Four bytes are one operation: what to do, which timer, when (two bytes).
 */
#include "../c/timer_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void operate(const uint8_t *four) {
  uint32_t when = four[2] | (uint32_t)four[3] << 8;
  switch (four[0] % 4) {
  case 0:
    model_start(four[1], model.now + when);
    break;
  case 1: /* in the past, where ties are frequent */
    model_start(four[1], when % 8);
    break;
  case 2:
    model_stop(four[1]);
    break;
  default:
    model_expire(model.now + when / 16, four[1] % 16);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t i;
  model_open(UINT32_MAX - 16);
  for (i = 0; i + 4 <= size && i < 4 * 2000; i += 4) {
    operate(data + i);
    model_check();
  }
  model_close();
  return 0;
}
