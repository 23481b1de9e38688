/* SPDX-License-Identifier: MIT */
/*
 * loop/future.c: see future.h. The outcome of most tasks is nothing or one
 * number or boolean, which is kept in the struct; all else goes to the table.
 */
#include "loop/future.h"

#include "loop/callback.h"
#include "loop/latch.h"
#include "loop/loop.h"
#include "loop/task.h"

void weft_future_init(struct weft_future *f, struct weft_loop *loop,
                      enum weft_kind kind) {
  weft_list_init(&f->node.link);
  f->node.loop = loop;
  f->node.id = ++loop->last_id;
  f->node.kind = (uint8_t)kind;
  f->node.state = WEFT_NEW;
  f->node.flags = WEFT_VALUE_NONE;
  f->waiters = NULL;
  f->u.target = NULL;
}

struct weft_future *weft_future_new(lua_State *L, struct weft_loop *loop) {
  struct weft_future *f = weft_lua_newuserdata(L, sizeof(*f));
  weft_future_init(f, loop, WEFT_KIND_FUTURE);
  lua_pushvalue(loop->home, WEFT_HOME_FUTURE);
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_xmove(loop->home, L, 2);
  weft_lua_settable_of(L, -3);
  lua_setmetatable(L, -2);
  return f;
}

void weft_future_add_waiter(struct weft_future *f, struct weft_node *waiter) {
  if (f->waiters == NULL)
    f->waiters = &waiter->link;
  else
    weft_list_push(f->waiters, &waiter->link);
}

void weft_future_remove_waiter(struct weft_future *f,
                               struct weft_node *waiter) {
  struct weft_list *link = &waiter->link;
  if (f->waiters == link)
    f->waiters = link->next != link ? link->next : NULL;
  weft_list_remove(link);
}

/* Pushes the userdata: from `idx` of L, or, for 0, a live task's anchor. */
static void push_self(lua_State *L, struct weft_future *f, int idx) {
  if (idx != 0) {
    lua_pushvalue(L, idx);
  } else {
    lua_State *home = f->node.loop->home;
    lua_rawgeti(home, WEFT_HOME_ANCHORS, (int)((struct weft_task *)f)->slot);
    lua_xmove(home, L, 1);
  }
}

void weft_future_extra(lua_State *L, struct weft_future *f, int idx) {
  push_self(L, f, idx);
  if ((f->node.flags & WEFT_FLAG_EXTRA) == 0) {
    lua_newtable(L);
    weft_lua_gettable_of(L, -2);
    lua_rawseti(L, -2, 0); /* extra[0] = root, which keeps the loop */
    lua_pushvalue(L, -1);
    weft_lua_settable_of(L, -3);
    f->node.flags |= WEFT_FLAG_EXTRA;
  } else {
    weft_lua_gettable_of(L, -1);
  }
  lua_remove(L, -2);
}

static void set_value(struct weft_future *f, enum weft_value value) {
  f->node.flags =
      (uint16_t)((f->node.flags & ~WEFT_VALUE_MASK) | (unsigned)value);
}

/* Keeps the `n` values on the top of L in the struct, if that can be. */
static int keep_scalar(lua_State *L, struct weft_future *f, int n) {
  if (n != 1)
    return 0;
  switch (lua_type(L, -1)) {
  case LUA_TNIL:
    set_value(f, WEFT_VALUE_NIL);
    return 1;
  case LUA_TBOOLEAN:
    set_value(f, lua_toboolean(L, -1) ? WEFT_VALUE_TRUE : WEFT_VALUE_FALSE);
    return 1;
  case LUA_TNUMBER:
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(L, -1)) {
      f->u.integer = lua_tointeger(L, -1);
      set_value(f, WEFT_VALUE_INTEGER);
      return 1;
    }
#endif
    f->u.number = lua_tonumber(L, -1);
    set_value(f, WEFT_VALUE_NUMBER);
    return 1;
  default:
    return 0;
  }
}

/* An error is always in the table, where reports find it. [-n, +0, m] */
static void keep_values(lua_State *L, struct weft_future *f, int idx,
                        enum weft_state state, int n) {
  if (n == 0)
    return; /* WEFT_VALUE_NONE, as it was made */
  if (state == WEFT_RETURNED && keep_scalar(L, f, n)) {
    lua_pop(L, n);
    return;
  }
  luaL_checkstack(L, 4, NULL);
  weft_future_extra(L, f, idx); /* values... extra */
  lua_insert(L, -n - 1);
  lua_pushinteger(L, n);
  lua_setfield(L, -n - 2, "n");
  for (; n > 0; n--)
    lua_rawseti(L, -n - 1, n);
  lua_pop(L, 1);
  set_value(f, WEFT_VALUE_TABLE);
}

static int has_waiting_task(const struct weft_future *f) {
  struct weft_list *link = f->waiters;
  if (link == NULL)
    return 0;
  do {
    if (weft_node_of(link)->kind == WEFT_KIND_TASK)
      return 1;
    link = link->next;
  } while (link != f->waiters);
  return 0;
}

/* Puts the userdata into extra.failure whose collection will tell that the
 * error was lost. [-0, +0, m] */
