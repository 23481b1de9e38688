/* SPDX-License-Identifier: MIT */
/*
 * loop/callback.c: see callback.h. The states are those of futures: NEW while
 * it waits for its time, READY in the queue, RETURNED once it ran.
 */
#include "loop/callback.h"

#include "loop/loop.h"
#include "loop/task.h"

struct weft_callback *weft_callback_new(lua_State *L, struct weft_loop *loop,
                                        int n) {
  struct weft_callback *cb;
  int i;
  luaL_checkstack(L, 5, NULL);
  lua_createtable(L, n, 2);
  lua_insert(L, -n - 1); /* table fn args... */
  for (i = n; i > 0; i--)
    lua_rawseti(L, -i - 1, i);
  lua_pushinteger(L, n);
  lua_setfield(L, -2, "n");
  cb = weft_lua_newuserdata(L, sizeof(*cb)); /* table callback */
  weft_list_init(&cb->node.link);
  cb->node.loop = loop;
  cb->node.id = 0;
  cb->node.kind = WEFT_KIND_CALLBACK;
  cb->node.state = WEFT_NEW;
  cb->node.flags = 0;
  weft_timer_init(&cb->timer);
  cb->deadline = 0;
  cb->slot = cb->again = 0;
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_pushvalue(loop->home, WEFT_HOME_CALLBACK);
  lua_xmove(loop->home, L, 2); /* table callback root metatable */
  lua_setmetatable(L, -3);
  lua_rawseti(L, -3, 0);
  lua_insert(L, -2);
  weft_lua_settable_of(L, -2);
  return cb;
}

int weft_callback_anchor(struct weft_callback *cb, lua_State *L) {
  struct weft_loop *loop = cb->node.loop;
  if (cb->slot != 0)
    return 0;
  cb->slot = weft_loop_take_slot(loop, L);
  if (cb->slot == 0)
    return -1;
  lua_pushvalue(L, -1);
  lua_xmove(L, loop->home, 1);
  lua_rawseti(loop->home, WEFT_HOME_ANCHORS, (int)cb->slot);
  return 0;
}

static void release(struct weft_callback *cb) {
  if (cb->slot != 0)
    weft_loop_free_slot(cb->node.loop, cb->slot);
  cb->slot = 0;
}

static void on_expire(struct weft_timer *timer) {
  struct weft_callback *cb =
      WEFT_CONTAINER_OF(timer, struct weft_callback, timer);
  cb->node.state = WEFT_READY;
  weft_loop_push(cb->node.loop, &cb->node);
}

int weft_callback_schedule(struct weft_callback *cb, lua_State *L,
                           uint64_t deadline) {
  struct weft_loop *loop = cb->node.loop;
  if (weft_callback_anchor(cb, L) != 0)
    return -1;
  cb->deadline = deadline;
  if (deadline == 0) {
    cb->node.state = WEFT_READY;
    weft_loop_push(loop, &cb->node);
  } else {
    if (weft_timer_start(&loop->timers, &cb->timer, deadline, on_expire)) {
      release(cb);
      return -1;
    }
    weft_loop_notify(loop);
  }
  return 0;
}

void weft_callback_soon(lua_State *L, struct weft_loop *loop, int n) {
  struct weft_callback *cb = weft_callback_new(L, loop, n);
  if (weft_callback_schedule(cb, L, 0) != 0)
    luaL_error(L, "not enough memory");
  lua_pop(L, 1);
}

void weft_callback_trigger(struct weft_callback *cb) {
  if (cb->node.state == WEFT_READY) {
    cb->again++;
  } else {
    cb->node.state = WEFT_READY;
    weft_loop_push(cb->node.loop, &cb->node);
  }
}

void weft_callback_cancel(struct weft_callback *cb) {
  if (cb->node.state >= WEFT_RETURNED)
    return;
  weft_timer_stop(&cb->node.loop->timers, &cb->timer);
  weft_list_remove(&cb->node.link);
  cb->node.state = WEFT_CANCELLED;
  if (cb->node.loop->is_open)
    release(cb);
}

/* Pushes the function and its arguments on `co`; returns how many arguments. */
static int push_call(struct weft_callback *cb, lua_State *L, lua_State *co) {
  lua_State *home = cb->node.loop->home;
  int i, n;
  luaL_checkstack(L, 4, NULL);
  lua_rawgeti(home, WEFT_HOME_ANCHORS, (int)cb->slot);
  lua_xmove(home, L, 1);
  weft_lua_gettable_of(L, -1); /* callback table */
  lua_getfield(L, -1, "n");
  n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (!lua_checkstack(co, n + 2))
    luaL_error(L, "too many arguments");
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    lua_xmove(L, co, 1);
  }
  lua_pop(L, 1);
  return n - 1; /* the callback stays on L */
}

/* Reports the error on the top of `co`. [L: callback on top] */
static void report_error(struct weft_callback *cb, lua_State *L,
                         lua_State *co) {
  luaL_checkstack(L, 6, NULL);
  lua_pushliteral(L, "callback");
  lua_pushvalue(L, -2);
  lua_xmove(co, L, 1);
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  weft_loop_report(cb->node.loop, L, 4);
}

void weft_callback_step(struct weft_callback *cb, lua_State *L) {
  struct weft_loop *loop = cb->node.loop;
  struct weft_thread thread = weft_loop_take_thread(loop, L);
  int nargs, status, repeats = cb->node.flags & WEFT_CALLBACK_REPEATS;
  if (thread.co == NULL)
    luaL_error(L, "not enough memory");
  nargs = push_call(cb, L, thread.co);
  cb->node.state = repeats ? WEFT_NEW : WEFT_RETURNED;
  if (!repeats)
    release(cb);
  else if (cb->again > 0) {
    cb->again--;
    weft_callback_trigger(cb);
  }
  status = weft_run_outside(loop, thread.co, L, nargs);
  if (status == LUA_OK) {
    lua_settop(thread.co, 0);
    weft_loop_give_thread(loop, thread);
  } else {
    report_error(cb, L, thread.co);
    weft_loop_drop_thread(loop, thread);
  }
  lua_pop(L, 1); /* the callback */
}
