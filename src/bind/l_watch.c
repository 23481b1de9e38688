/* SPDX-License-Identifier: MIT */
/*
 * bind/l_watch.c: watching files for Lua.
 *
 * Owns: struct l_watch, the userdata, and which task waits for an event. The
 * event that woke a task is its own from then on.
 */
#include "bind/lutil.h"

#include <string.h>

#include "base/err.h"
#include "net/fswatch.h"

struct l_watch {
  struct weft_fswatch *watch; /* NULL: closed */
  struct weft_loop *loop;     /* kept by the userdata's table */
  struct weft_task *task;     /* who waits, until it runs again */
};

static void wake(struct l_watch *w) {
  if (w->task != NULL && w->task->future.node.state == WEFT_PARKED)
    weft_task_wake(w->task);
}

static void on_event(void *owner) {
  struct l_watch *w = owner;
  if (w->watch->error == UV_ECANCELED) /* the loop closes */
    w->watch = NULL;
  wake(w);
}

static struct l_watch *check_watch(lua_State *L) {
  return weft_check_self(L, "watch");
}

/* watch_new(path, max) -> watch; or nil, code, message */
static int l_watch_new(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  uint32_t max = (uint32_t)luaL_checkinteger(L, 2);
  struct weft_loop *loop = weft_current_loop(L);
  struct l_watch *w = weft_lua_newuserdata(L, sizeof(*w));
  int rc;
  memset(w, 0, sizeof(*w));
  w->loop = loop;
  lua_newtable(L); /* [0]: root, which keeps the loop */
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_xmove(loop->home, L, 1);
  lua_rawseti(L, -2, 0);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "path");
  weft_lua_settable_of(L, -2);
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  w->watch =
      weft_fswatch_open(&loop->uv, &loop->vm->mem, path, max, on_event, w, &rc);
  if (w->watch != NULL)
    return 1;
  lua_pushnil(L);
  lua_pushstring(L, uv_err_name(rc));
  lua_pushstring(L, uv_strerror(rc));
  return 3;
}

static void close_watch(struct l_watch *w) {
  if (w->watch != NULL)
    weft_fswatch_close(w->watch);
  w->watch = NULL;
}

int l_watch__gc(lua_State *L) {
  close_watch(lua_touserdata(L, 1));
  return 0;
}

/* watch_close(watch): who waits is woken */
static int l_watch_close(lua_State *L) {
  struct l_watch *w = check_watch(L);
  close_watch(w);
  wake(w);
  return 0;
}

/* watch_path(watch) -> path, whether it is open */
static int l_watch_path(lua_State *L) {
  struct l_watch *w = check_watch(L);
  weft_lua_gettable_of(L, 1);
  lua_getfield(L, -1, "path");
  lua_pushboolean(L, w->watch != NULL);
  return 2;
}

/* true, kind, name; true, nil, code, message; or true alone: closed */
static int push_event(struct l_watch *w, lua_State *L) {
  static const char *const kinds[] = {"change", "rename", "overflow"};
  struct weft_fsevent *event =
      w->watch != NULL ? weft_fswatch_take(w->watch) : NULL;
  lua_pushboolean(L, 1);
  if (event != NULL) {
    lua_pushstring(L, kinds[event->kind]);
    lua_pushstring(L, event->name);
    weft_fswatch_drop(w->watch, event);
    return 3;
  }
  if (w->watch == NULL)
    return 1;
  lua_pushnil(L);
  lua_pushstring(L, uv_err_name(w->watch->error));
  lua_pushstring(L, uv_strerror(w->watch->error));
  return 4;
}

static void leave(struct weft_task *task) {
  struct l_watch *w = task->future.u.target;
  w->task = NULL;
  if (w->watch != NULL)
    weft_fswatch_want(w->watch, 0);
}

static int push_next(struct weft_task *task, lua_State *co) {
  leave(task);
  return push_event(task->future.u.target, co);
}

static const struct weft_op_class op_next = {"watch", leave, push_next, NULL};

/* watch_next(watch) */
static int l_watch_next(lua_State *L) {
  struct l_watch *w = check_watch(L);
  struct weft_task *task = weft_vm_of(L)->task;
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (w->task != NULL)
    return weft_raise_kind(L, "state", "another task waits here already");
  if (w->watch == NULL || w->watch->count > 0 || w->watch->error != 0)
    return push_event(w, L);
  if (w->loop != weft_vm_of(L)->loop)
    return weft_raise(L, WEFT_EOTHERLOOP);
  weft_fswatch_want(w->watch, 1);
  w->task = task;
  task->future.u.target = w;
  return weft_task_park(task, L, &op_next, 1);
}

static const luaL_Reg functions[] = {
    {"watch_new", l_watch_new},
    {"watch_close", l_watch_close},
    {"watch_path", l_watch_path},
    {"watch_next", l_watch_next},
    {NULL, NULL},
};

void weft_open_watch(lua_State *L) {
  weft_set_functions(L, functions, "weft.Watch");
}
