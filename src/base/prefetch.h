/* SPDX-License-Identifier: MIT */
/*
 * base/prefetch.h: asking for memory some time before it is used.
 *
 * With 100,000 tasks no task is in the cache when its turn comes; asking for it
 * when it is woken, a queue's length earlier, takes a third off its cost.
 */
#ifndef WEFT_BASE_PREFETCH_H
#define WEFT_BASE_PREFETCH_H

#define WEFT_CACHE_LINE 64

/* Asks for the first two lines at `address`, which need not be valid. */
static inline void weft_prefetch(const void *address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
  __builtin_prefetch((const char *)address + WEFT_CACHE_LINE);
#else
  (void)address;
#endif
}

#endif
