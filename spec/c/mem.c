/* SPDX-License-Identifier: MIT */
/*
 * spec/c/mem.c: base/mem.c: what it counts, what it does when memory is out,
 * and that blocks keep what is in them.
 */
#include <stdalign.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"

static int is_all(const unsigned char *block, size_t size, int value) {
  size_t i;
  for (i = 0; i < size; i++)
    if (block[i] != value)
      return 0;
  return 1;
}

static void counts_blocks_and_bytes(void) {
  struct weft_mem mem = {0, 0, 0, 0};
  void *a = weft_malloc(&mem, 10), *b = weft_calloc(&mem, 100), *c;
  CHECK(mem.blocks == 2 && mem.bytes == 110 && mem.calls == 2);
  CHECK(is_all(b, 100, 0));
  a = weft_realloc(&mem, a, 1000);
  CHECK(mem.blocks == 2 && mem.bytes == 1100 && mem.calls == 3);
  a = weft_realloc(&mem, a, 1);
  CHECK(mem.blocks == 2 && mem.bytes == 101);
  c = weft_realloc(&mem, NULL, 5);
  CHECK(mem.blocks == 3 && mem.bytes == 106);
  weft_free(&mem, a);
  weft_free(&mem, NULL);
  CHECK(mem.blocks == 2 && mem.bytes == 105 && mem.calls == 5);
  weft_free(&mem, b);
  weft_free(&mem, c);
  CHECK(mem.blocks == 0 && mem.bytes == 0);
}

static void is_aligned_as_malloc(void) {
  struct weft_mem mem = {0, 0, 0, 0};
  size_t size;
  for (size = 1; size < 100; size++) {
    void *block = weft_malloc(&mem, size);
    CHECK((uintptr_t)block % alignof(max_align_t) == 0);
    memset(block, 1, size);
    weft_free(&mem, block);
  }
}

static void keeps_contents(void) {
  struct weft_mem mem = {0, 0, 0, 0};
  unsigned char *block = NULL;
  size_t size = 0;
  while (size < 5000) {
    unsigned char *larger = weft_realloc(&mem, block, size + 37);
    CHECK(larger != NULL && is_all(larger, size, 7));
    block = larger;
    size += 37;
    memset(block, 7, size);
  }
  block = weft_realloc(&mem, block, 50);
  CHECK(is_all(block, 50, 7));
  weft_free(&mem, block);
}

static void fails_when_told(void) {
  struct weft_mem mem = {0, 0, 0, 0};
  unsigned char *block = weft_malloc(&mem, 16);
  memset(block, 7, 16);
  mem.fail_after = 2;
  weft_free(&mem, weft_malloc(&mem, 1));
  CHECK(weft_realloc(&mem, block, 1000) == NULL); /* the second from there */
  CHECK(is_all(block, 16, 7) && mem.blocks == 1 && mem.bytes == 16);
  CHECK(mem.fail_after == 0 && mem.calls == 3);
  weft_free(&mem, weft_malloc(&mem, 1)); /* only that one */
  mem.fail_after = 1;
  CHECK(weft_malloc(&mem, 1) == NULL && mem.blocks == 1);
  mem.fail_after = 1;
  CHECK(weft_calloc(&mem, 1) == NULL && mem.blocks == 1);
  weft_free(&mem, block);
}

static void refuses_what_cannot_be(void) {
  struct weft_mem mem = {0, 0, 0, 0};
  volatile size_t huge = SIZE_MAX;
  CHECK(weft_malloc(&mem, huge) == NULL);
  CHECK(weft_malloc(&mem, huge - 8) == NULL); /* with the header it overflows */
  CHECK(mem.blocks == 0 && mem.bytes == 0 && mem.calls == 2);
}

int main(void) {
  counts_blocks_and_bytes();
  is_aligned_as_malloc();
  keeps_contents();
  fails_when_told();
  refuses_what_cannot_be();
  return 0;
}
