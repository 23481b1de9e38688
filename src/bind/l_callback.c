/* SPDX-License-Identifier: MIT */
/*
 * bind/l_callback.c: call_soon, call_at and signal handlers for Lua.
 *
 * Owns: the names of signals. What a handler is for, weft.loop and weft.runner
 * know.
 */
#include "bind/lutil.h"

#include <signal.h>

#include "base/err.h"

/* callback(loop, when or nil, fn, ...) -> handle, scheduled */
static int l_callback_new(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  uint64_t deadline =
      lua_isnil(L, 2) ? 0 : weft_to_ns(weft_check_number(L, 2, "the time"));
  struct weft_callback *cb;
  if (!loop->is_open)
    return weft_raise(L, WEFT_ECLOSED);
  if (!lua_isnil(L, 2) && deadline == 0)
    deadline = 1; /* long ago, but in the order of the timers */
  cb = weft_callback_new(L, loop, lua_gettop(L) - 2);
  if (weft_callback_schedule(cb, L, deadline) != 0)
    return luaL_error(L, "not enough memory");
  return 1;
}

static struct weft_callback *check_callback(lua_State *L) {
  return weft_check_udata(L, 1, "weft.Callback");
}

/* callback_cancel(handle) */
static int l_callback_cancel(lua_State *L) {
  weft_callback_cancel(check_callback(L));
  return 0;
}

/* callback_state(handle) -> "pending", "cancelled" or "returned"; when or nil;
 * the function */
static int l_callback_state(lua_State *L) {
  struct weft_callback *cb = check_callback(L);
  lua_pushstring(L, cb->node.state == WEFT_CANCELLED  ? "cancelled"
                    : cb->node.state == WEFT_RETURNED ? "returned"
                                                      : "pending");
  if (cb->deadline != 0)
    lua_pushnumber(L, (lua_Number)cb->deadline / 1e9);
  else
    lua_pushnil(L);
  weft_lua_gettable_of(L, 1);
  lua_rawgeti(L, -1, 1);
  lua_remove(L, -2);
  return 3;
}

/* signal(loop, signum, once, background, fn, ...) -> signal */
static int l_signal_new(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  int signum = (int)luaL_checkinteger(L, 2);
  int once = lua_toboolean(L, 3), background = lua_toboolean(L, 4), rc;
  struct weft_signal *signal;
  struct weft_callback *cb;
  if (!loop->is_open)
    return weft_raise(L, WEFT_ECLOSED);
  signal = weft_lua_newuserdata(L, sizeof(*signal));
  signal->box.handle = NULL;
  signal->callback = NULL;
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.Signal");
  lua_setmetatable(L, -2);
  lua_insert(L, 5); /* loop signum once background signal fn ... */
  cb = weft_callback_new(L, loop, lua_gettop(L) - 5);
  lua_newtable(L); /* the signal's table keeps the callback */
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, 1);
  weft_lua_settable_of(L, 5);
  rc = weft_signal_start(signal, loop, L, cb, signum, once, background);
  if (rc != 0)
    return weft_raise(L, rc);
  lua_settop(L, 5);
  return 1;
}

/* signal_close(signal) */
static int l_signal_close(lua_State *L) {
  struct weft_signal *signal = weft_check_udata(L, 1, "weft.Signal");
  if (signal->box.handle == NULL)
    return 0;
  weft_signal_close(signal);
  weft_loop_notify(signal->callback->node.loop); /* a turn ends the closing */
  return 0;
}

int l_signal__gc(lua_State *L) {
  weft_signal_close(lua_touserdata(L, 1));
  return 0;
}

static const struct {
  const char *name;
  int number;
} signals[] = {
    {"SIGHUP", SIGHUP},   {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT},
    {"SIGTERM", SIGTERM}, {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2},
    {"SIGCHLD", SIGCHLD}, {"SIGCONT", SIGCONT}, {"SIGTSTP", SIGTSTP},
    {"SIGTTIN", SIGTTIN}, {"SIGTTOU", SIGTTOU}, {"SIGWINCH", SIGWINCH},
    {"SIGPIPE", SIGPIPE}, {"SIGALRM", SIGALRM}, {"SIGKILL", SIGKILL},
    {"SIGSTOP", SIGSTOP}, {"SIGABRT", SIGABRT}, {"SIGURG", SIGURG},
    {"SIGXCPU", SIGXCPU}, {"SIGPROF", SIGPROF}, {"SIGIO", SIGIO},
};

static const luaL_Reg functions[] = {
    {"callback", l_callback_new},
    {"callback_cancel", l_callback_cancel},
    {"callback_state", l_callback_state},
    {"signal", l_signal_new},
    {"signal_close", l_signal_close},
    {NULL, NULL},
};

void weft_open_callback(lua_State *L) {
  size_t i;
  weft_set_functions(L, functions, NULL);
  lua_newtable(L);
  for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
    lua_pushinteger(L, signals[i].number);
    lua_setfield(L, -2, signals[i].name);
  }
  lua_setfield(L, -2, "signals");
}
