/* SPDX-License-Identifier: MIT */
/*
 * loop/signal.c: see signal.h.
 * The libuv callback only queues: no Lua runs in it.
 */
#include "loop/signal.h"

static void on_signal(uv_signal_t *uv, int signum) {
  struct weft_handle *handle = uv->data;
  (void)signum;
  if (handle->box != NULL)
    weft_callback_trigger(((struct weft_signal *)handle->owner)->callback);
}

static int start(uv_signal_t *uv, int signum, int once) {
  return once ? uv_signal_start_oneshot(uv, on_signal, signum)
              : uv_signal_start(uv, on_signal, signum);
}

int weft_signal_start(struct weft_signal *signal, struct weft_loop *loop,
                      lua_State *L, struct weft_callback *callback, int signum,
                      int once, int background) {
  struct weft_handle *handle = weft_handle_new(loop, &signal->box);
  int rc;
  if (handle == NULL)
    return UV_ENOMEM;
  rc = uv_signal_init(&loop->uv, &handle->uv.signal);
  if (rc != 0) {
    weft_handle_free(handle);
    return rc;
  }
  weft_handle_open(handle, &signal->box);
  handle->owner = signal;
  signal->callback = callback;
  callback->node.flags |= WEFT_CALLBACK_REPEATS;
  rc = weft_callback_anchor(callback, L) != 0
           ? UV_ENOMEM
           : start(&handle->uv.signal, signum, once);
  if (rc != 0) {
    weft_signal_close(signal);
    return rc;
  }
  if (background)
    uv_unref(&handle->uv.any);
  weft_loop_notify(loop); /* the descriptor does not know of it yet */
  return 0;
}

void weft_signal_close(struct weft_signal *signal) {
  if (signal->box.handle == NULL)
    return;
  weft_handle_close(&signal->box);
  weft_callback_cancel(signal->callback);
}
