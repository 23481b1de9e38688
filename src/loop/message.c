/* SPDX-License-Identifier: MIT */
/*
 * loop/message.c: see message.h. A value is a letter and what belongs to it; a
 * table is its keys and values up to a closing brace.
 */
#include "loop/message.h"

#include <stdint.h>
#include <string.h>

struct writer {
  struct weft_buffer *buffer;
  struct weft_mem *mem;
  lua_State *L;
  const char *what;
  int number;     /* of the value that is being added */
  int is_lenient; /* makes a string of what cannot be copied */
};

/* A table that is being added; its key is on the stack. */
struct frame {
  const struct frame *outer;
  const void *table;
  int key, depth;
};

/* --- errors -------------------------------------------------------------- */

/* Appends the way to the value to the string on the top, outermost first. */
static void add_path(lua_State *L, const struct frame *frame) {
  if (frame == NULL)
    return;
  luaL_checkstack(L, 3, NULL);
  add_path(L, frame->outer);
  if (lua_type(L, frame->key) == LUA_TSTRING)
    lua_pushfstring(L, ".%s", lua_tostring(L, frame->key));
  else if (lua_type(L, frame->key) == LUA_TNUMBER) {
    lua_pushvalue(L, frame->key); /* tostring would change the key itself */
    lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
    lua_remove(L, -2);
  } else
    lua_pushfstring(L, "[%s]", lua_toboolean(L, frame->key) ? "true" : "false");
  lua_concat(L, 2);
}

static enum weft_message_error refuse(struct writer *w,
                                      const struct frame *frame,
                                      enum weft_message_error error,
                                      const char *why) {
  lua_State *L = w->L;
  luaL_checkstack(L, 4, NULL);
  lua_pushfstring(L, "%s %d", w->what, w->number);
  add_path(L, frame);
  lua_pushfstring(L, ": %s", why);
  lua_concat(L, 2);
  return error;
}

/* --- writing ------------------------------------------------------------- */

static enum weft_message_error put(struct writer *w, const void *data,
                                   size_t size) {
  size_t room;
  char *to;
  if (size > WEFT_MESSAGE_SIZE ||
      weft_buffer_size(w->buffer) > WEFT_MESSAGE_SIZE - size)
    return refuse(w, NULL, WEFT_MESSAGE_LIMIT,
                  "too large to be copied to another thread");
  to = weft_buffer_reserve(w->buffer, w->mem, size, &room);
  if (to == NULL)
    return refuse(w, NULL, WEFT_MESSAGE_MEMORY, "not enough memory");
  memcpy(to, data, size);
  weft_buffer_add(w->buffer, size);
  return WEFT_MESSAGE_OK;
}

static enum weft_message_error put_tagged(struct writer *w, char tag,
                                          const void *data, size_t size) {
  enum weft_message_error error = put(w, &tag, 1);
  return error == WEFT_MESSAGE_OK && size > 0 ? put(w, data, size) : error;
}

static enum weft_message_error put_number(struct writer *w, int idx) {
  lua_Number number = lua_tonumber(w->L, idx);
#if LUA_VERSION_NUM >= 503
  if (lua_isinteger(w->L, idx)) {
    lua_Integer integer = lua_tointeger(w->L, idx);
    return put_tagged(w, 'i', &integer, sizeof(integer));
  }
#endif
  return put_tagged(w, 'd', &number, sizeof(number));
}

static enum weft_message_error put_bytes(struct writer *w, const char *text,
                                         size_t size) {
  enum weft_message_error error = put_tagged(w, 's', &size, sizeof(size));
  return error == WEFT_MESSAGE_OK && size > 0 ? put(w, text, size) : error;
}

static enum weft_message_error put_string(struct writer *w, int idx) {
  size_t size;
  const char *text = lua_tolstring(w->L, idx, &size);
  return put_bytes(w, text, size);
}

/* What cannot be copied: as a string, or refused. */
static enum weft_message_error put_other(struct writer *w, int idx,
                                         const struct frame *frame,
                                         enum weft_message_error error,
                                         const char *why) {
  const char *text;
  enum weft_message_error result;
  if (!w->is_lenient)
    return refuse(w, frame, error, why);
  text = lua_pushfstring(w->L, "%s: %p", luaL_typename(w->L, idx),
                         lua_topointer(w->L, idx));
  result = put_bytes(w, text, strlen(text));
  if (result == WEFT_MESSAGE_OK)
    lua_pop(w->L, 1);
  return result;
}

static enum weft_message_error put_value(struct writer *w, int idx,
                                         const struct frame *frame);

static int is_key(lua_State *L, int idx) {
  int type = lua_type(L, idx);
  return type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TBOOLEAN;
}

/* Adds the key and the value on the top. */
static enum weft_message_error put_pair(struct writer *w,
                                        const struct frame *frame) {
  enum weft_message_error error;
  if (!is_key(w->L, frame->key)) {
    if (w->is_lenient)
      return WEFT_MESSAGE_OK;
    lua_pushfstring(w->L, "a %s as a key cannot be copied to another thread",
                    luaL_typename(w->L, frame->key));
    return refuse(w, frame->outer, WEFT_MESSAGE_TYPE, lua_tostring(w->L, -1));
  }
  error = put_value(w, frame->key, frame);
  return error == WEFT_MESSAGE_OK ? put_value(w, frame->key + 1, frame) : error;
}

