/* SPDX-License-Identifier: MIT */
/*
 * net/fswatch.h: what happens to a file or in a directory, in a bounded queue.
 *
 * Owns: the uv_fs_event_t and the events that nobody took yet. Knows no Lua and
 * no tasks. Invariant: when there are more events than the queue holds, the
 * last in it says so, and those after it are lost until there is room.
 */
#ifndef WEFT_NET_FSWATCH_H
#define WEFT_NET_FSWATCH_H

#include <stdint.h>
#include <uv.h>

#include "base/closer.h"
#include "base/list.h"
#include "base/mem.h"

enum weft_fsevent_kind { WEFT_FS_CHANGE, WEFT_FS_RENAME, WEFT_FS_OVERFLOW };

struct weft_fsevent {
  struct weft_list link;
  enum weft_fsevent_kind kind;
  char name[]; /* empty: unknown */
};

struct weft_fswatch {
  struct weft_closer closer;
  struct weft_mem *mem;
  void (*on_event)(void *owner);
  void *owner;             /* NULL once closed */
  struct weft_list events; /* oldest first */
  uint32_t count, max;
  int error;                     /* why there will be no more events; 0: none */
  struct weft_fsevent *overflow; /* kept ready; NULL while it is in the queue */
  uv_fs_event_t uv;
};

/* Starts watching; holds `max` (1 or more) events. The handle is unreferenced
 * in the loop: see weft_fswatch_want. on_event(owner) is called in the loop for
 * each event, and when the loop closes, after which the struct must not be
 * used. NULL: *rc says why. */
struct weft_fswatch *weft_fswatch_open(uv_loop_t *loop, struct weft_mem *mem,
                                       const char *path, uint32_t max,
                                       void (*on_event)(void *owner),
                                       void *owner, int *rc);

/* Whether somebody waits, which keeps the loop up. */
void weft_fswatch_want(struct weft_fswatch *watch, int is);

/* The oldest event, to be given to weft_fswatch_drop; NULL: none. */
struct weft_fsevent *weft_fswatch_take(struct weft_fswatch *watch);
void weft_fswatch_drop(struct weft_fswatch *watch, struct weft_fsevent *event);

/* Stops and frees it. */
void weft_fswatch_close(struct weft_fswatch *watch);

#endif
