/* SPDX-License-Identifier: MIT */
/*
 * bind/l_tty.c: terminals for Lua. A terminal in raw mode is a userdata, so
 * that it is set back at the latest when the lua_State is closed.
 */
#include "bind/lutil.h"

#include <unistd.h>
#include <uv.h>

#include "net/tty.h"

static int push_failure(lua_State *L, int rc) {
  lua_pushnil(L);
  lua_pushstring(L, uv_err_name(rc));
  lua_pushstring(L, uv_strerror(rc));
  return 3;
}

static int l_tty_is(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* tty_size(fd) -> columns, rows; or nil, code, message */
static int l_tty_size(lua_State *L) {
  int columns, rows;
  int rc = weft_tty_size((int)luaL_checkinteger(L, 1), &columns, &rows);
  if (rc != 0)
    return push_failure(L, rc);
  lua_pushinteger(L, columns);
  lua_pushinteger(L, rows);
  return 2;
}

/* tty_raw(fd) -> guard; or nil, code, message */
static int l_tty_raw(lua_State *L) {
  struct weft_tty **box = weft_lua_newuserdata(L, sizeof(*box));
  int rc;
  *box = NULL;
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  *box = weft_tty_raw((int)luaL_checkinteger(L, 1), &rc);
  return *box != NULL ? 1 : push_failure(L, rc);
}

int l_tty__gc(lua_State *L) {
  struct weft_tty **box = lua_touserdata(L, 1), *tty = *box;
  *box = NULL;
  if (tty != NULL)
    weft_tty_restore(tty);
  return 0;
}

/* tty_restore(guard) -> whether it was raw */
static int l_tty_restore(lua_State *L) {
  struct weft_tty **box = weft_check_self(L, "raw mode");
  lua_pushboolean(L, *box != NULL);
  l_tty__gc(L);
  return 1;
}

/* tty_is_raw(guard) */
static int l_tty_is_raw(lua_State *L) {
  struct weft_tty **box = weft_check_self(L, "raw mode");
  lua_pushboolean(L, *box != NULL);
  return 1;
}

static const luaL_Reg functions[] = {
    {"tty_is", l_tty_is},         {"tty_size", l_tty_size},
    {"tty_raw", l_tty_raw},       {"tty_restore", l_tty_restore},
    {"tty_is_raw", l_tty_is_raw}, {NULL, NULL},
};

void weft_open_tty(lua_State *L) {
  weft_set_functions(L, functions, "weft.RawMode");
}
