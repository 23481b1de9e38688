/* SPDX-License-Identifier: MIT */
/*
 * bind/l_latch.c: latches for Lua: waiting for many futures at once. As in
 * l_task.c, a function that waits returns true, or false.
 */
#include "bind/lutil.h"

#include "base/err.h"

static struct weft_latch *check_latch(lua_State *L) {
  return weft_check_self(L, "latch");
}

/* latch(futures) -> latch, which keeps the (still empty) table of futures */
static int l_latch_new(lua_State *L) {
  struct weft_loop *loop = weft_current_loop(L);
  struct weft_latch *latch;
  luaL_checktype(L, 1, LUA_TTABLE);
  latch = weft_lua_newuserdata(L, sizeof(*latch));
  weft_latch_init(latch, loop);
  lua_pushvalue(L, 1);
  weft_lua_settable_of(L, -2);
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  return 1;
}

int l_latch__gc(lua_State *L) {
  weft_latch_close(lua_touserdata(L, 1));
  return 0;
}

/* latch_add(latch, future, index): futures[index] = future, and watches it */
static int l_latch_add(lua_State *L) {
  struct weft_latch *latch = check_latch(L);
  struct weft_future *future = weft_check_future(L, 2);
  lua_Integer index = luaL_checkinteger(L, 3);
  if (future->node.loop != latch->loop)
    return weft_raise(L, WEFT_EOTHERLOOP);
  weft_lua_gettable_of(L, 1);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, (int)index);
  if (weft_latch_add(latch, future, (uint32_t)index) != 0)
    return luaL_error(L, "not enough memory");
  return 0;
}

static const char *const untils[] = {"all", "failure", "raised", "any", NULL};

/* latch_wait(latch, "all" | "failure" | "raised" | "any" [, shielded]) */
static int l_latch_wait(lua_State *L) {
  struct weft_latch *latch = check_latch(L);
  enum weft_until until =
      (enum weft_until)luaL_checkoption(L, 2, "all", untils);
  int is_shielded = lua_toboolean(L, 3), rc;
  if (weft_vm_of(L)->task == NULL)
    return weft_raise(L, WEFT_ENOTASK);
  rc = is_shielded ? 0 : weft_task_check(weft_vm_of(L), L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (weft_latch_is_open(latch, until)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  rc = weft_task_check_park(weft_vm_of(L), L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (latch->task != NULL)
    return weft_raise_kind(L, "state", "another task waits here already");
  return weft_latch_park(latch, weft_vm_of(L)->task, L, until);
}

/* latch_take(latch) -> index of the next completed future, or nil */
static int l_latch_take(lua_State *L) {
  uint32_t index = weft_latch_take(check_latch(L));
  if (index == 0)
    return 0;
  lua_pushinteger(L, (lua_Integer)index);
  return 1;
}

/* latch_futures(latch) -> the table of futures */
static int l_latch_futures(lua_State *L) {
  check_latch(L);
  weft_lua_gettable_of(L, 1);
  return 1;
}

/* latch_counts(latch) -> pending, completed and not taken, failed ever */
static int l_latch_counts(lua_State *L) {
  struct weft_latch *latch = check_latch(L);
  lua_pushinteger(L, (lua_Integer)latch->npending);
  lua_pushinteger(L, (lua_Integer)latch->ncompleted);
  lua_pushinteger(L, (lua_Integer)latch->nfailed);
  return 3;
}

/* latch_close(latch): stops watching; who is parked on it goes on */
static int l_latch_close(lua_State *L) {
  struct weft_latch *latch = check_latch(L);
  weft_latch_close(latch);
  weft_latch_wake(latch);
  return 0;
}

static const luaL_Reg functions[] = {
    {"latch", l_latch_new},
    {"latch_add", l_latch_add},
    {"latch_wait", l_latch_wait},
    {"latch_take", l_latch_take},
    {"latch_futures", l_latch_futures},
    {"latch_counts", l_latch_counts},
    {"latch_close", l_latch_close},
    {NULL, NULL},
};

void weft_open_latch(lua_State *L) {
  weft_set_functions(L, functions, "weft.Latch");
}
