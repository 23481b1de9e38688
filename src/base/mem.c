/* SPDX-License-Identifier: MIT */
/*
 * base/mem.c: see mem.h. Each block carries its size in front, so that the
 * live bytes can be told; the header keeps malloc's alignment.
 */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define HEADER ((size_t)(2 * sizeof(void *)))

static void *to_user(void *base) {
  return (char *)base + HEADER;
}

static void *to_base(void *block) {
  return (char *)block - HEADER;
}

static size_t size_of(void *block) {
  size_t size;
  memcpy(&size, to_base(block), sizeof(size));
  return size;
}

static int must_fail(struct weft_mem *mem) {
  mem->calls++;
  return mem->fail_after != 0 && --mem->fail_after == 0;
}

void *weft_realloc(struct weft_mem *mem, void *block, size_t size) {
  size_t old = block != NULL ? size_of(block) : 0;
  void *base;
  if (must_fail(mem) || size > (size_t)-1 - HEADER)
    return NULL;
  base = realloc(block != NULL ? to_base(block) : NULL, HEADER + size);
  if (base == NULL)
    return NULL;
  memcpy(base, &size, sizeof(size));
  mem->blocks += block == NULL;
  mem->bytes += size - old;
  return to_user(base);
}

void *weft_malloc(struct weft_mem *mem, size_t size) {
  return weft_realloc(mem, NULL, size);
}

void *weft_calloc(struct weft_mem *mem, size_t size) {
  void *block = weft_malloc(mem, size);
  if (block != NULL)
    memset(block, 0, size);
  return block;
}

void weft_free(struct weft_mem *mem, void *block) {
  if (block == NULL)
    return;
  mem->blocks--;
  mem->bytes -= size_of(block);
  free(to_base(block));
}

void *weft_block_new(struct weft_mem *mem) {
  void *block;
  if (mem->nspare == 0)
    return weft_malloc(mem, WEFT_BLOCK);
  if (must_fail(mem))
    return NULL;
  block = mem->spare[--mem->nspare];
  mem->blocks++;
  mem->bytes += WEFT_BLOCK;
  return block;
}

void weft_block_free(struct weft_mem *mem, void *block) {
  if (mem->nspare == WEFT_SPARE_MAX || mem->keepers == 0) {
    weft_free(mem, block);
    return;
  }
  mem->spare[mem->nspare++] = block;
  mem->blocks--;
  mem->bytes -= WEFT_BLOCK;
}

void weft_block_keep(struct weft_mem *mem, int more) {
  mem->keepers += (unsigned)more;
  while (mem->keepers == 0 && mem->nspare > 0)
    free(to_base(mem->spare[--mem->nspare]));
}
