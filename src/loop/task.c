/* SPDX-License-Identifier: MIT */
/*
 * loop/task.c: see task.h. Also the three operations that need nothing but the
 * loop: passing the turn, sleeping, and awaiting a future.
 */
#include "loop/task.h"

#include "base/err.h"
#include "base/prefetch.h"
#include "loop/loop.h"
#include "loop/raise.h"
#include "loop/scope.h"

/* --- making and ending --------------------------------------------------- */

/* Anchors the userdata on the top of L and the function until the task starts:
 * most tasks take no arguments and run one after the other, on one thread. */
static int anchor_function(struct weft_task *task, lua_State *L, int fn) {
  struct weft_loop *loop = task->future.node.loop;
  task->thread = weft_loop_keep_function(loop, L, fn);
  if (task->thread == 0)
    return -1;
  lua_pushvalue(L, -1);
  lua_xmove(L, loop->home, 1);
  lua_rawseti(loop->home, WEFT_HOME_ANCHORS, (int)task->slot);
  return 0;
}

/* Anchors the userdata on the top of L, and moves the function and its
 * arguments to a thread, where the mark upon them tells weft_co_is_parked: a
 * thread of the pool may be known from the task that it had before. */
static int anchor_thread(struct weft_task *task, lua_State *L, int fn,
                         int nargs) {
  struct weft_loop *loop = task->future.node.loop;
  struct weft_thread thread = weft_loop_take_thread(loop, L);
  if (thread.co == NULL)
    return -1;
  if (!lua_checkstack(thread.co, nargs + 3)) {
    weft_loop_give_thread(loop, thread);
    return -1;
  }
  lua_pushvalue(L, -1);
  lua_xmove(L, loop->home, 1);
  lua_rawseti(loop->home, WEFT_HOME_ANCHORS, (int)task->slot);
  task->thread = thread.slot;
  task->co = thread.co;
  task->nargs = (uint16_t)nargs;
  lua_insert(L, fn);
  lua_xmove(L, thread.co, nargs + 1);
  weft_co_push_mark(thread.co);
  return 0;
}

static void copy_context(lua_State *L, struct weft_task *task, int idx) {
  struct weft_task *parent = task->future.node.loop->vm->task;
  if (parent == NULL || !(parent->future.node.flags & WEFT_FLAG_CONTEXT))
    return;
  luaL_checkstack(L, 8, NULL);
  weft_future_extra(L, &task->future, idx);
  weft_future_extra(L, &parent->future, 0);
  lua_getfield(L, -1, "context");
  lua_newtable(L); /* extra extra' context copy */
  lua_pushnil(L);
  while (lua_next(L, -3) != 0) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  lua_setfield(L, -4, "context");
  lua_pop(L, 3);
  task->future.node.flags |= WEFT_FLAG_CONTEXT;
}

/* In debug mode a task remembers where it was made. */
static void keep_origin(lua_State *L, struct weft_task *task, int idx) {
  luaL_checkstack(L, 4, NULL);
  weft_future_extra(L, &task->future, idx);
  luaL_traceback(L, L, NULL, 1);
  lua_setfield(L, -2, "origin");
  lua_pop(L, 1);
}

static void init(struct weft_task *task, struct weft_loop *loop) {
  weft_future_init(&task->future, loop, WEFT_KIND_TASK);
  task->op = NULL;
  task->co = NULL;
  task->scopes = NULL;
  task->slot = task->thread = 0;
  task->since_ms = 0;
  task->nargs = task->cancels = 0;
}

struct weft_task *weft_task_new(lua_State *L, struct weft_loop *loop, int fn,
                                int metatable) {
  int nargs = lua_gettop(L) - fn;
  struct weft_task *task = weft_lua_newuserdata(L, sizeof(*task));
  init(task, loop);
  lua_pushvalue(L, metatable);
  lua_setmetatable(L, -2);
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_xmove(loop->home, L, 1);
  weft_lua_settable_of(L, -2);
  if (loop->vm->task != NULL)
    copy_context(L, task, lua_gettop(L));
  if (loop->is_debugging)
    keep_origin(L, task, lua_gettop(L));
  task->slot = weft_loop_take_slot(loop, L);
  if (task->slot == 0)
    return NULL;
  if ((nargs == 0 ? anchor_function(task, L, fn)
                  : anchor_thread(task, L, fn, nargs)) != 0) {
    weft_loop_free_slot(loop, task->slot);
    return NULL;
  }
  if (++loop->tasks > loop->peak)
    loop->peak = loop->tasks;
  weft_loop_push(loop, &task->future.node);
  return task;
}

