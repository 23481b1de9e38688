/* SPDX-License-Identifier: MIT */
/*
 * net/pair.h: two connected ends in memory: the bottom of a chain where the
 * network is not the subject. Each direction has a bound, pieces, a delay and
 * faults by a script.
 *
 * Owns: the bytes under way between its ends. Knows no descriptors, no libuv
 * handle, and no clock of its own: its owner tells the time and rings when it
 * asked to be rung.
 * Invariants: a listener is told only from weft_pair_ring (or, for want of
 * memory for an alarm, from a call on the other end), never from a call on its
 * own end; either end may be destroyed first, the memory goes with the second.
 */
#ifndef WEFT_NET_PAIR_H
#define WEFT_NET_PAIR_H

#include <stdint.h>

#include "net/filter.h"

#define WEFT_PAIR_NEVER UINT64_MAX

struct weft_pair;

/* The owner's clock. None of these calls Lua. */
struct weft_pair_clock {
  /* Nanoseconds. */
  uint64_t (*now)(struct weft_pair_clock *clock);
  /* Calls weft_pair_ring for `end` (0 or 1) at `at`, not from within, in place
   * of what was asked for this end before; 0: as soon as can be; NEVER: not at
   * all. 0 or an error. */
  int (*alarm)(struct weft_pair_clock *clock, int end, uint64_t at);
  /* Both ends are destroyed: it will not be used again. */
  void (*drop)(struct weft_pair_clock *clock);
};

/* What happens on the way to one end. */
struct weft_pair_way {
  size_t capacity;        /* bytes under way at most; more are not taken */
  uint64_t delay;         /* ns between sending and receiving */
  const uint32_t *splits; /* sizes (> 0) of the pieces, again and again */
  size_t nsplits;         /* 0: what there is comes in one piece */
};

/* Makes a pair: ways[i] leads to ends[i]. The clock is borrowed until its drop,
 * the splits likewise. 0 or UV_ENOMEM (drop is not called then). */
int weft_pair_new(struct weft_mem *mem, struct weft_pair_clock *clock,
                  const struct weft_pair_way ways[2],
                  struct weft_filter *ends[2], struct weft_pair **pair);

/* The time of an alarm has come. */
void weft_pair_ring(struct weft_pair *pair, int end);

/* What an end sees once it has received `after` more bytes. UV_EOF: the end of
 * the stream, for reading only. UV_ECONNRESET: both ends are broken. Any other
 * code: this end is broken, the other one is not told. */
void weft_pair_fault(struct weft_filter *end, int code, uint64_t after);

/* The end at the bottom of a chain; NULL if that is something else. */
struct weft_filter *weft_pair_of(struct weft_filter *filter);

#endif
