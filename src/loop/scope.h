/* SPDX-License-Identifier: MIT */
/*
 * loop/scope.h: deadlines and shields that hold for a stretch of a task's code.
 *
 * Owns: struct weft_scope and the rule of which interruption concerns a wait.
 * Knows nothing of how a wait is interrupted (task.c).
 * Invariant: a scope belongs to the coroutine that entered it, and counts only
 * while that coroutine is among those that wait; so a generator that is
 * suspended inside a timeout does not time its consumer out.
 */
#ifndef WEFT_LOOP_SCOPE_H
#define WEFT_LOOP_SCOPE_H

#include "loop/task.h"
#include "loop/timer.h"

struct weft_scope {
  struct weft_scope *outer; /* next older scope of the task */
  struct weft_task *task;   /* NULL once left */
  lua_State *co;
  struct weft_timer timer;
  uint64_t deadline; /* ns; UINT64_MAX for none */
  uint8_t is_shield, has_expired;
};

/* Enters a scope in the running task and coroutine L. `scope` is the memory of
 * a userdata that the caller keeps on L's stack. Returns 0, or -1 when memory
 * is out (nothing entered). */
int weft_scope_enter(struct weft_scope *scope, struct weft_task *task,
                     lua_State *L, uint64_t deadline, int is_shield);

/* Leaves it; harmless when it was left already. */
void weft_scope_leave(struct weft_scope *scope);

/* Moves the deadline of an entered scope that has not expired. Returns 0 or
 * -1 when memory is out. */
int weft_scope_reschedule(struct weft_scope *scope, uint64_t deadline);

/* Detaches all scopes of a task that has ended. */
void weft_scope_detach_all(struct weft_task *task);

/* Whether a wait in coroutine `co` of `task` is to be interrupted. *scope: the
 * outermost expired scope, or NULL when the task itself is cancelled. */
int weft_scope_interrupts(struct weft_task *task, lua_State *co,
                          struct weft_scope **scope);

/* The nearest deadline that holds for coroutine `co`, or UINT64_MAX. */
uint64_t weft_scope_deadline(struct weft_task *task, lua_State *co);

#endif
