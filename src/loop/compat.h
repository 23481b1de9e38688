/* SPDX-License-Identifier: MIT */
/*
 * loop/compat.h: the few places where LuaJIT's C API (that of Lua 5.1 with
 * additions) and PUC Lua 5.4's differ. Owns nothing; everything else in weft
 * is written once.
 */
#ifndef WEFT_LOOP_COMPAT_H
#define WEFT_LOOP_COMPAT_H

#include <lauxlib.h>
#include <lua.h>

#if LUA_VERSION_NUM >= 504

/* Resumes `co` with its top `nargs` values; *nres values are then on its top.
 * [co: -(nargs), +nres] Never raises. */
static inline int weft_lua_resume(lua_State *co, lua_State *from, int nargs,
                                  int *nres) {
  return lua_resume(co, from, nargs, nres);
}

/* A new userdata that can carry one table beside its bytes. [-0, +1, m] */
static inline void *weft_lua_newuserdata(lua_State *L, size_t size) {
  return lua_newuserdatauv(L, size, 1);
}

/* The table of the userdata at idx. [-0, +1, -] */
static inline void weft_lua_gettable_of(lua_State *L, int idx) {
  lua_getiuservalue(L, idx, 1);
}

/* Sets the table of the userdata at idx to the one on the top. [-1, +0, -] */
static inline void weft_lua_settable_of(lua_State *L, int idx) {
  lua_setiuservalue(L, idx, 1);
}

#define weft_lua_absindex lua_absindex
#define weft_lua_objlen lua_rawlen

#else

static inline int weft_lua_resume(lua_State *co, lua_State *from, int nargs,
                                  int *nres) {
  int status = lua_resume(co, nargs);
  (void)from;
  *nres = lua_gettop(co); /* weft resumes no coroutine with values beneath */
  return status;
}

static inline void *weft_lua_newuserdata(lua_State *L, size_t size) {
  return lua_newuserdata(L, size);
}

static inline void weft_lua_gettable_of(lua_State *L, int idx) {
  lua_getfenv(L, idx);
}

static inline void weft_lua_settable_of(lua_State *L, int idx) {
  lua_setfenv(L, idx);
}

static inline int weft_lua_absindex(lua_State *L, int idx) {
  return idx > 0 || idx <= LUA_REGISTRYINDEX ? idx : lua_gettop(L) + idx + 1;
}

#define weft_lua_objlen lua_objlen
#define LUA_OK 0

#endif

#endif
