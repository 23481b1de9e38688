/* SPDX-License-Identifier: MIT */
/*
 * bind/l_loop.c: the event loop for Lua: mechanism only; run, deadlock reports
 * and clean-up are weft.loop's and weft.runner's.
 */
#include "bind/lutil.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/err.h"

static struct weft_loop *check_open(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  if (!loop->is_open)
    weft_raise(L, WEFT_ECLOSED);
  return loop;
}

/* loop_new(report) -> loop */
static int l_loop_new(lua_State *L) {
  static const char *const things[] = {"weft.gate",    "weft.Task",
                                       "weft.Future",  "weft.Callback",
                                       "weft.Failure", "weft.Error"};
  struct weft_loop *loop;
  int i, rc;
  lua_settop(L, 0);
  for (i = 0; i < 6; i++)
    lua_getfield(L, LUA_REGISTRYINDEX, things[i]);
  loop = weft_lua_newuserdata(L, sizeof(*loop)); /* things... loop */
  memset(loop, 0, sizeof(*loop));
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.Loop");
  lua_setmetatable(L, -2);
  rc = weft_loop_open(loop, L, weft_vm_of(L), 1);
  if (rc != 0)
    return weft_raise(L, rc);
  return 1;
}

/* A loop that is in a turn is collected only when the lua_State is closed from
 * inside a task (os.exit): no code of the turn will run again. */
int l_loop__gc(lua_State *L) {
  struct weft_loop *loop = lua_touserdata(L, 1);
  if (loop->in_turn)
    weft_loop_leave(loop);
  weft_loop_close(loop);
  return 0;
}

/* loop_close(loop) */
static int l_loop_close(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  if (loop->in_turn)
    return weft_raise_kind(L, "state", "cannot close a running event loop");
  weft_loop_close(loop);
  return 0;
}

/* loop_check(loop): raises unless it can be run now */
static int l_loop_check(lua_State *L) {
  int rc = weft_loop_check(weft_check_loop(L, 1));
  return rc != 0 ? weft_raise(L, rc) : 0;
}

static int protected_run(lua_State *L) {
  struct weft_loop *loop = lua_touserdata(L, 1);
  struct weft_future *until = lua_touserdata(L, 2);
  static const char *const ends[] = {"stopped", "done", "idle"};
  int rc = weft_loop_run(loop, L, until != NULL ? &until->node : NULL,
                         lua_toboolean(L, 3));
  if (rc < 0)
    return weft_raise(L, rc);
  lua_pushstring(L, ends[rc]);
  return 1;
}

static int protected_turn(lua_State *L) {
  struct weft_loop *loop = lua_touserdata(L, 1);
  int rc = weft_loop_turn(loop, L, lua_toboolean(L, 2));
  if (rc < 0)
    return weft_raise(L, rc);
  return 0;
}

/* Calls the function with all arguments; an error leaves the loop usable. */
static int run_protected(lua_State *L, lua_CFunction function) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  int rc = weft_loop_check(loop);
  if (rc != 0)
    return weft_raise(L, rc);
  lua_pushcfunction(L, function);
  lua_insert(L, 1);
  if (lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0) != 0) {
    weft_loop_leave(loop);
    return lua_error(L);
  }
  return lua_gettop(L);
}

/* loop_run(loop, future or nil, forever) -> "stopped", "done" or "idle" */
static int l_loop_run(lua_State *L) {
  lua_settop(L, 3);
  if (!lua_isnil(L, 2))
    weft_check_future(L, 2);
  return run_protected(L, protected_run);
}

/* loop_turn(loop, block) */
static int l_loop_turn(lua_State *L) {
  lua_settop(L, 2);
  return run_protected(L, protected_turn);
}

/* loop_stop(loop) */
static int l_loop_stop(lua_State *L) {
  struct weft_loop *loop = check_open(L);
  loop->is_stopping = 1;
  if (!loop->in_turn)
    weft_loop_notify(loop);
  return 0;
}

/* loop_state(loop) -> "closed", "forked" (the parent process's), "running" or
 * "open" */
static int l_loop_state(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  lua_pushstring(L, !loop->is_open                ? "closed"
                    : loop->pid != (long)getpid() ? "forked"
                    : loop->in_turn               ? "running"
                                                  : "open");
  return 1;
}

/* loop_time(loop) -> seconds */
static int l_loop_time(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  lua_pushnumber(L, (lua_Number)weft_loop_now(loop) / 1e9);
  return 1;
}

