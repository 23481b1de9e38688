/* SPDX-License-Identifier: MIT */
/*
 * net/fswatch.c: see fswatch.h. The memory of the overflow event is there from
 * the beginning, so that losing events can always be told.
 */
#include "net/fswatch.h"

#include <string.h>

static struct weft_fsevent *new_event(struct weft_mem *mem,
                                      enum weft_fsevent_kind kind,
                                      const char *name) {
  size_t size = strlen(name) + 1;
  struct weft_fsevent *event = weft_malloc(mem, sizeof(*event) + size);
  if (event == NULL)
    return NULL;
  weft_list_init(&event->link);
  event->kind = kind;
  memcpy(event->name, name, size);
  return event;
}

/* The place before the last is for the one that says that there were more. */
static void add(struct weft_fswatch *watch, enum weft_fsevent_kind kind,
                const char *name) {
  struct weft_fsevent *event = NULL;
  if (watch->overflow == NULL)
    return;
  if (watch->count < watch->max)
    event = new_event(watch->mem, kind, name);
  if (event == NULL) {
    event = watch->overflow;
    watch->overflow = NULL;
  }
  weft_list_push(&watch->events, &event->link);
  watch->count++;
}

static void on_fs_event(uv_fs_event_t *uv, const char *name, int events,
                        int status) {
  struct weft_fswatch *watch = WEFT_CONTAINER_OF(uv, struct weft_fswatch, uv);
  if (watch->owner == NULL)
    return;
  if (status != 0)
    watch->error = status;
  else
    add(watch, events & UV_RENAME ? WEFT_FS_RENAME : WEFT_FS_CHANGE,
        name != NULL ? name : "");
  watch->on_event(watch->owner);
}

static void on_close(uv_handle_t *handle) {
  struct weft_fswatch *watch =
      WEFT_CONTAINER_OF(handle, struct weft_fswatch, uv);
  struct weft_list *link;
  while ((link = weft_list_pop(&watch->events)) != NULL)
    weft_free(watch->mem, WEFT_CONTAINER_OF(link, struct weft_fsevent, link));
  weft_free(watch->mem, watch->overflow);
  weft_free(watch->mem, watch);
}

void weft_fswatch_close(struct weft_fswatch *watch) {
  watch->owner = NULL;
  if (!uv_is_closing((uv_handle_t *)&watch->uv))
    uv_close((uv_handle_t *)&watch->uv, on_close);
}

static void on_loop_close(struct weft_closer *closer) {
  struct weft_fswatch *watch = (struct weft_fswatch *)(void *)closer;
  void *owner = watch->owner;
  watch->error = UV_ECANCELED;
  if (owner != NULL)
    watch->on_event(owner);
  weft_fswatch_close(watch);
}

struct weft_fswatch *weft_fswatch_open(uv_loop_t *loop, struct weft_mem *mem,
                                       const char *path, uint32_t max,
                                       void (*on_event)(void *owner),
                                       void *owner, int *rc) {
  struct weft_fswatch *watch = weft_calloc(mem, sizeof(*watch));
  *rc = UV_ENOMEM;
  if (watch == NULL)
    return NULL;
  watch->overflow = new_event(mem, WEFT_FS_OVERFLOW, "");
  if (watch->overflow == NULL) {
    weft_free(mem, watch);
    return NULL;
  }
  watch->closer.close = on_loop_close;
  watch->mem = mem;
  watch->max = max;
  weft_list_init(&watch->events);
  uv_fs_event_init(loop, &watch->uv);
  watch->uv.data = watch;
  *rc = uv_fs_event_start(&watch->uv, on_fs_event, path, 0);
  if (*rc != 0) {
    weft_fswatch_close(watch);
    return NULL;
  }
  watch->on_event = on_event;
  watch->owner = owner;
  uv_unref((uv_handle_t *)&watch->uv);
  return watch;
}

void weft_fswatch_want(struct weft_fswatch *watch, int is) {
  if (is)
    uv_ref((uv_handle_t *)&watch->uv);
  else
    uv_unref((uv_handle_t *)&watch->uv);
}

struct weft_fsevent *weft_fswatch_take(struct weft_fswatch *watch) {
  struct weft_list *link = weft_list_pop(&watch->events);
  if (link == NULL)
    return NULL;
  watch->count--;
  return WEFT_CONTAINER_OF(link, struct weft_fsevent, link);
}

void weft_fswatch_drop(struct weft_fswatch *watch, struct weft_fsevent *event) {
  if (event->kind == WEFT_FS_OVERFLOW)
    watch->overflow = event;
  else
    weft_free(watch->mem, event);
}
