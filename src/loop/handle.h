/* SPDX-License-Identifier: MIT */
/*
 * loop/handle.h: the one way to own a libuv handle.
 *
 * Owns: the handle's memory, which is allocated apart from any userdata and
 * freed only in libuv's close callback. The box (a userdata's bytes, or a field
 * of C) points to it and may go first: it is told by a NULL pointer, and tells
 * by weft_handle_close. Knows no particular kind of handle.
 */
#ifndef WEFT_LOOP_HANDLE_H
#define WEFT_LOOP_HANDLE_H

#include <uv.h>

#include "base/closer.h"
#include "loop/loop.h"

struct weft_handle {
  struct weft_closer closer;
  struct weft_box *box; /* NULL once closing */
  struct weft_mem *mem;
  void *owner; /* for the kind of handle that it is */
  union {
    uv_handle_t any;
    uv_timer_t timer;
    uv_signal_t signal;
  } uv;
};

/* Allocates the memory for a handle of `box`. The caller initialises handle->uv
 * with libuv and, on failure, calls weft_handle_free; once libuv has it, only
 * weft_handle_close. Returns NULL when memory is out. */
struct weft_handle *weft_handle_new(struct weft_loop *loop,
                                    struct weft_box *box);
void weft_handle_free(struct weft_handle *handle);

/* Ties the initialised handle to its box. */
void weft_handle_open(struct weft_handle *handle, struct weft_box *box);

/* Starts closing; the box is empty at once, the memory goes with libuv's close
 * callback. Idempotent; never parks, never raises. */
void weft_handle_close(struct weft_box *box);

/* Closes all handles of the loop, of whichever layer, and runs it until they
 * are gone. In a process that is not the loop's (`is_forked`), which
 * weft_loop_separate has given descriptors of its own, nothing is waited for:
 * what threads were to do, nobody does. */
void weft_handle_close_all(struct weft_loop *loop, int is_forked);

#endif