static void watch_failure(lua_State *L, struct weft_future *f, int idx) {
  lua_State *home = f->node.loop->home;
  struct weft_failure *failure;
  luaL_checkstack(L, 6, NULL);
  weft_future_extra(L, f, idx); /* extra */
  push_self(L, f, idx);
  lua_setfield(L, -2, "owner");
  failure = weft_lua_newuserdata(L, sizeof(*failure)); /* extra failure */
  failure->loop = f->node.loop;
  failure->retrieved = 0;
  lua_pushvalue(L, -2);
  weft_lua_settable_of(L, -2);
  lua_pushvalue(home, WEFT_HOME_FAILURE);
  lua_pushvalue(home, WEFT_HOME_UNRETRIEVED);
  lua_xmove(home, L, 2); /* extra failure metatable set */
  lua_pushvalue(L, -3);
  lua_pushboolean(L, 1);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_setmetatable(L, -2);
  lua_setfield(L, -2, "failure");
  lua_pop(L, 1);
  f->node.flags |= WEFT_FLAG_FAILURE;
}

static void wake_waiters(struct weft_future *f) {
  struct weft_list *link;
  while ((link = f->waiters) != NULL) {
    struct weft_node *waiter = weft_node_of(link);
    weft_future_remove_waiter(f, waiter);
    if (waiter->kind == WEFT_KIND_TASK)
      weft_task_wake((struct weft_task *)(void *)waiter);
    else
      weft_watch_complete((struct weft_watch *)(void *)waiter);
  }
}

/* Schedules extra.callbacks, each with the future, which is the argument. */
static int schedule_callbacks(lua_State *L) {
  struct weft_future *f = lua_touserdata(L, 1);
  int i, n;
  weft_future_extra(L, f, 1);
  lua_getfield(L, -1, "callbacks"); /* future extra callbacks */
  n = (int)weft_lua_objlen(L, -1);
  f->node.flags &= (uint16_t)~WEFT_FLAG_CALLBACKS;
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    lua_pushvalue(L, 1);
    weft_callback_soon(L, f->node.loop, 2);
  }
  lua_pushnil(L);
  lua_setfield(L, -3, "callbacks");
  return 0;
}

/* As in asyncio, callbacks run before the tasks that the outcome wakes; but an
 * error, for want of memory, must not keep these asleep. */
static void tell_everyone(lua_State *L, struct weft_future *f, int idx) {
  int status = LUA_OK;
  if (f->node.flags & WEFT_FLAG_CALLBACKS) {
    luaL_checkstack(L, 3, NULL);
    lua_pushcfunction(L, schedule_callbacks);
    push_self(L, f, idx < 0 ? idx - 1 : idx);
    status = lua_pcall(L, 1, 0, 0);
  }
  wake_waiters(f);
  if (status != LUA_OK)
    lua_error(L);
}

void weft_future_complete(lua_State *L, struct weft_future *f, int idx,
                          enum weft_state state, int n) {
  keep_values(L, f, idx, state, n);
  f->node.state = (uint8_t)state;
  if (state == WEFT_RAISED) {
    if (has_waiting_task(f))
      f->node.flags |= WEFT_FLAG_RETRIEVED;
    else
      watch_failure(L, f, idx);
  }
  tell_everyone(L, f, idx);
}

static void retrieve(lua_State *L, struct weft_future *f, int idx) {
  lua_State *home = f->node.loop->home;
  struct weft_failure *failure;
  f->node.flags |= WEFT_FLAG_RETRIEVED;
  if ((f->node.flags & WEFT_FLAG_FAILURE) == 0)
    return;
  f->node.flags &= (uint16_t)~WEFT_FLAG_FAILURE;
  luaL_checkstack(L, 5, NULL);
  weft_future_extra(L, f, idx);
  lua_getfield(L, -1, "failure"); /* extra failure */
  failure = lua_touserdata(L, -1);
  failure->retrieved = 1;
  if (f->node.loop->is_open) {
    lua_pushvalue(home, WEFT_HOME_UNRETRIEVED);
    lua_xmove(home, L, 1);
    lua_insert(L, -2);
    lua_pushnil(L);
    lua_rawset(L, -3); /* extra set */
  }
  lua_pop(L, 1);
  lua_pushnil(L);
  lua_setfield(L, -2, "failure");
  lua_pushnil(L);
  lua_setfield(L, -2, "owner");
  lua_pop(L, 1);
}

static int push_table(lua_State *L, struct weft_future *f, int idx) {
  int i, n, extra;
  weft_future_extra(L, f, idx);
  extra = lua_gettop(L);
  lua_getfield(L, -1, "n");
  n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  luaL_checkstack(L, n + 2, "too many results");
  for (i = 1; i <= n; i++)
    lua_rawgeti(L, extra, i);
  lua_remove(L, extra);
  return n;
}

int weft_future_push(lua_State *L, struct weft_future *f, int idx) {
  idx = weft_lua_absindex(L, idx);
  if (f->node.state != WEFT_RETURNED)
    retrieve(L, f, idx);
  lua_pushboolean(L, f->node.state == WEFT_RETURNED);
  switch (f->node.flags & WEFT_VALUE_MASK) {
  case WEFT_VALUE_NIL:
    lua_pushnil(L);
    return 2;
  case WEFT_VALUE_FALSE:
  case WEFT_VALUE_TRUE:
    lua_pushboolean(L, (f->node.flags & WEFT_VALUE_MASK) == WEFT_VALUE_TRUE);
    return 2;
  case WEFT_VALUE_NUMBER:
    lua_pushnumber(L, f->u.number);
    return 2;
  case WEFT_VALUE_INTEGER:
    lua_pushinteger(L, f->u.integer);
    return 2;
  case WEFT_VALUE_TABLE:
    return 1 + push_table(L, f, idx);
  default:
    return 1;
  }
}
