/* SPDX-License-Identifier: MIT */
/*
 * loop/latch.c: see latch.h. A watch is on its future's ring until the future
 * completes, then in the latch's list of completed ones until it is taken.
 */
#include "loop/latch.h"

#include "base/prefetch.h"
#include "loop/loop.h"

static void abort_latch(struct weft_task *task) {
  struct weft_latch *latch = task->future.u.target;
  latch->task = NULL;
}

static const struct weft_op_class op_latch = {"children", abort_latch, NULL,
                                              NULL};

void weft_latch_init(struct weft_latch *latch, struct weft_loop *loop) {
  latch->loop = loop;
  latch->task = NULL;
  latch->until = WEFT_UNTIL_ALL;
  weft_list_init(&latch->pending);
  weft_list_init(&latch->completed);
  latch->npending = latch->ncompleted = 0;
  latch->nfailed = latch->nraised = 0;
}

int weft_latch_is_open(const struct weft_latch *latch, enum weft_until until) {
  switch (until) {
  case WEFT_UNTIL_ANY:
    return latch->ncompleted > 0 || latch->npending == 0;
  case WEFT_UNTIL_RAISED:
    return latch->nraised > 0 || latch->npending == 0;
  case WEFT_UNTIL_FAILURE:
    return latch->nfailed > 0 || latch->npending == 0;
  default:
    return latch->npending == 0;
  }
}

/* Moves the watch of a future that is done to the completed ones. */
static void complete(struct weft_watch *watch) {
  struct weft_latch *latch = watch->latch;
  weft_list_push(&latch->completed, &watch->sibling);
  latch->ncompleted++;
  latch->nfailed += watch->future->node.state != WEFT_RETURNED;
  latch->nraised += watch->future->node.state == WEFT_RAISED;
}

int weft_latch_add(struct weft_latch *latch, struct weft_future *future,
                   uint32_t index) {
  struct weft_watch *watch =
      weft_calloc(&latch->loop->vm->mem, sizeof(struct weft_watch));
  if (watch == NULL)
    return -1;
  watch->node.kind = WEFT_KIND_WATCH;
  weft_list_init(&watch->node.link);
  weft_list_init(&watch->sibling);
  watch->latch = latch;
  watch->future = future;
  watch->index = index;
  if (weft_future_is_done(future)) {
    complete(watch);
  } else {
    weft_future_add_waiter(future, &watch->node);
    weft_list_push(&latch->pending, &watch->sibling);
    latch->npending++;
  }
  return 0;
}

void weft_latch_wake(struct weft_latch *latch) {
  struct weft_task *task = latch->task;
  if (task != NULL && weft_latch_is_open(latch, latch->until)) {
    latch->task = NULL;
    weft_task_wake(task);
  }
}

void weft_watch_complete(struct weft_watch *watch) {
  weft_list_remove(&watch->sibling);
  watch->latch->npending--;
  complete(watch);
  weft_latch_wake(watch->latch);
}

int weft_latch_park(struct weft_latch *latch, struct weft_task *task,
                    lua_State *L, enum weft_until until) {
  latch->task = task;
  latch->until = until;
  task->future.u.target = latch;
  return weft_task_park(task, L, &op_latch, 1);
}

static void free_watch(struct weft_watch *watch) {
  weft_list_remove(&watch->sibling);
  weft_free(&watch->latch->loop->vm->mem, watch);
}

static struct weft_watch *first_of(struct weft_list *list) {
  return weft_list_is_empty(list)
             ? NULL
             : WEFT_CONTAINER_OF(list->next, struct weft_watch, sibling);
}

uint32_t weft_latch_take(struct weft_latch *latch) {
  struct weft_watch *watch = first_of(&latch->completed);
  uint32_t index;
  if (watch == NULL)
    return 0;
  index = watch->index;
  latch->ncompleted--;
  free_watch(watch);
  return index;
}

void weft_latch_close(struct weft_latch *latch) {
  struct weft_watch *watch;
  while ((watch = first_of(&latch->pending)) != NULL) {
    weft_future_remove_waiter(watch->future, &watch->node);
    free_watch(watch);
  }
  while ((watch = first_of(&latch->completed)) != NULL)
    free_watch(watch);
  latch->npending = latch->ncompleted = 0;
}

static void abort_wait(struct weft_task *task) {
  weft_list_remove(&task->future.node.link);
}

static const struct weft_op_class op_wait = {"wait", abort_wait, NULL, NULL};

int weft_waitlist_park(struct weft_waitlist *list, struct weft_task *task,
                       lua_State *L) {
  weft_list_push(&list->tasks, &task->future.node.link);
  return weft_task_park(task, L, &op_wait, 1);
}

int weft_waitlist_wake(struct weft_waitlist *list, lua_State *L, int n) {
  struct weft_task *task = weft_task_of(list->tasks.next);
  if (weft_list_is_empty(&list->tasks))
    return 0;
  if (n > LUA_MINSTACK / 2 && !lua_checkstack(task->co, n + 2))
    return luaL_error(L, "too many values");
  weft_list_remove(&task->future.node.link);
  if (n == 0)
    weft_task_wake(task);
  else
    weft_task_wake_with(task, L, n);
  weft_prefetch(list->tasks.next);
  return 1;
}
