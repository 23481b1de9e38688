/* SPDX-License-Identifier: MIT */
/*
 * bind/lutil.c: see lutil.h.
 * Metatables of hot classes are compared with upvalues, others by name.
 */
#include "bind/lutil.h"

static int has_metatable(lua_State *L, int idx, int which) {
  int is;
  if (!lua_getmetatable(L, idx))
    return 0;
  is = lua_rawequal(L, -1, which);
  lua_pop(L, 1);
  return is;
}

struct weft_future *weft_to_future(lua_State *L, int idx) {
  void *udata = lua_touserdata(L, idx);
  if (udata == NULL || (!has_metatable(L, idx, WEFT_UPVALUE_TASK) &&
                        !has_metatable(L, idx, WEFT_UPVALUE_FUTURE)))
    return NULL;
  return udata;
}

struct weft_future *weft_check_future(lua_State *L, int idx) {
  struct weft_future *f = weft_to_future(L, idx);
  if (f == NULL)
    weft_raise_kind(L, "type", "a task or a future expected, got %s",
                    luaL_typename(L, idx));
  return f;
}

struct weft_task *weft_check_task(lua_State *L, int idx) {
  struct weft_future *f = weft_to_future(L, idx);
  if (f == NULL || f->node.kind != WEFT_KIND_TASK)
    weft_raise_kind(L, "type", "a task expected, got %s",
                    f != NULL ? "a future" : luaL_typename(L, idx));
  return (struct weft_task *)f;
}

void *weft_check_udata(lua_State *L, int idx, const char *name) {
  void *udata = lua_touserdata(L, idx);
  if (udata != NULL && lua_getmetatable(L, idx)) {
    int is;
    lua_getfield(L, LUA_REGISTRYINDEX, name);
    is = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (is)
      return udata;
  }
  weft_raise_kind(L, "type", "a %s expected, got %s", name + 5,
                  luaL_typename(L, idx));
  return NULL;
}

void *weft_check_self(lua_State *L, const char *what) {
  void *udata = lua_touserdata(L, 1);
  if (udata == NULL || !has_metatable(L, 1, WEFT_UPVALUE_CLASS))
    weft_raise_kind(L, "type", "a %s expected, got %s", what,
                    luaL_typename(L, 1));
  return udata;
}

struct weft_loop *weft_check_loop(lua_State *L, int idx) {
  return weft_check_udata(L, idx, "weft.Loop");
}

lua_Number weft_check_number(lua_State *L, int idx, const char *what) {
  if (lua_type(L, idx) != LUA_TNUMBER)
    weft_raise_kind(L, "type", "%s must be a number, got %s", what,
                    luaL_typename(L, idx));
  return lua_tonumber(L, idx);
}

struct weft_loop *weft_current_loop(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  struct weft_loop *loop = vm->loop;
  if (loop != NULL)
    return loop;
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.default_loop");
  lua_call(L, 0, 1);
  loop = weft_check_loop(L, -1);
  lua_pop(L, 1); /* its module keeps it */
  return loop;
}

void weft_push_loop(lua_State *L, struct weft_loop *loop) {
  lua_getfield(loop->home, WEFT_HOME_ROOT, "loop");
  lua_xmove(loop->home, L, 1);
}

void weft_push_task(lua_State *L, struct weft_task *task) {
  lua_State *home = task->future.node.loop->home;
  lua_rawgeti(home, WEFT_HOME_ANCHORS, (int)task->slot);
  lua_xmove(home, L, 1);
}

uint64_t weft_to_ns(lua_Number seconds) {
  if (!(seconds > 0))
    return 0;
  return seconds < 9e9 ? (uint64_t)(seconds * 1e9 + 0.5) : UINT64_MAX;
}

int weft_refuse(lua_State *L, int rc) {
  if (rc != WEFT_EINTERRUPTED)
    return weft_raise(L, rc);
  lua_pushboolean(L, 0);
  return 1;
}

int weft_check_park(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  int rc = weft_task_check(vm, L);
  return rc == 0 ? weft_task_check_park(vm, L) : rc;
}

void weft_set_functions(lua_State *L, const luaL_Reg *functions,
                        const char *name) {
  struct weft_vm *vm;
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.vm");
  vm = lua_touserdata(L, -1);
  lua_pop(L, 1);
  for (; functions->name != NULL; functions++) {
    lua_pushlightuserdata(L, vm);
    lua_getfield(L, LUA_REGISTRYINDEX, "weft.Task");
    lua_getfield(L, LUA_REGISTRYINDEX, "weft.Future");
    if (name != NULL)
      lua_getfield(L, LUA_REGISTRYINDEX, name);
    else
      lua_pushnil(L);
    lua_pushcclosure(L, functions->func, 4);
    lua_setfield(L, -2, functions->name);
  }
}

void weft_new_class(lua_State *L, const char *name, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  if (gc != NULL) {
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setfield(L, -2, name + 5); /* "weft.Task" as "Task" */
}
