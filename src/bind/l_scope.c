/* SPDX-License-Identifier: MIT */
/*
 * bind/l_scope.c: scopes for Lua: time limits and shields of the running task.
 * Which error comes out of an expired scope is decided in weft.scope.
 */
#include "bind/lutil.h"

#include "base/err.h"

static uint64_t to_deadline(lua_State *L, int idx) {
  return lua_isnoneornil(L, idx)
             ? UINT64_MAX
             : weft_to_ns(weft_check_number(L, idx, "the time"));
}

/* A scope in a generator that is forgotten half-way is left by its finalizer;
 * until that has run, its coroutine must not be freed: a new one at the same
 * address would be taken for it. [-0, +0, m] */
static void keep_coroutine(lua_State *L) {
  lua_createtable(L, 1, 0);
  lua_pushthread(L);
  lua_rawseti(L, -2, 1);
  weft_lua_settable_of(L, -2);
}

static struct weft_scope *new_scope(lua_State *L) {
  struct weft_scope *scope = weft_lua_newuserdata(L, sizeof(*scope));
  scope->task = NULL;
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  return scope;
}

/* scope(when or nil, is_shield, spare) -> scope, entered in the running task;
 * `spare` is nil or one that was left, to be used again */
static int l_scope_enter(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  uint64_t deadline = to_deadline(L, 1);
  struct weft_scope *scope;
  if (vm->task == NULL)
    return weft_raise(L, WEFT_ENOTASK);
  lua_settop(L, 3);
  scope = lua_touserdata(L, 3);
  if (scope == NULL || scope->task != NULL)
    scope = new_scope(L);
  if (weft_co_parent(vm->task, L) != NULL)
    keep_coroutine(L);
  if (weft_scope_enter(scope, vm->task, L, deadline, lua_toboolean(L, 2)) != 0)
    return luaL_error(L, "not enough memory");
  return 1;
}

/* scope_leave(scope) -> whether it expired */
static int l_scope_leave(lua_State *L) {
  struct weft_scope *scope = weft_check_self(L, "scope");
  weft_scope_leave(scope);
  lua_pushboolean(L, scope->has_expired);
  return 1;
}

int l_scope__gc(lua_State *L) {
  weft_scope_leave(lua_touserdata(L, 1));
  return 0;
}

/* scope_is(scope, light): whether `interruption` meant this one */
static int l_scope_is(lua_State *L) {
  lua_pushboolean(L, lua_touserdata(L, 1) == lua_touserdata(L, 2));
  return 1;
}

/* scope_reschedule(scope, when or nil) */
static int l_scope_reschedule(lua_State *L) {
  struct weft_scope *scope = weft_check_self(L, "scope");
  if (weft_scope_reschedule(scope, to_deadline(L, 2)) != 0)
    return luaL_error(L, "not enough memory");
  return 0;
}

/* deadline() -> the nearest deadline in force, or nil */
static int l_scope_deadline(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  uint64_t deadline =
      vm->task != NULL ? weft_scope_deadline(vm->task, L) : UINT64_MAX;
  if (deadline == UINT64_MAX)
    return 0;
  lua_pushnumber(L, (lua_Number)deadline / 1e9);
  return 1;
}

static const luaL_Reg functions[] = {
    {"scope", l_scope_enter},       {"scope_leave", l_scope_leave},
    {"scope_is", l_scope_is},       {"scope_reschedule", l_scope_reschedule},
    {"deadline", l_scope_deadline}, {NULL, NULL},
};

void weft_open_scope(lua_State *L) {
  weft_set_functions(L, functions, "weft.Scope");
}
