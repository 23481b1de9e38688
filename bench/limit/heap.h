/* heap.h: a minimum heap of timers with four children to a node, or HEAP_ARITY.
 *
 * An entry is 16 bytes, so that four of them take one cache line's length.
 * Equal deadlines leave in the order of their sequence numbers.
 * HEAP_MOVED(entry, index), when defined before this file is included, is
 * called whenever an entry comes to rest, for users that must find an entry
 * again to cancel it. */
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef HEAP_ARITY
#define HEAP_ARITY 4
#endif
#ifndef HEAP_MOVED
#define HEAP_MOVED(entry, index) ((void)0)
#endif

typedef struct {
  uint64_t when; /* nanoseconds of CLOCK_MONOTONIC */
  uint32_t seq;
  uint32_t id;
} heap_entry;

typedef struct {
  heap_entry *at;
  size_t len, cap;
  uint32_t seq;
} heap;

static inline int heap_before(const heap_entry *a, const heap_entry *b) {
  return a->when < b->when ||
         (a->when == b->when && (int32_t)(a->seq - b->seq) < 0);
}

static inline void heap_rest(heap *h, size_t i, heap_entry e) {
  h->at[i] = e;
  HEAP_MOVED(e, i);
}

static inline void heap_up(heap *h, size_t i, heap_entry e) {
  while (i > 0) {
    size_t parent = (i - 1) / HEAP_ARITY;
    if (!heap_before(&e, &h->at[parent]))
      break;
    heap_rest(h, i, h->at[parent]);
    i = parent;
  }
  heap_rest(h, i, e);
}

static inline void heap_down(heap *h, size_t i, heap_entry e) {
  for (;;) {
    size_t first = i * HEAP_ARITY + 1, last = first + HEAP_ARITY, best = first;
    if (first >= h->len)
      break;
    if (last > h->len)
      last = h->len;
    for (size_t c = first + 1; c < last; c++)
      if (heap_before(&h->at[c], &h->at[best]))
        best = c;
    if (!heap_before(&h->at[best], &e))
      break;
    heap_rest(h, i, h->at[best]);
    i = best;
  }
  heap_rest(h, i, e);
}

static inline void heap_push(heap *h, uint64_t when, uint32_t id) {
  if (h->len == h->cap) {
    h->cap = h->cap ? h->cap * 2 : 64;
    h->at = realloc(h->at, h->cap * sizeof *h->at);
    if (!h->at) {
      perror("realloc");
      exit(1);
    }
  }
  heap_entry e = {when, h->seq++, id};
  heap_up(h, h->len++, e);
}

static inline void heap_remove(heap *h, size_t i) {
  heap_entry last = h->at[--h->len];
  if (i == h->len)
    return;
  if (i > 0 && heap_before(&last, &h->at[(i - 1) / HEAP_ARITY]))
    heap_up(h, i, last);
  else
    heap_down(h, i, last);
}

static inline heap_entry heap_pop(heap *h) {
  heap_entry top = h->at[0];
  heap_remove(h, 0);
  return top;
}

#endif
