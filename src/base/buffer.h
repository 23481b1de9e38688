/* SPDX-License-Identifier: MIT */
/*
 * base/buffer.h: bytes in a row, added at the end and taken off the front.
 *
 * Owns: one block of memory, of WEFT_BLOCK at least, none while it is empty.
 * Knows libc only.
 */
#ifndef WEFT_BASE_BUFFER_H
#define WEFT_BASE_BUFFER_H

#include "base/mem.h"

struct weft_buffer {
  char *block;
  size_t start, end, capacity;
};

static inline size_t weft_buffer_size(const struct weft_buffer *buffer) {
  return buffer->end - buffer->start;
}

static inline char *weft_buffer_data(const struct weft_buffer *buffer) {
  return buffer->block + buffer->start;
}

void weft_buffer_init(struct weft_buffer *buffer);
void weft_buffer_deinit(struct weft_buffer *buffer, struct weft_mem *mem);

/* Room for at least `size` more bytes, which the caller may write from the
 * pointer returned on; *room is how many fit. NULL when memory is out; then the
 * contents are as they were. */
char *weft_buffer_reserve(struct weft_buffer *buffer, struct weft_mem *mem,
                          size_t size, size_t *room);

/* `size` of these bytes have been written. */
static inline void weft_buffer_add(struct weft_buffer *buffer, size_t size) {
  buffer->end += size;
}

/* Drops `size` bytes from the front; the block goes with the last. */
void weft_buffer_take(struct weft_buffer *buffer, struct weft_mem *mem,
                      size_t size);

#endif