/* Lets go of what a live task holds. Its threads are the caller's. */
static void release(struct weft_task *task) {
  struct weft_loop *loop = task->future.node.loop;
  if (task->scopes != NULL)
    weft_scope_detach_all(task);
  if (loop->trapped == task)
    loop->trapped = NULL;
  task->co = NULL;
  weft_loop_free_slot(loop, task->slot);
  loop->tasks--;
}

static void finish_returned(struct weft_task *task, lua_State *L, lua_State *co,
                            int nres) {
  struct weft_thread thread = {co, task->thread};
  luaL_checkstack(L, nres + 2, "too many results");
  lua_xmove(co, L, nres);
  weft_loop_give_thread(task->future.node.loop, thread);
  weft_future_complete(L, &task->future, 0, WEFT_RETURNED, nres);
  release(task);
}

/* Is the value on the top of L an error object of kind "cancelled"? */
static int is_cancelled_error(lua_State *L, struct weft_loop *loop) {
  int is = 0;
  if (!lua_istable(L, -1) || !lua_getmetatable(L, -1))
    return 0;
  lua_pushvalue(loop->home, WEFT_HOME_ERROR);
  lua_xmove(loop->home, L, 1);
  is = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  if (is) {
    lua_pushliteral(L, "cancelled");
    lua_getfield(L, -2, "kind");
    is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  return is;
}

/* The dead coroutine is kept with the error: the traceback is made from it when
 * somebody asks. */
static void finish_failed(struct weft_task *task, lua_State *L, lua_State *co) {
  struct weft_loop *loop = task->future.node.loop;
  struct weft_thread thread = {co, task->thread};
  enum weft_state state;
  luaL_checkstack(L, 6, NULL);
  weft_future_extra(L, &task->future, 0);
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  lua_setfield(L, -2, "thread");
  lua_pop(L, 1);
  lua_xmove(co, L, 1); /* the error */
  weft_loop_drop_thread(loop, thread);
  state = is_cancelled_error(L, loop) ? WEFT_CANCELLED : WEFT_RAISED;
  weft_future_complete(L, &task->future, 0, state, 1);
  release(task);
}

/* Ends a task that never started: cancelled before that, or there is no memory
 * for it. The `n` values on the top of L are its outcome. */
static void finish_unstarted(struct weft_task *task, lua_State *L,
                             enum weft_state state, int n) {
  struct weft_loop *loop = task->future.node.loop;
  struct weft_thread thread = {task->co, task->thread};
  if (thread.co != NULL && !weft_co_is_parked(thread.co)) {
    weft_loop_drop_thread(loop, thread); /* as in finish_spoiled */
  } else if (thread.co != NULL) {
    lua_settop(thread.co, 0);
    weft_loop_give_thread(loop, thread);
  } else {
    weft_loop_take_function(loop, task->thread, L);
    lua_pop(L, 1);
  }
  weft_future_complete(L, &task->future, 0, state, n);
  release(task);
}

/* Ends a task whose coroutine is not as weft left it: somebody else, by a
 * coroutine.resume that weft has not replaced, has run it meanwhile. */
static void finish_spoiled(struct weft_task *task, lua_State *L) {
  struct weft_thread thread = {NULL, task->thread};
  weft_raise_push(L, WEFT_ERESUMED);
  weft_loop_drop_thread(task->future.node.loop, thread);
  weft_future_complete(L, &task->future, 0, WEFT_RAISED, 1);
  release(task);
}

void weft_task_abandon(struct weft_task *task) {
  if (task->future.node.state == WEFT_PARKED)
    task->op->abort(task);
  else
    weft_list_remove(&task->future.node.link);
  task->future.node.state = WEFT_CANCELLED;
  if (task->scopes != NULL)
    weft_scope_detach_all(task);
  task->co = NULL;
  task->future.node.loop->tasks--;
}

/* --- a step -------------------------------------------------------------- */

/* Gives an unstarted task a thread with its function, and its arguments if it
 * has any; NULL if memory is out. */
static lua_State *start(struct weft_task *task, lua_State *L) {
  struct weft_loop *loop = task->future.node.loop;
  struct weft_thread thread;
  if (task->co != NULL) {
    lua_pop(task->co, 1); /* the mark */
    return task->co;
  }
  thread = weft_loop_take_thread(loop, L);
  if (thread.co == NULL)
    return NULL;
  weft_loop_take_function(loop, task->thread, thread.co);
  task->thread = thread.slot;
  return task->co = thread.co;
}

/* Pushes what the wait returns; see weft_op_class. */
static int push_resume_values(struct weft_task *task, lua_State *co) {
  struct weft_node *node = &task->future.node;
  if (node->flags & WEFT_FLAG_WAKE_STACK) {
    node->flags &= (uint16_t)~WEFT_FLAG_WAKE_STACK;
    return task->nargs;
  }
  if (node->flags & WEFT_FLAG_WAKE_INTERRUPT) {
    node->flags &= (uint16_t)~WEFT_FLAG_WAKE_INTERRUPT;
    lua_pushboolean(co, 0);
    return 1;
  }
  if (task->op->push != NULL)
    return task->op->push(task, co);
  lua_pushboolean(co, 1);
  return 1;
}

static int has_interrupt(const struct weft_task *task) {
  return task->cancels != 0 || (task->future.node.flags & WEFT_FLAG_EXPIRED);
}

/* Resumes coroutine after coroutine until the task parks or ends. */
static void run(struct weft_task *task, lua_State *co, lua_State *parent,
                lua_State *L, int nargs) {
  int status, nres, raises = 0;
  for (;;) {
    status = weft_co_run(task, co, parent, L, nargs, &nres);
    if (raises)
      weft_raise_undo(co);
    raises = 0;
    if (task->future.node.state != WEFT_RUNNING)
      return; /* parked, or ready again */
    if (parent != NULL) {
      if (!weft_co_is_parked(parent)) {
        finish_spoiled(task, L);
        return;
      }
      nargs = weft_co_return(task, co, &parent, L, status, nres);
      co = task->co;
    } else if (status == LUA_YIELD) {
      lua_pop(co, nres);
      weft_raise_in(co, WEFT_EYIELD);
      raises = 1;
      nargs = 0;
    } else if (status == LUA_OK) {
      finish_returned(task, L, co, nres);
      return;
    } else {
      finish_failed(task, L, co);
      return;
    }
  }
}

void weft_task_step(struct weft_task *task, lua_State *L) {
  struct weft_loop *loop = task->future.node.loop;
  struct weft_vm *vm = loop->vm;
  lua_State *co, *parent = NULL;
  int nargs;
  if (task->future.node.state == WEFT_NEW) {
    if (task->cancels != 0) {
      finish_unstarted(task, L, WEFT_CANCELLED, 0);
      return;
    }
    if (task->co != NULL && !weft_co_is_parked(task->co)) {
      finish_spoiled(task, L);
      return;
    }
    co = start(task, L);
    if (co == NULL) {
      lua_pushliteral(L, "not enough memory");
      finish_unstarted(task, L, WEFT_RAISED, 1);
      return;
    }
    nargs = task->nargs;
  } else {
    co = task->co;
    if (!weft_co_is_parked(co)) {
      finish_spoiled(task, L);
      return;
    }
    if (task->future.node.flags & WEFT_FLAG_NESTED)
      parent = lua_tothread(co, 3);
    nargs = push_resume_values(task, co);
  }
  task->future.node.state = WEFT_RUNNING;
  vm->task = task;
  weft_loop_set_gate(loop, !has_interrupt(task));
  run(task, co, parent, L, nargs);
  vm->task = NULL;
}

int weft_run_outside(struct weft_loop *loop, lua_State *co, lua_State *L,
                     int nargs) {
  struct weft_vm *vm = loop->vm;
  struct weft_task *task = vm->task;
  lua_State *running = vm->running;
  int status, nres, gate = vm->gate_is_open;
  vm->task = NULL;
  vm->running = NULL;
  weft_loop_set_gate(loop, 0);
  status = weft_lua_resume(co, L, nargs, &nres);
  while (status == LUA_YIELD) { /* there is nobody to yield to */
    lua_pop(co, nres);
    weft_raise_in(co, WEFT_EYIELD);
    status = weft_lua_resume(co, L, 0, &nres);
    weft_raise_undo(co);
  }
  weft_loop_set_gate(loop, gate);
  vm->task = task;
  vm->running = running;
  return status;
}

/* --- parking and waking -------------------------------------------------- */

int weft_task_check(struct weft_vm *vm, lua_State *L) {
  struct weft_task *task = vm->task;
  struct weft_scope *scope;
  if (task == NULL)
    return WEFT_ENOTASK;
  if (has_interrupt(task) && weft_scope_interrupts(task, L, &scope))
    return WEFT_EINTERRUPTED;
  return 0;
}

int weft_task_check_park(struct weft_vm *vm, lua_State *L) {
  if (!lua_isyieldable(L))
    return WEFT_EBLOCKED;
  if (L != vm->running)
    return vm->running == NULL ? WEFT_EBLOCKED : WEFT_EFOREIGN;
  return 0;
}

/* Every coroutine that lies parked has this at index 1 of its stack, and the
 * thread of a task that has arguments and has not started on the top. */
static const char parked_mark;

int weft_co_is_parked(lua_State *co) {
  int index = lua_status(co) == LUA_YIELD ? 1 : lua_gettop(co);
  return index != 0 && lua_touserdata(co, index) == (const void *)&parked_mark;
}

void weft_co_push_mark(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)&parked_mark);
}

