/* SPDX-License-Identifier: MIT */
/*
 * spec/c/stream.c: net/stream.c and net/pair.c by operations at random, beside
 * the model of stream_model.h.
 */
#include "stream_model.h"

#define OPERATIONS 200

static void run(uint32_t seed) {
  static const size_t capacities[] = {1, 2, 7, 100, 65536};
  static const uint32_t splits[] = {1, 3, 2, 1000, 1};
  uint32_t state = seed;
  int i;
  model_open(capacities[check_random(&state) % 5],
             check_random(&state) % 2 * 1000, splits, check_random(&state) % 6);
  for (i = 0; i < OPERATIONS && !model.is_dropped; i++) {
    uint32_t four = check_random(&state);
    model_operate((const uint8_t *)&four);
  }
  if (!model.is_dropped)
    model_settle();
  model_close();
}

int main(int argc, char **argv) {
  uint32_t seed, last = argc > 1 ? (uint32_t)atoi(argv[1]) : 200;
  for (seed = 1; seed <= last; seed++)
    run(seed * 2654435761u | 1);
  return 0;
}
