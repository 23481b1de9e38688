/* SPDX-License-Identifier: MIT */
/*
 * loop/work.c: see work.h. All of it runs in a protected call; an error of
 * which not even a message could be made is a want of memory.
 */
#include "loop/work.h"

#include <lualib.h>
#include <string.h>

#include "loop/message.h"
#include "loop/worker.h"

static const char *const traceback_key = "weft.traceback";

static int on_error(lua_State *L) {
  luaL_traceback(L, L, NULL, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, traceback_key);
  return 1;
}

/* --- the function -------------------------------------------------------- */

static int no_function(lua_State *L, struct weft_call *call) {
  call->status = WEFT_WORK_TYPE;
  return luaL_error(L, "the module '%s' has no function '%s'",
                    lua_tostring(L, 2), lua_tostring(L, 3));
}

static void set_paths(lua_State *L, int path, int cpath) {
  lua_getglobal(L, "package");
  lua_pushvalue(L, path);
  lua_setfield(L, -2, "path");
  lua_pushvalue(L, cpath);
  lua_setfield(L, -2, "cpath");
  lua_pop(L, 1);
}

/* [call module name-or-bytes -> ... function] */
static void find_function(lua_State *L, struct weft_call *call) {
  size_t size;
  const char *bytes;
  if (lua_isstring(L, 2)) {
    lua_getglobal(L, "require");
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    if (!lua_istable(L, -1))
      no_function(L, call);
    lua_pushvalue(L, 3);
    lua_gettable(L, -2);
    lua_remove(L, -2);
    if (!lua_isfunction(L, -1))
      no_function(L, call);
    return;
  }
  bytes = lua_tolstring(L, 3, &size);
  if (luaL_loadbufferx(L, bytes, size, "=thread", "b") != 0)
    lua_error(L);
}

/* invoke(call, module, name-or-bytes, ...) -> results */
static int invoke(lua_State *L) {
  find_function(L, lua_touserdata(L, 1));
  lua_insert(L, 4); /* call module name function ... */
  lua_call(L, lua_gettop(L) - 4, LUA_MULTRET);
  return lua_gettop(L) - 3;
}

/* --- what came of it ----------------------------------------------------- */

static void give_sentence(struct weft_call *call, int status,
                          const char *text) {
  weft_buffer_deinit(&call->out, &call->mem);
  weft_buffer_init(&call->out);
  call->status = status;
  if (text == NULL ||
      weft_message_add_string(&call->out, &call->mem, text, strlen(text)) != 0)
    call->status = WEFT_WORK_MEMORY;
}

static void give_results(lua_State *L, struct weft_call *call, int first) {
  static const int statuses[] = {WEFT_WORK_OK, WEFT_WORK_TYPE, WEFT_WORK_LIMIT,
                                 WEFT_WORK_MEMORY};
  enum weft_message_error error = weft_message_add(
      &call->out, &call->mem, L, first, lua_gettop(L) - first + 1, "result");
  call->status = statuses[error];
  if (error != WEFT_MESSAGE_OK)
    give_sentence(call, call->status, lua_tostring(L, -1));
}

static int is_weft_error(lua_State *L, int idx) {
  int is;
  if (!lua_istable(L, idx) || !lua_getmetatable(L, idx))
    return 0;
  luaL_getmetatable(L, "weft.Error");
  is = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return is;
}

static int call_tostring(lua_State *L) {
  lua_getglobal(L, "tostring");
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* Pushes a string for any value. */
static void push_text(lua_State *L, int idx) {
  lua_pushcfunction(L, call_tostring);
  lua_pushvalue(L, idx);
  if (lua_pcall(L, 1, 1, 0) != 0 || !lua_isstring(L, -1)) {
    lua_pop(L, 1);
    lua_pushfstring(L, "(a %s)", luaL_typename(L, idx));
  }
}

/* The value itself if it can be copied, else its text. */
static void add_value(lua_State *L, struct weft_call *call, int idx,
                      const char *text) {
  size_t end = weft_buffer_size(&call->out);
  if (weft_message_add(&call->out, &call->mem, L, idx, 1, "value") == 0)
    return;
  call->out.end = call->out.start + end;
  lua_pop(L, 1);
  weft_message_add_string(&call->out, &call->mem, text, strlen(text));
}

/* An error object may know better where it is from than the stack does. */
static void prefer_own_traceback(lua_State *L, int idx) {
  lua_getfield(L, idx, "traceback");
  if (lua_isstring(L, -1))
    lua_replace(L, idx + 1);
  else
    lua_pop(L, 1);
}

/* The error at idx and its traceback, at idx + 1. */
static void give_error(lua_State *L, struct weft_call *call, int idx) {
  const char *text;
  if (is_weft_error(L, idx)) {
    call->status = WEFT_WORK_ERROR;
    prefer_own_traceback(L, idx);
    weft_message_add_any(&call->out, &call->mem, L, idx);
  } else {
    call->status = WEFT_WORK_RAISED;
    push_text(L, idx);
    text = lua_tostring(L, -1);
    add_value(L, call, idx, text);
    weft_message_add_string(&call->out, &call->mem, text, strlen(text));
  }
  text = lua_tostring(L, idx + 1);
  if (text != NULL)
    weft_message_add_string(&call->out, &call->mem, text, strlen(text));
}

static int run_protected(lua_State *L) {
  struct weft_call *call = lua_touserdata(L, 1);
  int n, rc;
  lua_pushcfunction(L, on_error);
  lua_pushnil(L);
  lua_setfield(L, LUA_REGISTRYINDEX, traceback_key);
  n = weft_message_push(L, &call->in); /* call handler path cpath ... */
  set_paths(L, 3, 4);
  lua_pushcfunction(L, invoke);
  lua_replace(L, 3);
  lua_pushvalue(L, 1);
  lua_replace(L, 4); /* call handler invoke call module name ... */
  call->status = WEFT_WORK_OK;
  rc = lua_pcall(L, n - 1, LUA_MULTRET, 2);
  if (rc == 0) {
    give_results(L, call, 3);
  } else if (call->status == WEFT_WORK_TYPE) {
    give_sentence(call, WEFT_WORK_TYPE, lua_tostring(L, 3));
  } else {
    lua_getfield(L, LUA_REGISTRYINDEX, traceback_key);
    give_error(L, call, 3);
  }
  return 0;
}

static int open_libraries(lua_State *L) {
  luaL_openlibs(L);
  return 0;
}

static lua_State *open_state(void) {
  lua_State *L = luaL_newstate();
  if (L == NULL)
    return NULL;
  lua_pushcfunction(L, open_libraries);
  if (lua_pcall(L, 0, 0, 0) == 0)
    return L;
  lua_close(L);
  return NULL;
}

lua_State *weft_work_run(lua_State *L, struct weft_call *call) {
  if (L == NULL)
    L = open_state();
  call->status = WEFT_WORK_MEMORY;
  if (L == NULL)
    return NULL;
  lua_settop(L, 0);
  lua_pushcfunction(L, run_protected);
  lua_pushlightuserdata(L, call);
  if (lua_pcall(L, 1, 0, 0) != 0)
    give_sentence(call, WEFT_WORK_MEMORY, NULL);
  lua_settop(L, 0);
  return L;
}

void weft_work_close(lua_State *L) {
  if (L != NULL)
    lua_close(L);
}