/* weft.testing.cancel_everywhere: cancels a task at the n-th wait. The cancel
 * must come from outside, after the wait has begun: by a timer that is due. */
static void on_trap(struct weft_timer *timer) {
  struct weft_loop *loop = WEFT_CONTAINER_OF(timer, struct weft_loop, trap);
  if (loop->trapped != NULL)
    weft_task_cancel(loop->trapped);
  loop->trapped = NULL;
}

static void count_wait(struct weft_task *task) {
  struct weft_loop *loop = task->future.node.loop;
  if (loop->trapped != NULL && loop->trapped != task)
    return;
  if (--loop->trap_count != 0)
    return;
  loop->trapped = task;
  (void)weft_timer_start(&loop->timers, &loop->trap, 1, on_trap);
}

/* Yields the mark and the value at index 1 (or nothing). */
static int yield(struct weft_task *task, lua_State *L, int object) {
  int n = 1 + (object != 0);
  task->co = L;
  lua_settop(L, object != 0);
  weft_co_push_mark(L);
  if (object != 0)
    lua_insert(L, 1);
  if (task->future.node.flags & WEFT_FLAG_NESTED) {
    lua_settop(L, 2); /* mark, object or nil, parent */
    n = 2 + weft_co_push_parent(task, L);
  }
  return lua_yield(L, n);
}

