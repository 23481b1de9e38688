/* SPDX-License-Identifier: MIT */
/*
 * loop/raise.c: see raise.h. The Lua function is in the registry under the
 * address of `key`, as it is needed where no loop is at hand.
 */
#include "loop/raise.h"

#include <stdarg.h>
#include <string.h>
#include <uv.h>

#include "base/err.h"

static const char key;
static const char pending_key;

static void push_key(lua_State *L, const char *address) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)address);
}

void weft_raise_set(lua_State *L) {
  push_key(L, &key);
  lua_insert(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

/* [L: message on top] */
static int raise_message(lua_State *L, const char *kind, const char *code) {
  luaL_checkstack(L, 5, NULL);
  push_key(L, &key);
  lua_rawget(L, LUA_REGISTRYINDEX); /* message raise */
  if (!lua_isfunction(L, -1)) {
    lua_pop(L, 1);
    return lua_error(L);
  }
  lua_pushstring(L, kind);
  lua_pushstring(L, code);
  lua_pushvalue(L, -4); /* message raise kind code message */
  lua_call(L, 3, 0);
  return luaL_error(L, "weft: the raise function returned");
}

int weft_raise(lua_State *L, int code) {
  const char *name = weft_err_name(code);
  luaL_checkstack(L, 2, NULL);
  if (name != NULL) {
    lua_pushstring(L, weft_err_message(code));
    return raise_message(L, weft_err_kind(code), name);
  }
  if (code == UV_ENOMEM)
    return luaL_error(L, "not enough memory");
  lua_pushstring(L, uv_strerror(code));
  return raise_message(L, "os", uv_err_name(code));
}

int weft_raise_kind(lua_State *L, const char *kind, const char *format, ...) {
  va_list args;
  luaL_checkstack(L, 2, NULL);
  va_start(args, format);
  lua_pushvfstring(L, format, args);
  va_end(args);
  return raise_message(L, kind, NULL);
}

static int protected_raise(lua_State *L) {
  return weft_raise(L, (int)lua_tointeger(L, 1));
}

void weft_raise_push(lua_State *L, int code) {
  luaL_checkstack(L, 2, NULL);
  lua_pushcfunction(L, protected_raise);
  lua_pushinteger(L, code);
  (void)lua_pcall(L, 1, 0, 0);
}

/* A debug hook that raises at the coroutine's next instruction is the one way
 * to make a plain coroutine.yield fail. The hook that was there is put back. */
struct pending {
  lua_Hook hook;
  int mask, count, code;
};

static int restore_hook(lua_State *L) {
  struct pending pending;
  luaL_checkstack(L, 1, NULL);
  push_key(L, &pending_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
  memcpy(&pending, lua_touserdata(L, -1), sizeof(pending));
  lua_pop(L, 1);
  lua_sethook(L, pending.hook, pending.mask, pending.count);
  return pending.code;
}

static void on_instruction(lua_State *L, lua_Debug *ar) {
  (void)ar;
  weft_raise(L, restore_hook(L));
}

void weft_raise_in(lua_State *co, int code) {
  struct pending *pending;
  luaL_checkstack(co, 3, NULL);
  push_key(co, &pending_key);
  pending = lua_newuserdata(co, sizeof(*pending));
  pending->hook = lua_gethook(co);
  pending->mask = lua_gethookmask(co);
  pending->count = lua_gethookcount(co);
  pending->code = code;
  lua_rawset(co, LUA_REGISTRYINDEX);
  lua_sethook(co, on_instruction, LUA_MASKCOUNT, 1);
}

void weft_raise_undo(lua_State *co) {
  if (lua_gethook(co) == on_instruction)
    restore_hook(co);
}
