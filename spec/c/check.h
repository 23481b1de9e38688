/* SPDX-License-Identifier: MIT */
/*
 * spec/c/check.h: what the C test programs share: a check that says where it
 * failed, and numbers that are the same in each run.
 */
#ifndef WEFT_SPEC_CHECK_H
#define WEFT_SPEC_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                        \
    }                                                                 \
  } while (0)

/* xorshift: a pseudo-random number from *state, which must not be 0. */
static inline uint32_t check_random(uint32_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

#endif