int weft_task_park(struct weft_task *task, lua_State *L,
                   const struct weft_op_class *op, int object) {
  task->op = op;
  task->future.node.state = WEFT_PARKED;
  task->since_ms = (uint32_t)(task->future.node.loop->now / 1000000);
  if (task->future.node.loop->trap_count != 0)
    count_wait(task);
  return yield(task, L, object);
}

static const struct weft_op_class op_pass = {"turn", NULL, NULL, NULL};

int weft_task_pass(struct weft_task *task, lua_State *L) {
  task->op = &op_pass;
  task->future.node.state = WEFT_READY;
  weft_loop_push(task->future.node.loop, &task->future.node);
  if (task->future.node.loop->trap_count != 0)
    count_wait(task);
  return yield(task, L, 0);
}

void weft_task_wake(struct weft_task *task) {
  weft_prefetch(task->co);
  task->future.node.state = WEFT_READY;
  weft_loop_push(task->future.node.loop, &task->future.node);
}

void weft_task_wake_with(struct weft_task *task, lua_State *L, int n) {
  lua_pushboolean(task->co, 1);
  lua_xmove(L, task->co, n);
  task->nargs = (uint16_t)(n + 1);
  task->future.node.flags |= WEFT_FLAG_WAKE_STACK;
  weft_task_wake(task);
}

