/* SPDX-License-Identifier: MIT */
/*
 * spec/fuzz/stream.c: libFuzzer's bytes as operations on two streams over a
 * pair, each checked against the model of spec/c/stream_model.h.
 *
 * The first five bytes are the pair: capacity, delay, and the sizes of three
 * pieces; then four bytes are one operation.
 */
#include "../c/stream_model.h"

#define OPERATIONS_MAX 500

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint32_t splits[3];
  size_t i, n = 0;
  if (size < 5)
    return 0;
  for (i = 2; i < 5; i++)
    if (data[i] != 0)
      splits[n++] = data[i];
  model_open((data[0] + 1u) * (data[0] + 1u), data[1] * 100u, splits, n);
  for (i = 5; i + 4 <= size && i < 5 + 4 * OPERATIONS_MAX; i += 4) {
    if (model.is_dropped)
      break;
    model_operate(data + i);
  }
  if (!model.is_dropped)
    model_settle();
  model_close();
  return 0;
}
