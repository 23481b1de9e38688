/* SPDX-License-Identifier: MIT */
/*
 * base/buffer.c: see buffer.h. Bytes move to the front only when the room
 * behind them is too small and at least half of the block is free; else it
 * grows.
 */
#include "base/buffer.h"

#include <string.h>

void weft_buffer_init(struct weft_buffer *buffer) {
  memset(buffer, 0, sizeof(*buffer));
}

static void free_block(struct weft_buffer *buffer, struct weft_mem *mem) {
  if (buffer->capacity == WEFT_BLOCK)
    weft_block_free(mem, buffer->block);
  else
    weft_free(mem, buffer->block);
}

void weft_buffer_deinit(struct weft_buffer *buffer, struct weft_mem *mem) {
  free_block(buffer, mem);
  weft_buffer_init(buffer);
}

static int grow(struct weft_buffer *buffer, struct weft_mem *mem, size_t need) {
  size_t capacity = WEFT_BLOCK;
  char *block;
  if (need > (size_t)-1 / 4)
    return -1;
  if (capacity < need)
    capacity = buffer->capacity * 2 > need ? buffer->capacity * 2 : need;
  block =
      capacity == WEFT_BLOCK ? weft_block_new(mem) : weft_malloc(mem, capacity);
  if (block == NULL)
    return -1;
  if (buffer->block != NULL)
    memcpy(block, weft_buffer_data(buffer), weft_buffer_size(buffer));
  free_block(buffer, mem);
  buffer->end = weft_buffer_size(buffer);
  buffer->start = 0;
  buffer->block = block;
  buffer->capacity = capacity;
  return 0;
}

char *weft_buffer_reserve(struct weft_buffer *buffer, struct weft_mem *mem,
                          size_t size, size_t *room) {
  size_t used = weft_buffer_size(buffer);
  if (buffer->capacity - buffer->end < size) {
    if (buffer->capacity / 2 >= used + size) {
      memmove(buffer->block, weft_buffer_data(buffer), used);
      buffer->start = 0;
      buffer->end = used;
    } else if (grow(buffer, mem, used + size) != 0) {
      return NULL;
    }
  }
  *room = buffer->capacity - buffer->end;
  return buffer->block + buffer->end;
}

void weft_buffer_take(struct weft_buffer *buffer, struct weft_mem *mem,
                      size_t size) {
  buffer->start += size;
  if (buffer->start == buffer->end)
    weft_buffer_deinit(buffer, mem);
}