static void count_cancel(struct weft_task *task) {
  if (task->cancels != UINT16_MAX)
    task->cancels++;
}

int weft_task_cancel(struct weft_task *task) {
  if (weft_future_is_done(&task->future))
    return 0;
  count_cancel(task);
  weft_task_interrupt(task);
  return 1;
}

/* A loop, not a recursion: a chain of awaits may be long. */
void weft_task_interrupt(struct weft_task *task) {
  struct weft_node *node = &task->future.node;
  struct weft_task *next;
  struct weft_scope *scope;
  for (;; task = next, node = &task->future.node) {
    if (node->state == WEFT_RUNNING && node->loop->vm->task == task)
      weft_loop_set_gate(node->loop, 0);
    if (node->state != WEFT_PARKED ||
        !weft_scope_interrupts(task, task->co, &scope))
      return;
    next = task->op->passes_to != NULL ? task->op->passes_to(task) : NULL;
    if (next == NULL)
      break;
    count_cancel(next);
  }
  task->op->abort(task);
  node->flags |= WEFT_FLAG_WAKE_INTERRUPT;
  weft_task_wake(task);
}

/* --- sleeping ------------------------------------------------------------ */

_Static_assert(sizeof(struct weft_timer) <= sizeof(struct weft_list),
               "the timer of a sleeping task lies over its list link");

static struct weft_timer *timer_of(struct weft_task *task) {
  return (struct weft_timer *)(void *)&task->future.node.link;
}

static void abort_sleep(struct weft_task *task) {
  weft_timer_stop(&task->future.node.loop->timers, timer_of(task));
  weft_list_init(&task->future.node.link);
}

static const struct weft_op_class op_sleep = {"sleep", abort_sleep, NULL, NULL};

static void on_awake(struct weft_timer *timer) {
  struct weft_task *task = (struct weft_task *)(void *)timer;
  weft_list_init(&task->future.node.link);
  weft_task_wake(task);
}

int weft_task_sleep(struct weft_task *task, lua_State *L, uint64_t deadline) {
  struct weft_timer *timer = timer_of(task);
  weft_timer_init(timer);
  if (weft_timer_start(&task->future.node.loop->timers, timer, deadline,
                       on_awake)) {
    weft_list_init(&task->future.node.link);
    return -1;
  }
  return weft_task_park(task, L, &op_sleep, 0);
}

/* --- awaiting ------------------------------------------------------------ */

static void abort_await(struct weft_task *task) {
  weft_future_remove_waiter(task->future.u.target, &task->future.node);
}

static int push_await(struct weft_task *task, lua_State *co) {
  int n = weft_future_push(co, task->future.u.target, 2);
  return n;
}

/* A plain future is cancelled by the Lua side, which sees the interruption:
 * completing it may take memory, and this must not fail. */
static struct weft_task *passes_to(struct weft_task *task) {
  struct weft_future *future = task->future.u.target;
  if ((task->future.node.flags & WEFT_FLAG_SHIELDED) ||
      future->node.kind != WEFT_KIND_TASK)
    return NULL;
  return (struct weft_task *)(void *)future;
}

static const struct weft_op_class op_await = {"await", abort_await, push_await,
                                              passes_to};

int weft_task_await(struct weft_task *task, lua_State *L,
                    struct weft_future *future, int shielded) {
  task->future.u.target = future;
  if (shielded)
    task->future.node.flags |= WEFT_FLAG_SHIELDED;
  else
    task->future.node.flags &= (uint16_t)~WEFT_FLAG_SHIELDED;
  weft_future_add_waiter(future, &task->future.node);
  return weft_task_park(task, L, &op_await, 1);
}

const struct weft_future *weft_task_awaits(const struct weft_task *task) {
  return task->future.node.state == WEFT_PARKED && task->op == &op_await
             ? task->future.u.target
             : NULL;
}