static enum weft_message_error put_table(struct writer *w, int idx,
                                         const struct frame *outer) {
  lua_State *L = w->L;
  struct frame frame = {outer, lua_topointer(L, idx), lua_gettop(L) + 1,
                        outer != NULL ? outer->depth + 1 : 1};
  const struct frame *other;
  enum weft_message_error error;
  for (other = outer; other != NULL; other = other->outer)
    if (other->table == frame.table)
      return put_other(w, idx, outer, WEFT_MESSAGE_TYPE,
                       "a cycle: the table contains itself");
  if (frame.depth > WEFT_MESSAGE_DEPTH)
    return put_other(w, idx, outer, WEFT_MESSAGE_LIMIT,
                     "too deep to be copied to another thread");
  luaL_checkstack(L, 8, NULL);
  error = put_tagged(w, '{', NULL, 0);
  lua_pushnil(L);
  while (error == WEFT_MESSAGE_OK && lua_next(L, idx) != 0) {
    error = put_pair(w, &frame);
    if (error == WEFT_MESSAGE_OK)
      lua_pop(L, 1);
  }
  return error == WEFT_MESSAGE_OK ? put_tagged(w, '}', NULL, 0) : error;
}

static enum weft_message_error put_value(struct writer *w, int idx,
                                         const struct frame *frame) {
  enum weft_message_error error;
  switch (lua_type(w->L, idx)) {
  case LUA_TNIL:
    return put_tagged(w, 'n', NULL, 0);
  case LUA_TBOOLEAN:
    return put_tagged(w, lua_toboolean(w->L, idx) ? 't' : 'f', NULL, 0);
  case LUA_TNUMBER:
    return put_number(w, idx);
  case LUA_TSTRING:
    return put_string(w, idx);
  case LUA_TTABLE:
    return put_table(w, idx, frame);
  default:
    luaL_checkstack(w->L, 4, NULL);
    lua_pushfstring(w->L, "a %s cannot be copied to another thread",
                    luaL_typename(w->L, idx));
    error = put_other(w, idx, frame, WEFT_MESSAGE_TYPE, lua_tostring(w->L, -1));
    if (error == WEFT_MESSAGE_OK)
      lua_pop(w->L, 1);
    return error;
  }
}

enum weft_message_error weft_message_add(struct weft_buffer *buffer,
                                         struct weft_mem *mem, lua_State *L,
                                         int first, int n, const char *what) {
  struct writer w = {buffer, mem, L, what, 0, 0};
  enum weft_message_error error = WEFT_MESSAGE_OK;
  for (w.number = 1; error == WEFT_MESSAGE_OK && w.number <= n; w.number++)
    error = put_value(&w, first + w.number - 1, NULL);
  return error;
}

enum weft_message_error weft_message_add_any(struct weft_buffer *buffer,
                                             struct weft_mem *mem, lua_State *L,
                                             int idx) {
  struct writer w = {buffer, mem, L, "value", 1, 1};
  return put_value(&w, weft_lua_absindex(L, idx), NULL);
}

int weft_message_add_string(struct weft_buffer *buffer, struct weft_mem *mem,
                            const char *text, size_t size) {
  size_t room;
  char *to = weft_buffer_reserve(buffer, mem, 1 + sizeof(size) + size, &room);
  if (to == NULL)
    return -1;
  *to = 's';
  memcpy(to + 1, &size, sizeof(size));
  memcpy(to + 1 + sizeof(size), text, size);
  weft_buffer_add(buffer, 1 + sizeof(size) + size);
  return 0;
}

/* --- reading ------------------------------------------------------------- */

static const char *push_value(lua_State *L, const char *at);

static const char *push_table(lua_State *L, const char *at) {
  luaL_checkstack(L, 4, NULL);
  lua_newtable(L);
  while (*at != '}') {
    at = push_value(L, at);
    at = push_value(L, at);
    lua_rawset(L, -3);
  }
  return at + 1;
}

static const char *push_string(lua_State *L, const char *at) {
  size_t size;
  memcpy(&size, at, sizeof(size));
  lua_pushlstring(L, at + sizeof(size), size);
  return at + sizeof(size) + size;
}

static const char *push_number(lua_State *L, const char *at) {
  lua_Number number;
  memcpy(&number, at, sizeof(number));
  lua_pushnumber(L, number);
  return at + sizeof(number);
}

static const char *push_integer(lua_State *L, const char *at) {
  lua_Integer integer;
  memcpy(&integer, at, sizeof(integer));
  lua_pushinteger(L, integer);
  return at + sizeof(integer);
}

static const char *push_value(lua_State *L, const char *at) {
  char tag = *at++;
  switch (tag) {
  case 'n':
    lua_pushnil(L);
    return at;
  case 't':
  case 'f':
    lua_pushboolean(L, tag == 't');
    return at;
  case 'd':
    return push_number(L, at);
  case 'i':
    return push_integer(L, at);
  case 's':
    return push_string(L, at);
  default:
    return push_table(L, at);
  }
}

int weft_message_push(lua_State *L, const struct weft_buffer *buffer) {
  const char *at, *end;
  int n = 0;
  if (weft_buffer_size(buffer) == 0)
    return 0;
  at = weft_buffer_data(buffer);
  end = at + weft_buffer_size(buffer);
  for (; at < end; n++) {
    luaL_checkstack(L, 2, "too many values");
    at = push_value(L, at);
  }
  return n;
}
