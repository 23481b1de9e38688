/* SPDX-License-Identifier: MIT */
/*
 * bind/l_fields.c: header fields for Lua, without strings of Lua's where none
 * are asked for. The words of the errors are weft.http.fields'.
 *
 * Owns: the userdata, which is a struct weft_fields.
 * Invariant: as in proto/fields.h.
 */
#include "bind/l_fields.h"

#include <errno.h>

#include "base/err.h"
#include "proto/chars.h"

static void set_class(lua_State *L) {
  luaL_getmetatable(L, "weft.Fields");
  lua_setmetatable(L, -2);
}

struct weft_fields *weft_fields_push(lua_State *L, struct weft_mem *mem) {
  struct weft_fields *fields = lua_newuserdata(L, sizeof(*fields));
  weft_fields_init(fields, mem);
  set_class(L);
  return fields;
}

void weft_fields_push_moved(lua_State *L, struct weft_fields *from) {
  struct weft_fields *fields = weft_fields_push(L, from->mem);
  struct weft_fields_limits limits = from->limits, own = fields->limits;
  *fields = *from;
  /* What a peer may send says nothing about what a script may add. */
  fields->limits = own;
  weft_fields_init(from, from->mem);
  from->limits = limits;
}

struct weft_fields *weft_fields_check(lua_State *L, int idx) {
  return weft_check_udata(L, idx, "weft.Fields");
}

int l_fields__gc(lua_State *L) {
  weft_fields_deinit(lua_touserdata(L, 1));
  return 0;
}

static struct weft_fields *check_self(lua_State *L) {
  return weft_check_self(L, "set of header fields");
}

/* A string or a number at an index. */
static const char *check_text(lua_State *L, int idx, size_t *size) {
  if (!lua_isstring(L, idx))
    weft_raise_kind(L, "type", "a string expected, got %s",
                    luaL_typename(L, idx));
  return lua_tolstring(L, idx, size);
}

/* A value without the blanks around it, which are no part of it. */
static const char *check_value(lua_State *L, int idx, size_t *size) {
  const char *value = check_text(L, idx, size);
  while (*size > 0 && weft_is_blank(value[*size - 1]))
    --*size;
  while (*size > 0 && weft_is_blank(*value))
    value++, --*size;
  return value;
}

/* fields_new() */
static int l_fields_new(lua_State *L) {
  weft_fields_push(L, &weft_vm_of(L)->mem);
  return 1;
}

/* Nothing, or the code of what went wrong. */
static int push_code(lua_State *L, int rc) {
  if (rc == 0)
    return 0;
  if (rc == -ENOMEM)
    return luaL_error(L, "not enough memory");
  lua_pushinteger(L, rc);
  return 1;
}

/* fields_add(fields, name, value) -> nothing, or a code */
static int l_fields_add(lua_State *L) {
  struct weft_fields *fields = check_self(L);
  size_t name_size, value_size;
  const char *name = check_text(L, 2, &name_size);
  const char *value = check_value(L, 3, &value_size);
  return push_code(L,
                   weft_fields_add(fields, name, name_size, value, value_size));
}

/* fields_set(fields, name, value) -> nothing, or a code */
static int l_fields_set(lua_State *L) {
  struct weft_fields *fields = check_self(L);
  size_t name_size, value_size;
  const char *name = check_text(L, 2, &name_size);
  const char *value = check_value(L, 3, &value_size);
  return push_code(L,
                   weft_fields_set(fields, name, name_size, value, value_size));
}

/* fields_remove(fields, name) -> how many there were */
static int l_fields_remove(lua_State *L) {
  struct weft_fields *fields = check_self(L);
  size_t size;
  const char *name = check_text(L, 2, &size);
  lua_pushinteger(L, (lua_Integer)weft_fields_remove(fields, name, size));
  return 1;
}

/* fields_get(fields, name) -> the first value or nil */
static int l_fields_get(lua_State *L) {
  struct weft_fields *fields = check_self(L);
  struct weft_field field;
  size_t size;
  const char *name = check_text(L, 2, &size);
  if (!weft_fields_get(fields, name, size, &field))
    return 0;
  lua_pushlstring(L, field.value, field.value_size);
  return 1;
}

/* fields_getall(fields, name) -> list of the values */
static int l_fields_getall(lua_State *L) {
  struct weft_fields *fields = check_self(L);
  size_t size, i = 0;
  const char *name = check_text(L, 2, &size);
  int n = 0;
  lua_newtable(L);
  for (;; i++) {
    struct weft_field field;
    i = weft_fields_find(fields, name, size, i);
    if (i == fields->count)
      return 1;
    field = weft_fields_at(fields, i);
    lua_pushlstring(L, field.value, field.value_size);
    lua_rawseti(L, -2, ++n);
  }
}

/* fields_count(fields) */
static int l_fields_count(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_self(L)->count);
  return 1;
}

/* fields_at(fields, i) -> name and value of the i-th from 1 on, or nothing */
static int l_fields_at(lua_State *L) {
  struct weft_fields *fields = check_self(L);
  lua_Number i = weft_check_number(L, 2, "the index");
  struct weft_field field;
  if (!(i >= 1 && i <= (lua_Number)fields->count))
    return 0;
  field = weft_fields_at(fields, (size_t)i - 1);
  lua_pushlstring(L, field.name, field.name_size);
  lua_pushlstring(L, field.value, field.value_size);
  return 2;
}

/* fields_copy(fields) */
static int l_fields_copy(lua_State *L) {
  const struct weft_fields *from = check_self(L);
  struct weft_fields *to = weft_fields_push(L, from->mem);
  if (weft_fields_copy(to, from) != 0)
    return luaL_error(L, "not enough memory");
  return 1;
}

static const luaL_Reg functions[] = {
    {"fields_new", l_fields_new},     {"fields_add", l_fields_add},
    {"fields_set", l_fields_set},     {"fields_remove", l_fields_remove},
    {"fields_get", l_fields_get},     {"fields_getall", l_fields_getall},
    {"fields_count", l_fields_count}, {"fields_at", l_fields_at},
    {"fields_copy", l_fields_copy},   {NULL, NULL},
};

void weft_open_fields(lua_State *L) {
  weft_set_functions(L, functions, "weft.Fields");
}
