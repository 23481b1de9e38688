/* SPDX-License-Identifier: MIT */
/*
 * bind/l_psl.c: the list of public suffixes for Lua, through libpsl; nothing
 * where weft is built without it.
 *
 * Owns: the list, one per lua_State, read at the first question: the system's
 * if it is newer than libpsl's own. It must not know what cookies are.
 */
#include "bind/lutil.h"

#ifdef WEFT_WITH_PSL

#include <libpsl.h>

#define KEY "weft.psl"

int l_psl__gc(lua_State *L) {
  psl_ctx_t **box = lua_touserdata(L, 1);
  psl_free(*box); /* NULL, and the list inside libpsl, are left alone */
  *box = NULL;
  return 0;
}

/* The list; raises when memory is out. [-0, +1, e] */
static const psl_ctx_t *push_list(lua_State *L) {
  psl_ctx_t **box;
  lua_getfield(L, LUA_REGISTRYINDEX, KEY);
  box = lua_touserdata(L, -1);
  if (box == NULL) {
    lua_pop(L, 1);
    box = weft_lua_newuserdata(L, sizeof(*box));
    *box = NULL;
    lua_pushvalue(L, WEFT_UPVALUE_CLASS);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, KEY);
  }
  if (*box == NULL)
    *box = psl_latest(NULL);
  return *box != NULL ? *box : psl_builtin();
}

/* is_public_suffix(domain in lower case) */
static int l_psl_is_public_suffix(lua_State *L) {
  const char *domain = luaL_checkstring(L, 1);
  const psl_ctx_t *list = push_list(L);
  lua_pushboolean(L, list == NULL || psl_is_public_suffix(list, domain));
  return 1;
}

/* registrable_domain(domain in lower case) -> the suffix of it that somebody
 * can own; nil if it is a public suffix itself */
static int l_psl_registrable_domain(lua_State *L) {
  const char *domain = luaL_checkstring(L, 1);
  const psl_ctx_t *list = push_list(L);
  lua_pushstring(L, list ? psl_registrable_domain(list, domain) : NULL);
  return 1;
}

static const luaL_Reg functions[] = {
    {"is_public_suffix", l_psl_is_public_suffix},
    {"registrable_domain", l_psl_registrable_domain},
    {NULL, NULL},
};

void weft_open_psl(lua_State *L) {
  weft_set_functions(L, functions, "weft.PublicSuffixes");
}

#else

int l_psl__gc(lua_State *L) {
  (void)L;
  return 0;
}

void weft_open_psl(lua_State *L) {
  (void)L;
}

#endif
