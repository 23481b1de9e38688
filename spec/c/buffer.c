/* SPDX-License-Identifier: MIT */
/*
 * spec/c/buffer.c: base/buffer.c: bytes come out in the order in which they
 * went in, whatever the sizes; memory goes with the last; blocks come from and
 * go to where they are kept.
 */
#include <string.h>

#include "base/buffer.h"
#include "check.h"

#define MOST 300000

static unsigned char byte_at(size_t i) {
  return (unsigned char)(i * 31 + i / 251);
}

static void put(struct weft_buffer *buffer, struct weft_mem *mem, size_t size,
                size_t *written) {
  size_t room, i;
  char *at = weft_buffer_reserve(buffer, mem, size, &room);
  CHECK(at != NULL && room >= size);
  for (i = 0; i < size; i++)
    at[i] = (char)byte_at((*written)++);
  weft_buffer_add(buffer, size);
}

static void check(const struct weft_buffer *buffer, size_t taken,
                  size_t written) {
  size_t size = weft_buffer_size(buffer), i;
  CHECK(size == written - taken);
  CHECK(size == 0 || buffer->block != NULL);
  for (i = 0; i < size; i += 1 + size / 97) /* not each: it is done often */
    CHECK((unsigned char)weft_buffer_data(buffer)[i] == byte_at(taken + i));
  if (size > 0)
    CHECK((unsigned char)weft_buffer_data(buffer)[size - 1] ==
          byte_at(written - 1));
}

static void keeps_order(uint32_t seed) {
  struct weft_mem mem = {0};
  struct weft_buffer buffer;
  size_t written = 0, taken = 0;
  int i;
  weft_buffer_init(&buffer);
  CHECK(weft_buffer_size(&buffer) == 0 && mem.blocks == 0);
  for (i = 0; i < 400; i++) {
    size_t size = check_random(&seed) % (i % 10 == 0 ? 100000 : 3000);
    if (check_random(&seed) % 2 && weft_buffer_size(&buffer) + size < MOST)
      put(&buffer, &mem, size, &written);
    if (size > weft_buffer_size(&buffer))
      size = weft_buffer_size(&buffer);
    if (check_random(&seed) % 2) {
      weft_buffer_take(&buffer, &mem, size);
      taken += size;
    }
    check(&buffer, taken, written);
    CHECK(mem.blocks <= 1);
  }
  weft_buffer_take(&buffer, &mem, weft_buffer_size(&buffer));
  CHECK(mem.blocks == 0 && buffer.block == NULL);
  weft_buffer_deinit(&buffer, &mem);
  CHECK(mem.blocks == 0 && mem.bytes == 0);
}

/* A queue that never runs empty, but never holds much, does not grow. */
static void does_not_creep(void) {
  struct weft_mem mem = {0};
  struct weft_buffer buffer;
  size_t written = 0, taken = 0;
  weft_buffer_init(&buffer);
  put(&buffer, &mem, 100, &written);
  while (written < 3000000) {
    put(&buffer, &mem, 1000, &written);
    weft_buffer_take(&buffer, &mem, 1000);
    taken += 1000;
    CHECK(buffer.capacity == WEFT_BLOCK);
  }
  check(&buffer, taken, written);
  weft_buffer_deinit(&buffer, &mem);
  CHECK(mem.blocks == 0);
}

/* Adding a little at a time to what is large copies each byte a few times, not
 * each time. */
static void grows_by_doubling(void) {
  struct weft_mem mem = {0};
  struct weft_buffer buffer;
  size_t written = 0;
  weft_buffer_init(&buffer);
  while (written < 8000000)
    put(&buffer, &mem, 1000, &written);
  CHECK(mem.calls <= 10);
  check(&buffer, 0, written);
  weft_buffer_deinit(&buffer, &mem);
}

static void survives_want_of_memory(void) {
  struct weft_mem mem = {0};
  struct weft_buffer buffer;
  size_t written = 0, room = 0;
  weft_buffer_init(&buffer);
  mem.fail_after = 1;
  CHECK(weft_buffer_reserve(&buffer, &mem, 1, &room) == NULL);
  CHECK(mem.blocks == 0 && weft_buffer_size(&buffer) == 0);
  put(&buffer, &mem, 5000, &written);
  mem.fail_after = 1;
  CHECK(weft_buffer_reserve(&buffer, &mem, WEFT_BLOCK, &room) == NULL);
  check(&buffer, 0, written);
  CHECK(weft_buffer_reserve(&buffer, &mem, (size_t)-1 / 2, &room) == NULL);
  CHECK(weft_buffer_reserve(&buffer, &mem, (size_t)-1 / 4, &room) == NULL);
  check(&buffer, 0, written);
  put(&buffer, &mem, WEFT_BLOCK, &written);
  check(&buffer, 0, written);
  weft_buffer_deinit(&buffer, &mem);
  CHECK(mem.blocks == 0 && mem.bytes == 0);
}

static void gives_blocks_back(void) {
  struct weft_mem mem = {0};
  struct weft_buffer buffer;
  size_t written = 0;
  int i;
  weft_block_keep(&mem, 1);
  weft_buffer_init(&buffer);
  for (i = 0; i < 5; i++) {
    put(&buffer, &mem, 10, &written);
    CHECK(mem.nspare == 0 && mem.blocks == 1);
    weft_buffer_take(&buffer, &mem, 10);
    CHECK(mem.nspare == 1 && mem.blocks == 0);
  }
  put(&buffer, &mem, WEFT_BLOCK + 1, &written); /* no block of that size */
  weft_buffer_take(&buffer, &mem, WEFT_BLOCK + 1);
  CHECK(mem.nspare == 1 && mem.blocks == 0 && mem.bytes == 0);
  weft_block_keep(&mem, -1);
  CHECK(mem.nspare == 0);
}

int main(void) {
  uint32_t seed;
  for (seed = 1; seed <= 20; seed++)
    keeps_order(seed * 2654435761u | 1);
  does_not_creep();
  grows_by_doubling();
  survives_want_of_memory();
  gives_blocks_back();
  return 0;
}
