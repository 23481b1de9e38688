/* SPDX-License-Identifier: MIT */
/*
 * bind/l_task.c: tasks, futures and coroutines for Lua.
 *
 * A function that waits returns true and the results; false and the error of
 * what was awaited; or false alone when the task's own cancellation (or that of
 * what was awaited) is to be raised. Only lua/weft/await.lua makes returns and
 * raises of these.
 */
#include "bind/lutil.h"

#include "base/err.h"

/* --- making -------------------------------------------------------------- */

static int new_task(lua_State *L, struct weft_loop *loop, int fn) {
  if (!loop->is_open)
    return weft_raise(L, WEFT_ECLOSED);
  if (lua_type(L, fn) != LUA_TFUNCTION) {
    if (!luaL_getmetafield(L, fn, "__call"))
      return weft_raise_kind(L, "type", "a function expected, got %s",
                             luaL_typename(L, fn));
    lua_pop(L, 1);
  }
  if (weft_task_new(L, loop, fn, WEFT_UPVALUE_TASK) == NULL)
    return luaL_error(L, "not enough memory");
  return 1;
}

/* create_task(fn, ...) -> task, in the running loop or the default one */
static int l_task_create(lua_State *L) {
  return new_task(L, weft_current_loop(L), 1);
}

/* loop_create_task(loop, fn, ...) -> task */
static int l_task_create_in(lua_State *L) {
  return new_task(L, weft_check_loop(L, 1), 2);
}

/* future(loop or nil) -> future */
static int l_future_new(lua_State *L) {
  struct weft_loop *loop =
      lua_isnoneornil(L, 1) ? weft_current_loop(L) : weft_check_loop(L, 1);
  if (!loop->is_open)
    return weft_raise(L, WEFT_ECLOSED);
  weft_future_new(L, loop);
  return 1;
}

/* --- waiting ------------------------------------------------------------- */

/* checkpoint() -> true, or false when an interruption is to be raised */
static int l_checkpoint(lua_State *L) {
  int rc = weft_task_check(weft_vm_of(L), L);
  if (rc != 0)
    return weft_refuse(L, rc);
  lua_pushboolean(L, 1);
  return 1;
}

/* sleep(seconds) */
static int l_sleep(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  lua_Number seconds = weft_check_number(L, 1, "the delay");
  struct weft_loop *loop;
  uint64_t now, delay;
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (seconds <= 0)
    return weft_task_pass(vm->task, L);
  if (seconds != seconds)
    return weft_raise_kind(L, "type", "the delay is not a number (NaN)");
  loop = vm->task->future.node.loop;
  now = weft_loop_now(loop);
  delay = weft_to_ns(seconds);
  rc = weft_task_sleep(vm->task, L,
                       delay < UINT64_MAX - now ? now + delay : UINT64_MAX);
  return rc == -1 && vm->task->future.node.state == WEFT_RUNNING
             ? luaL_error(L, "not enough memory")
             : rc;
}

/* Follows what is awaited from `f` on; true if that leads to `task`. Only
 * direct awaits are seen; a cycle through anything else is found as a deadlock.
 */
static int leads_to(const struct weft_future *f, const struct weft_task *task) {
  while (f != NULL && f->node.kind == WEFT_KIND_TASK) {
    if (f == &task->future)
      return 1;
    f = weft_task_awaits((const struct weft_task *)f);
  }
  return 0;
}

static int check_await(struct weft_vm *vm, lua_State *L,
                       const struct weft_future *f) {
  const struct weft_task *task = vm->task;
  if (f->node.loop != task->future.node.loop)
    return WEFT_EOTHERLOOP;
  if (f == &task->future)
    return WEFT_ESELF;
  if (leads_to(f, task))
    return WEFT_ECYCLE;
  return weft_task_check_park(vm, L);
}

