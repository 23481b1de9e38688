/* SPDX-License-Identifier: MIT */
/*
 * loop/handle.c: see handle.h. libuv's data pointer leads from the uv handle
 * back to its struct weft_handle.
 */
#include "loop/handle.h"

static void on_close(uv_handle_t *uv) {
  struct weft_handle *handle = uv->data;
  weft_free(handle->mem, handle);
}

static void close_handle(struct weft_handle *handle) {
  if (handle->box != NULL)
    handle->box->handle = NULL;
  handle->box = NULL;
  if (!uv_is_closing(&handle->uv.any))
    uv_close(&handle->uv.any, on_close);
}

static void on_loop_close(struct weft_closer *closer) {
  close_handle((struct weft_handle *)(void *)closer);
}

struct weft_handle *weft_handle_new(struct weft_loop *loop,
                                    struct weft_box *box) {
  struct weft_handle *handle = weft_calloc(&loop->vm->mem, sizeof(*handle));
  if (handle == NULL)
    return NULL;
  handle->mem = &loop->vm->mem;
  handle->closer.close = on_loop_close;
  handle->box = box;
  return handle;
}

void weft_handle_free(struct weft_handle *handle) {
  weft_free(handle->mem, handle);
}

void weft_handle_open(struct weft_handle *handle, struct weft_box *box) {
  handle->uv.any.data = handle;
  handle->box = box;
  box->handle = handle;
}

void weft_handle_close(struct weft_box *box) {
  if (box->handle != NULL)
    close_handle(box->handle);
}

static void on_walk(uv_handle_t *uv, void *arg) {
  struct weft_closer *closer = uv->data;
  (void)arg;
  if (!uv_is_closing(uv))
    closer->close(closer);
}

void weft_handle_close_all(struct weft_loop *loop, int is_forked) {
  if (is_forked && !loop->is_separate)
    return;
  uv_walk(&loop->uv, on_walk, NULL);
  if (is_forked)
    uv_run(&loop->uv, UV_RUN_NOWAIT);
  while (uv_loop_close(&loop->uv) == UV_EBUSY && !is_forked)
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}
