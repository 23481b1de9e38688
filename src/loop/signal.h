/* SPDX-License-Identifier: MIT */
/*
 * loop/signal.h: a process signal that triggers a callback.
 *
 * Owns: the uv_signal_t and the anchored callback. Knows no names of signals.
 */
#ifndef WEFT_LOOP_SIGNAL_H
#define WEFT_LOOP_SIGNAL_H

#include "loop/callback.h"
#include "loop/handle.h"

struct weft_signal {
  struct weft_box box;
  struct weft_callback *callback; /* anchored while the handle is open */
};

/* Starts it: the callback on the top of L is queued at each `signum`. `once`:
 * the signal's default effect is back as soon as it came once. `background`: it
 * does not count as something that can wake the loop. Returns 0 or an error of
 * libuv. [-0, +0, m] */
int weft_signal_start(struct weft_signal *signal, struct weft_loop *loop,
                      lua_State *L, struct weft_callback *callback, int signum,
                      int once, int background);

/* Stops it; idempotent. */
void weft_signal_close(struct weft_signal *signal);

#endif
