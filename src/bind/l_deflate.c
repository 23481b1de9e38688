/* SPDX-License-Identifier: MIT */
/*
 * bind/l_deflate.c: compressing, for Lua: what weft.http does with the body of
 * a request.
 *
 * Owns: the userdata, a box with a struct weft_deflate, which is freed as soon
 * as the last piece is out. It must not know what is compressed.
 */
#include "bind/lutil.h"

#include "proto/deflate.h"

int l_deflater__gc(lua_State *L) {
  struct weft_deflate **box = lua_touserdata(L, 1);
  weft_deflate_close(*box);
  *box = NULL;
  return 0;
}

/* deflater(coding: "gzip" or "deflate") */
static int l_deflater(lua_State *L) {
  static const char *const codings[] = {"deflate", "gzip", NULL};
  int is_gzip = luaL_checkoption(L, 1, NULL, codings);
  struct weft_deflate **box = weft_lua_newuserdata(L, sizeof(*box));
  *box = NULL;
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  if (weft_deflate_open(box, &weft_vm_of(L)->mem, is_gzip) != 0)
    return luaL_error(L, "not enough memory");
  return 1;
}

/* deflate(deflater, data, is_last) -> what is compressed by now; nil after the
 * last piece */
static int l_deflate(lua_State *L) {
  struct weft_deflate **box = weft_check_self(L, "deflater");
  size_t size;
  const char *data = luaL_checklstring(L, 2, &size);
  int is_last = lua_toboolean(L, 3);
  luaL_Buffer buffer;
  char out[8192];
  ssize_t n;
  if (*box == NULL)
    return 0;
  luaL_buffinit(L, &buffer);
  weft_deflate_feed(*box, data, size, is_last);
  while ((n = weft_deflate_read(*box, out, sizeof(out))) > 0)
    luaL_addlstring(&buffer, out, (size_t)n);
  if (is_last) {
    weft_deflate_close(*box);
    *box = NULL;
  }
  luaL_pushresult(&buffer);
  return 1;
}

static const luaL_Reg functions[] = {
    {"deflater", l_deflater},
    {"deflate", l_deflate},
    {NULL, NULL},
};

void weft_open_deflate(lua_State *L) {
  weft_set_functions(L, functions, "weft.Deflater");
}
