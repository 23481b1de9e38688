/* SPDX-License-Identifier: MIT */
/*
 * loop/message.h: Lua values as bytes, to carry them from one lua_State to
 * another: nil, booleans, numbers, strings, and tables of these.
 *
 * Owns: the format, which nobody stores. Knows no threads.
 * Invariants: a table is copied as a tree, without its metatable, so that two
 * ways to one table lead to two copies; how deep and how large it may be is
 * bounded.
 */
#ifndef WEFT_LOOP_MESSAGE_H
#define WEFT_LOOP_MESSAGE_H

#include "base/buffer.h"
#include "loop/compat.h"

#define WEFT_MESSAGE_DEPTH                          \
  100 /* far more than data has; bounds the C stack \
       */
/* A table that is reached in many ways is copied as often, so that a small one
 * can have a huge copy: this is where that ends. */
#define WEFT_MESSAGE_SIZE ((size_t)1 << 30)

enum weft_message_error {
  WEFT_MESSAGE_OK,
  WEFT_MESSAGE_TYPE,  /* a value that cannot be copied */
  WEFT_MESSAGE_LIMIT, /* too deep or too large */
  WEFT_MESSAGE_MEMORY
};

/* Appends the `n` values from index `first` of L. On failure it pushes a
 * sentence that names the value, beginning with `what` and its number. May
 * raise for want of Lua's memory. [-0, +(0 | 1), m] */
enum weft_message_error weft_message_add(struct weft_buffer *buffer,
                                         struct weft_mem *mem, lua_State *L,
                                         int first, int n, const char *what);

/* The same for one value, as far as that goes: what cannot be copied becomes a
 * string that tells what it was. */
enum weft_message_error weft_message_add_any(struct weft_buffer *buffer,
                                             struct weft_mem *mem, lua_State *L,
                                             int idx);

/* Appends a string. 0, or -1 when memory is out. */
int weft_message_add_string(struct weft_buffer *buffer, struct weft_mem *mem,
                            const char *text, size_t size);

/* Pushes all values of a message; returns how many. [-0, +n, m] */
int weft_message_push(lua_State *L, const struct weft_buffer *buffer);

#endif