/* loop_fileno(loop) -> descriptor */
static int l_loop_fileno(lua_State *L) {
  lua_pushinteger(L, uv_backend_fd(&check_open(L)->uv));
  return 1;
}

/* loop_next_timeout(loop) -> seconds or nil */
static int l_loop_next_timeout(lua_State *L) {
  uint64_t ns = weft_loop_next_timeout(check_open(L));
  if (ns == UINT64_MAX)
    return 0;
  lua_pushnumber(L, (lua_Number)ns / 1e9);
  return 1;
}

/* loop_alive(loop) -> boolean: unfinished tasks, timers or handles */
static int l_loop_alive(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  lua_pushboolean(L, loop->is_open &&
                         (loop->tasks > 0 || weft_loop_can_wake(loop)));
  return 1;
}

/* loop_can_wake(loop) -> boolean: whether something can wake a parked task */
static int l_loop_can_wake(lua_State *L) {
  lua_pushboolean(L, weft_loop_can_wake(check_open(L)));
  return 1;
}

/* loop_set(loop, name, value): "debug", "slow", "virtual", "gc_stress",
 * "report" (a function), "wakeup" (a function or nil), "has_wakeup" */
static int l_loop_set(lua_State *L) {
  struct weft_loop *loop = check_open(L);
  const char *name = luaL_checkstring(L, 2);
  lua_settop(L, 3);
  if (strcmp(name, "debug") == 0) {
    loop->is_debugging = (uint8_t)lua_toboolean(L, 3);
  } else if (strcmp(name, "slow") == 0) {
    loop->slow = weft_check_number(L, 3, "slow_callback_duration");
  } else if (strcmp(name, "virtual") == 0) {
    loop->is_virtual = (uint8_t)lua_toboolean(L, 3);
  } else if (strcmp(name, "gc_stress") == 0) {
    loop->gc_every_step = (uint8_t)lua_toboolean(L, 3);
  } else if (strcmp(name, "wakeup") == 0) {
    loop->has_wakeup = (uint8_t)lua_toboolean(L, 3);
  } else if (strcmp(name, "report") == 0) {
    lua_xmove(L, loop->home, 1);
    lua_replace(loop->home, WEFT_HOME_REPORT);
  } else {
    return weft_raise_kind(L, "type", "no loop setting '%s'", name);
  }
  return 0;
}

/* loop_trap(loop, task or nil, n): cancels the task at its n-th wait from now,
 * or whichever task is at the n-th wait of all */
static int l_loop_trap(lua_State *L) {
  struct weft_loop *loop = check_open(L);
  loop->trapped = lua_isnil(L, 2) ? NULL : weft_check_task(L, 2);
  loop->trap_count = (uint32_t)luaL_checkinteger(L, 3);
  return 0;
}

/* loop_trap_left(loop) -> waits until the trap springs; 0 if it did */
static int l_loop_trap_left(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_open(L)->trap_count);
  return 1;
}

/* loop_is_quiet(loop) -> whether nothing is ready to run */
static int l_loop_is_quiet(lua_State *L) {
  struct weft_loop *loop = check_open(L);
  lua_pushboolean(L, weft_list_is_empty(&loop->ready) &&
                         weft_list_is_empty(&loop->batch));
  return 1;
}

/* loop_get(loop, name): "debug", "slow" */
static int l_loop_get(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  if (strcmp(luaL_checkstring(L, 2), "debug") == 0)
    lua_pushboolean(L, loop->is_debugging);
  else
    lua_pushnumber(L, loop->slow);
  return 1;
}

/* loop_unretrieved(loop) -> the weak set of failures nobody looked at */
static int l_loop_unretrieved(lua_State *L) {
  struct weft_loop *loop = check_open(L);
  lua_pushvalue(loop->home, WEFT_HOME_UNRETRIEVED);
  lua_xmove(loop->home, L, 1);
  return 1;
}

/* loop_root(loop) -> the table that tasks share and that lives as the loop */
static int l_loop_root(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_xmove(loop->home, L, 1);
  return 1;
}

static int by_id(const void *a, const void *b) {
  uint32_t i = (*(struct weft_node *const *)a)->id;
  uint32_t j = (*(struct weft_node *const *)b)->id;
  return i < j ? -1 : i > j;
}

