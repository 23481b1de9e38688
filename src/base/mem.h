/* SPDX-License-Identifier: MIT */
/*
 * base/mem.h: the allocator that all of weft's own C code goes through.
 *
 * Owns: the count of live blocks and bytes, and the switch that makes the n-th
 * allocation fail (weft.testing.fail_allocation). One struct per lua_State;
 * there is no process-wide state. Knows nothing of Lua or libuv.
 */
#ifndef WEFT_BASE_MEM_H
#define WEFT_BASE_MEM_H

#include <stddef.h>

/* What one read can fill: 64 KiB of a body, with its head. */
#define WEFT_BLOCK ((size_t)68 * 1024)
#define WEFT_SPARE_MAX 64 /* blocks kept: what a busy turn has at once */

struct weft_mem {
  size_t blocks;     /* live allocations */
  size_t bytes;      /* their sizes, as asked for */
  size_t calls;      /* allocations tried since the start */
  size_t fail_after; /* > 0: the allocation that counts it down to 0 fails */
  void *spare[WEFT_SPARE_MAX]; /* blocks that weft_block_free kept */
  unsigned nspare, keepers;
};

/* Returns `size` bytes, owned by the caller until weft_free, or NULL when
 * memory is out. Never raises. */
void *weft_malloc(struct weft_mem *mem, size_t size);

/* As weft_malloc, zeroed. */
void *weft_calloc(struct weft_mem *mem, size_t size);

/* Resizes `block` (NULL: a new one). On failure returns NULL and leaves `block`
 * as it was, still owned by the caller. */
void *weft_realloc(struct weft_mem *mem, void *block, size_t size);

/* Frees a block of the three above; NULL is allowed. */
void weft_free(struct weft_mem *mem, void *block);

/* WEFT_BLOCK bytes for a short while, as for data on its way: like weft_malloc
 * and weft_free, but a few freed ones are kept for the next. */
void *weft_block_new(struct weft_mem *mem);
void weft_block_free(struct weft_mem *mem, void *block);

/* Blocks are kept while somebody (a loop) says that they will be used: `more`
 * is 1 to say so, -1 to take it back. */
void weft_block_keep(struct weft_mem *mem, int more);

#endif