/* await(future) */
static int l_await(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  struct weft_future *f = weft_check_future(L, 1);
  int rc = weft_task_check(vm, L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (weft_future_is_done(f))
    return weft_future_push(L, f, 1);
  rc = check_await(vm, L, f);
  if (rc != 0)
    return weft_refuse(L, rc);
  return weft_task_await(vm->task, L, f, 0);
}

/* await_shielded(future): a cancellation of before does not count, one that
 * comes is not passed on */
static int l_await_shielded(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  struct weft_future *f = weft_check_future(L, 1);
  int rc;
  if (vm->task == NULL)
    return weft_raise(L, WEFT_ENOTASK);
  if (weft_future_is_done(f))
    return weft_future_push(L, f, 1);
  rc = check_await(vm, L, f);
  if (rc != 0)
    return weft_refuse(L, rc);
  return weft_task_await(vm->task, L, f, 1);
}

/* --- cancelling ---------------------------------------------------------- */

/* cancel(task) -> false if it is done */
static int l_task_cancel(lua_State *L) {
  lua_pushboolean(L, weft_task_cancel(weft_check_task(L, 1)));
  return 1;
}

/* cancelling(task) -> count */
static int l_task_cancelling(lua_State *L) {
  lua_pushinteger(L, weft_check_task(L, 1)->cancels);
  return 1;
}

/* uncancel(task) -> count left */
static int l_task_uncancel(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  struct weft_task *task = weft_check_task(L, 1);
  if (task->cancels > 0)
    task->cancels--;
  if (task == vm->task && task->cancels == 0 &&
      !(task->future.node.flags & WEFT_FLAG_EXPIRED))
    weft_loop_set_gate(task->future.node.loop, 1);
  lua_pushinteger(L, task->cancels);
  return 1;
}

/* interruption() -> nil; "cancel"; or the scope that has expired */
static int l_interruption(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  struct weft_scope *scope;
  if (vm->task == NULL || !weft_scope_interrupts(vm->task, L, &scope))
    return 0;
  if (scope == NULL)
    lua_pushliteral(L, "cancel");
  else
    lua_pushlightuserdata(L, scope);
  return 1;
}

/* --- outcomes ------------------------------------------------------------ */

static const char *state_name(const struct weft_future *f) {
  static const char *const names[] = {"pending",  "ready",    "running",
                                      "parked",   "returned", "raised",
                                      "cancelled"};
  return names[f->node.state];
}

/* state(future) -> "pending" (a task: not started), "ready", "running",
 * "parked", "returned", "raised", "cancelled" */
static int l_future_state(lua_State *L) {
  lua_pushstring(L, state_name(weft_check_future(L, 1)));
  return 1;
}

/* is_done(future) */
static int l_future_is_done(lua_State *L) {
  lua_pushboolean(L, weft_future_is_done(weft_check_future(L, 1)));
  return 1;
}

/* outcome(future) -> as await; raises if it is not done */
static int l_future_outcome(lua_State *L) {
  struct weft_future *f = weft_check_future(L, 1);
  if (!weft_future_is_done(f))
    return weft_raise(L, WEFT_ENOTDONE);
  return weft_future_push(L, f, 1);
}

/* complete(future, state, ...): state is "returned", "raised", "cancelled" */
static int l_future_complete(lua_State *L) {
  struct weft_future *f = weft_check_future(L, 1);
  const char *state = luaL_checkstring(L, 2);
  if (f->node.kind == WEFT_KIND_TASK)
    return weft_raise_kind(L, "state", "a task sets its outcome itself");
  if (!f->node.loop->is_open)
    return weft_raise(L, WEFT_ECLOSED);
  if (weft_future_is_done(f))
    return weft_raise(L, WEFT_EDONE);
  weft_future_complete(L, f, 1,
                       state[1] == 'e'   ? WEFT_RETURNED
                       : state[0] == 'c' ? WEFT_CANCELLED
                                         : WEFT_RAISED,
                       lua_gettop(L) - 2);
  return 0;
}

/* extra(future [, create]) -> the future's own table, or nil */
static int l_future_extra(lua_State *L) {
  struct weft_future *f = weft_check_future(L, 1);
  if (!(f->node.flags & WEFT_FLAG_EXTRA) && !lua_toboolean(L, 2))
    return 0;
  weft_future_extra(L, f, 1);
  return 1;
}

/* mark(future, "callbacks" or "context", flag): extra has such a field */
static int l_future_mark(lua_State *L) {
  struct weft_future *f = weft_check_future(L, 1);
  int flag = luaL_checkstring(L, 2)[1] == 'a' ? WEFT_FLAG_CALLBACKS
                                              : WEFT_FLAG_CONTEXT;
  if (lua_toboolean(L, 3))
    f->node.flags |= (uint16_t)flag;
  else
    f->node.flags &= (uint16_t)~flag;
  return 0;
}

/* id(future) -> number, counted by its loop */
static int l_future_id(lua_State *L) {
  lua_pushnumber(L, weft_check_future(L, 1)->node.id);
  return 1;
}

/* loop_of(future) -> loop */
static int l_future_loop(lua_State *L) {
  weft_push_loop(L, weft_check_future(L, 1)->node.loop);
  return 1;
}

/* kind_of(x) -> "task", "future" or nil */
static int l_future_kind(lua_State *L) {
  struct weft_future *f = weft_to_future(L, 1);
  if (f == NULL)
    return 0;
  lua_pushstring(L, f->node.kind == WEFT_KIND_TASK ? "task" : "future");
  return 1;
}

/* --- looking ------------------------------------------------------------- */

/* current_task() -> task or nil */
static int l_task_current(lua_State *L) {
  struct weft_task *task = weft_vm_of(L)->task;
  if (task == NULL)
    return 0;
  weft_push_task(L, task);
  return 1;
}

/* running_loop() -> loop or nil */
static int l_loop_running(lua_State *L) {
  struct weft_loop *loop = weft_vm_of(L)->loop;
  if (loop == NULL)
    return 0;
  weft_push_loop(L, loop);
  return 1;
}

/* place(task) -> its innermost coroutine, and, for one that is parked, what it
 * waits for: a word, the object or nil, and the seconds since when */
static int l_task_place(lua_State *L) {
  struct weft_task *task = weft_check_task(L, 1);
  uint32_t now_ms = (uint32_t)(task->future.node.loop->now / 1000000);
  if (task->co == NULL)
    return 0;
  lua_pushthread(task->co);
  if (task->co != L)
    lua_xmove(task->co, L, 1);
  if (task->future.node.state != WEFT_PARKED)
    return 1;
  lua_pushstring(L, task->op->name);
  if (lua_gettop(task->co) >= 2)
    lua_pushvalue(task->co, 2);
  else
    lua_pushnil(task->co);
  lua_xmove(task->co, L, 1);
  lua_pushnumber(L, (lua_Number)(uint32_t)(now_ms - task->since_ms) / 1e3);
  return 4;
}

/* start_of(task) -> the function of a task that has not started, or nil */
static int l_task_start_of(lua_State *L) {
  struct weft_task *task = weft_check_task(L, 1);
  lua_State *home = task->future.node.loop->home;
  if (task->future.node.state != WEFT_NEW)
    return 0;
  if (task->co != NULL) {
    lua_pushvalue(task->co, 1);
    lua_xmove(task->co, L, 1);
  } else {
    lua_rawgeti(home, WEFT_HOME_ANCHORS, (int)task->thread);
    lua_xmove(home, L, 1);
  }
  return 1;
}

/* in_task() -> whether a task is running */
static int l_in_task(lua_State *L) {
  lua_pushboolean(L, weft_vm_of(L)->task != NULL);
  return 1;
}

/* task_time() -> the loop's time in seconds; nothing outside tasks */
static int l_task_time(lua_State *L) {
  struct weft_task *task = weft_vm_of(L)->task;
  if (task == NULL)
    return 0;
  lua_pushnumber(L, (lua_Number)weft_loop_now(task->future.node.loop) / 1e9);
  return 1;
}

/* resumer(task, co) -> the coroutine that resumed this one of its chain */
static int l_task_resumer(lua_State *L) {
  struct weft_task *task = weft_check_task(L, 1);
  lua_State *co = lua_tothread(L, 2), *parent;
  if (co == NULL || task->co == NULL)
    return 0;
  parent = weft_co_parent(task, co);
  if (parent == NULL)
    return 0;
  lua_pushthread(parent);
  if (parent != L)
    lua_xmove(parent, L, 1);
  return 1;
}

/* --- coroutines ---------------------------------------------------------- */

/* resume(co, ...) for use inside a task */
static int l_co_resume(lua_State *L) {
  if (!lua_isthread(L, 1))
    return weft_raise_kind(L, "type", "a coroutine expected, got %s",
                           luaL_typename(L, 1));
  return weft_co_resume(weft_vm_of(L), L);
}

/* is_parked(co): it lies in a wait of weft */
static int l_co_is_parked(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  lua_pushboolean(L, co != NULL && weft_co_is_parked(co));
  return 1;
}

static const luaL_Reg functions[] = {
    {"create_task", l_task_create},
    {"loop_create_task", l_task_create_in},
    {"future", l_future_new},
    {"checkpoint", l_checkpoint},
    {"sleep", l_sleep},
    {"await", l_await},
    {"await_shielded", l_await_shielded},
    {"cancel", l_task_cancel},
    {"cancelling", l_task_cancelling},
    {"uncancel", l_task_uncancel},
    {"interruption", l_interruption},
    {"state", l_future_state},
    {"is_done", l_future_is_done},
    {"outcome", l_future_outcome},
    {"complete", l_future_complete},
    {"extra", l_future_extra},
    {"mark", l_future_mark},
    {"id", l_future_id},
    {"loop_of", l_future_loop},
    {"kind_of", l_future_kind},
    {"current_task", l_task_current},
    {"running_loop", l_loop_running},
    {"in_task", l_in_task},
    {"task_time", l_task_time},
    {"start_of", l_task_start_of},
    {"place", l_task_place},
    {"resumer", l_task_resumer},
    {"resume", l_co_resume},
    {"is_parked", l_co_is_parked},
    {NULL, NULL},
};

static void set_number(lua_State *L, const char *name, size_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, name);
}

/* layout: where weft.peek finds what in a task */
static void open_layout(lua_State *L) {
  lua_newtable(L);
  set_number(L, "state", offsetof(struct weft_task, future.node.state));
  set_number(L, "flags", offsetof(struct weft_task, future.node.flags));
  set_number(L, "returned", WEFT_RETURNED);
  set_number(L, "value_mask", WEFT_VALUE_MASK);
  lua_setfield(L, -2, "layout");
}

void weft_open_task(lua_State *L) {
  weft_set_functions(L, functions, NULL);
  open_layout(L);
}