/* loop_tasks(loop) -> list of live tasks, in order of creation */
static int l_loop_tasks(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  struct weft_node **nodes =
      lua_newuserdata(L, (loop->tasks + 1) * sizeof(*nodes));
  uint32_t slot, n = 0, i;
  for (slot = 1; slot <= loop->slot_top && n < loop->tasks; slot++) {
    struct weft_node *node = weft_loop_anchored(loop, slot);
    if (node != NULL && node->kind == WEFT_KIND_TASK)
      nodes[n++] = node;
  }
  qsort(nodes, n, sizeof(*nodes), by_id); /* slots are used again */
  lua_createtable(L, (int)n, 0);
  for (i = 0; i < n; i++) {
    weft_push_task(L, (struct weft_task *)(void *)nodes[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

/* Not one that is closing, which is nobody's any more; nor that by which a
 * loop's own threads wake it, which lives as the loop does. */
static void on_count(uv_handle_t *handle, void *arg) {
  *(int *)arg += !uv_is_closing(handle) && handle->type != UV_ASYNC;
}

static void set_count(lua_State *L, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, -2, name);
}

/* loop_statistics(loop) -> table of counts */
static int l_loop_statistics(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  int handles = 0;
  lua_newtable(L);
  if (loop->is_open)
    uv_walk(&loop->uv, on_count, &handles);
  set_count(L, "tasks", loop->tasks);
  set_count(L, "timers", loop->timers.count);
  set_count(L, "handles", handles > 0 ? handles - 1 : 0); /* less our timer */
  set_count(L, "requests",
            loop->is_open ? (lua_Integer)loop->uv.active_reqs.count : 0);
  set_count(L, "threads", loop->pool_count);
  set_count(L, "created", loop->last_id);
  set_count(L, "steps", (lua_Integer)loop->steps);
  return 1;
}

/* failure_report(failure): as if it were collected now */
static int l_failure_report(lua_State *L) {
  weft_check_udata(L, 1, "weft.Failure");
  return l_failure__gc(L);
}

/* default_loop() -> the running loop or the default one */
static int l_loop_default(lua_State *L) {
  weft_push_loop(L, weft_current_loop(L));
  return 1;
}

/* The collector's word that nobody will look at an error any more. While the
 * loop runs, its next turn reports; else there is no better time than now. */
int l_failure__gc(lua_State *L) {
  struct weft_failure *failure = lua_touserdata(L, 1);
  struct weft_loop *loop = failure->loop;
  if (failure->retrieved || !loop->is_open)
    return 0;
  failure->retrieved = 1;
  luaL_checkstack(L, 6, NULL);
  weft_lua_gettable_of(L, 1); /* failure extra */
  if (loop->in_turn) {
    lua_pushvalue(loop->home, WEFT_HOME_ROOT);
    lua_xmove(loop->home, L, 1);
    lua_getfield(L, -1, "lost"); /* extra root lost */
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_newtable(L);
      lua_pushvalue(L, -1);
      lua_setfield(L, -3, "lost");
    }
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, (int)weft_lua_objlen(L, -2) + 1);
    loop->has_reports = 1;
  } else {
    lua_pushliteral(L, "unretrieved");
    lua_insert(L, -2);
    weft_loop_report(loop, L, 2);
  }
  return 0;
}

static const luaL_Reg functions[] = {
    {"loop_new", l_loop_new},
    {"loop_close", l_loop_close},
    {"loop_check", l_loop_check},
    {"loop_run", l_loop_run},
    {"loop_turn", l_loop_turn},
    {"loop_stop", l_loop_stop},
    {"loop_state", l_loop_state},
    {"loop_time", l_loop_time},
    {"loop_fileno", l_loop_fileno},
    {"loop_next_timeout", l_loop_next_timeout},
    {"loop_alive", l_loop_alive},
    {"loop_can_wake", l_loop_can_wake},
    {"loop_set", l_loop_set},
    {"loop_get", l_loop_get},
    {"loop_trap", l_loop_trap},
    {"loop_trap_left", l_loop_trap_left},
    {"loop_is_quiet", l_loop_is_quiet},
    {"loop_unretrieved", l_loop_unretrieved},
    {"loop_root", l_loop_root},
    {"loop_tasks", l_loop_tasks},
    {"loop_statistics", l_loop_statistics},
    {"default_loop", l_loop_default},
    {"failure_report", l_failure_report},
    {NULL, NULL},
};

void weft_open_loop(lua_State *L) {
  weft_set_functions(L, functions, "weft.Loop");
}
