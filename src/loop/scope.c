/* SPDX-License-Identifier: MIT */
/*
 * loop/scope.c: see scope.h.
 * The chain of coroutines is walked only when a task has scopes at all.
 */
#include "loop/scope.h"

#include "loop/loop.h"

static void on_expire(struct weft_timer *timer) {
  struct weft_scope *scope = WEFT_CONTAINER_OF(timer, struct weft_scope, timer);
  scope->has_expired = 1;
  scope->task->future.node.flags |= WEFT_FLAG_EXPIRED;
  weft_task_interrupt(scope->task);
}

/* Starts the timer, or lets a deadline that has passed expire at once. */
static int start(struct weft_scope *scope) {
  struct weft_loop *loop = scope->task->future.node.loop;
  if (scope->deadline == UINT64_MAX)
    return 0;
  if (scope->deadline <= weft_loop_now(loop)) {
    on_expire(&scope->timer);
    return 0;
  }
  if (weft_timer_start(&loop->timers, &scope->timer, scope->deadline,
                       on_expire) != 0)
    return -1;
  weft_loop_notify(loop);
  return 0;
}

int weft_scope_enter(struct weft_scope *scope, struct weft_task *task,
                     lua_State *L, uint64_t deadline, int is_shield) {
  scope->task = task;
  scope->co = L;
  scope->deadline = deadline;
  scope->is_shield = (uint8_t)is_shield;
  scope->has_expired = 0;
  weft_timer_init(&scope->timer);
  scope->outer = task->scopes;
  task->scopes = scope;
  if (start(scope) != 0) {
    weft_scope_leave(scope);
    return -1;
  }
  return 0;
}

static void detach(struct weft_scope *scope) {
  weft_timer_stop(&scope->task->future.node.loop->timers, &scope->timer);
  scope->task = NULL;
  scope->outer = NULL;
}

void weft_scope_leave(struct weft_scope *scope) {
  struct weft_task *task = scope->task;
  struct weft_scope **at, *s;
  if (task == NULL)
    return;
  for (at = &task->scopes; *at != scope;)
    at = &(*at)->outer;
  *at = scope->outer;
  detach(scope);
  task->future.node.flags &= (uint16_t)~WEFT_FLAG_EXPIRED;
  for (s = task->scopes; s != NULL; s = s->outer)
    if (s->has_expired)
      task->future.node.flags |= WEFT_FLAG_EXPIRED;
  if (task->cancels == 0 && !(task->future.node.flags & WEFT_FLAG_EXPIRED) &&
      task->future.node.loop->vm->task == task)
    weft_loop_set_gate(task->future.node.loop, 1);
}

int weft_scope_reschedule(struct weft_scope *scope, uint64_t deadline) {
  if (scope->task == NULL || scope->has_expired)
    return 0;
  weft_timer_stop(&scope->task->future.node.loop->timers, &scope->timer);
  scope->deadline = deadline;
  return start(scope);
}

void weft_scope_detach_all(struct weft_task *task) {
  struct weft_scope *scope;
  while ((scope = task->scopes) != NULL) {
    task->scopes = scope->outer;
    detach(scope);
  }
}

int weft_scope_interrupts(struct weft_task *task, lua_State *co,
                          struct weft_scope **scope) {
  int found = 0;
  *scope = NULL;
  for (; task->scopes != NULL && co != NULL; co = weft_co_parent(task, co)) {
    struct weft_scope *s;
    for (s = task->scopes; s != NULL; s = s->outer) {
      if (s->co != co)
        continue;
      if (s->is_shield)
        return found;
      if (s->has_expired) {
        found = 1;
        *scope = s;
      }
    }
  }
  if (task->cancels != 0) {
    found = 1;
    *scope = NULL;
  }
  return found;
}

uint64_t weft_scope_deadline(struct weft_task *task, lua_State *co) {
  uint64_t nearest = UINT64_MAX;
  for (; task->scopes != NULL && co != NULL; co = weft_co_parent(task, co)) {
    struct weft_scope *s;
    for (s = task->scopes; s != NULL; s = s->outer) {
      if (s->co != co)
        continue;
      if (s->is_shield)
        return nearest;
      if (s->deadline < nearest)
        nearest = s->deadline;
    }
  }
  return nearest;
}
