/* SPDX-License-Identifier: MIT */
/*
 * bind/l_idna.c: internationalized domains for weft.url, by libidn2.
 *
 * Owns nothing. Must not know URLs: what of libidn2's answers the URL Standard
 * wants otherwise is lua/weft/url/idna.lua's. Built without the library, the
 * function is not there.
 */
#include "bind/lutil.h"

#if defined(WEFT_WITH_IDN2)
#include <idn2.h>
#include <string.h>

/* The name of a failure, without the library's prefix. */
static const char *name_of(int rc) {
  const char *name = idn2_strerror_name(rc);
  static const char prefix[] = "IDN2_";
  if (name == NULL)
    return "UNKNOWN";
  if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
    name += sizeof(prefix) - 1;
  return name;
}

/* idna_lookup(domain in UTF-8) -> domain in ASCII; or nil and a name such as
 * "DISALLOWED". UTS #46, non-transitional, and the rules of IDNA2008. */
static int l_idna_lookup(lua_State *L) {
  size_t size;
  const char *domain = luaL_checklstring(L, 1, &size);
  uint8_t *ascii = NULL;
  char text[4 * IDN2_DOMAIN_MAX_LENGTH];
  int rc;
  lua_settop(L, 1);
  if (strlen(domain) != size)
    rc = IDN2_DISALLOWED;
  else
    rc = idn2_lookup_u8((const uint8_t *)domain, &ascii,
                        IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  if (rc == IDN2_MALLOC)
    return luaL_error(L, "not enough memory");
  if (rc == IDN2_OK && strlen((const char *)ascii) >= sizeof(text))
    rc = IDN2_TOO_BIG_DOMAIN;
  if (rc != IDN2_OK) {
    idn2_free(ascii);
    lua_pushnil(L);
    lua_pushstring(L, name_of(rc));
    return 2;
  }
  /* A copy on the stack: lua_pushstring may raise, and `ascii` is to be freed.
   */
  strcpy(text, (const char *)ascii);
  idn2_free(ascii);
  lua_pushstring(L, text);
  return 1;
}

static const luaL_Reg functions[] = {
    {"idna_lookup", l_idna_lookup},
    {NULL, NULL},
};

void weft_open_idna(lua_State *L) {
  weft_set_functions(L, functions, NULL);
}

#else

void weft_open_idna(lua_State *L) {
  (void)L;
}

#endif
