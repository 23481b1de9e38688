/* SPDX-License-Identifier: MIT */
/*
 * bind/l_wait.c: lists of waiters, latches and scopes for Lua. As in l_task.c,
 * a function that waits returns true and results, or false.
 */
#include "bind/lutil.h"

#include "base/err.h"

static int check_park(lua_State *L, int is_checked) {
  struct weft_vm *vm = weft_vm_of(L);
  int rc = is_checked ? weft_task_check(vm, L) : 0;
  return rc == 0 ? weft_task_check_park(vm, L) : rc;
}

static int refuse(lua_State *L, int rc) {
  if (rc != WEFT_EINTERRUPTED)
    return weft_raise(L, rc);
  lua_pushboolean(L, 0);
  return 1;
}

/* --- lists of waiters ---------------------------------------------------- */

/* waitlist() -> list */
static int l_waitlist_new(lua_State *L) {
  struct weft_waitlist *list = weft_lua_newuserdata(L, sizeof(*list));
  weft_list_init(&list->tasks);
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.Waitlist");
  lua_setmetatable(L, -2);
  return 1;
}

/* park(list): waits until wake */
static int l_waitlist_park(lua_State *L) {
  struct weft_waitlist *list = weft_check_udata(L, 1, "weft.Waitlist");
  int rc = check_park(L, 1);
  if (rc != 0)
    return refuse(L, rc);
  return weft_waitlist_park(list, weft_vm_of(L)->task, L);
}

/* wake(list, ...) -> whether there was a waiter, which gets the values */
static int l_waitlist_wake(lua_State *L) {
  struct weft_waitlist *list = weft_check_udata(L, 1, "weft.Waitlist");
  lua_pushboolean(L, weft_waitlist_wake(list, L, lua_gettop(L) - 1));
  return 1;
}

/* waiting(list) -> number of waiters */
static int l_waitlist_count(lua_State *L) {
  struct weft_waitlist *list = weft_check_udata(L, 1, "weft.Waitlist");
  struct weft_list *link = list->tasks.next;
  int n = 0;
  for (; link != &list->tasks; link = link->next)
    n++;
  lua_pushinteger(L, n);
  return 1;
}

/* --- latches ------------------------------------------------------------- */

static struct weft_latch *check_latch(lua_State *L) {
  return weft_check_udata(L, 1, "weft.Latch");
}

/* latch(futures) -> latch, which keeps the (still empty) table of futures */
static int l_latch_new(lua_State *L) {
  struct weft_loop *loop = weft_current_loop(L);
  struct weft_latch *latch;
  luaL_checktype(L, 1, LUA_TTABLE);
  latch = weft_lua_newuserdata(L, sizeof(*latch));
  weft_latch_init(latch, loop);
  lua_pushvalue(L, 1);
  weft_lua_settable_of(L, -2);
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.Latch");
  lua_setmetatable(L, -2);
  return 1;
}

int l_latch__gc(lua_State *L) {
  weft_latch_close(lua_touserdata(L, 1));
  return 0;
}

/* latch_add(latch, future, index): futures[index] = future, and watches it */
static int l_latch_add(lua_State *L) {
  struct weft_latch *latch = check_latch(L);
  struct weft_future *future = weft_check_future(L, 2);
  lua_Integer index = luaL_checkinteger(L, 3);
  if (future->node.loop != latch->loop)
    return weft_raise(L, WEFT_EOTHERLOOP);
  weft_lua_gettable_of(L, 1);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, (int)index);
  if (weft_latch_add(latch, future, (uint32_t)index) != 0)
    return luaL_error(L, "not enough memory");
  return 0;
}

static const char *const untils[] = {"all", "failure", "raised", "any", NULL};

/* latch_wait(latch, "all" | "failure" | "raised" | "any" [, shielded]) */
static int l_latch_wait(lua_State *L) {
  struct weft_latch *latch = check_latch(L);
  enum weft_until until =
      (enum weft_until)luaL_checkoption(L, 2, "all", untils);
  int is_shielded = lua_toboolean(L, 3), rc;
  if (weft_vm_of(L)->task == NULL)
    return weft_raise(L, WEFT_ENOTASK);
  rc = is_shielded ? 0 : weft_task_check(weft_vm_of(L), L);
  if (rc != 0)
    return refuse(L, rc);
  if (weft_latch_is_open(latch, until)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  rc = check_park(L, !is_shielded);
  if (rc != 0)
    return refuse(L, rc);
  if (latch->task != NULL)
    return weft_raise_kind(L, "state", "another task waits here already");
  return weft_latch_park(latch, weft_vm_of(L)->task, L, until);
}

/* latch_take(latch) -> index of the next completed future, or nil */
static int l_latch_take(lua_State *L) {
  uint32_t index = weft_latch_take(check_latch(L));
  if (index == 0)
    return 0;
  lua_pushinteger(L, (lua_Integer)index);
  return 1;
}

/* latch_futures(latch) -> the table of futures */
static int l_latch_futures(lua_State *L) {
  check_latch(L);
  weft_lua_gettable_of(L, 1);
  return 1;
}

/* latch_counts(latch) -> pending, completed and not taken, failed ever */
static int l_latch_counts(lua_State *L) {
  struct weft_latch *latch = check_latch(L);
  lua_pushinteger(L, (lua_Integer)latch->npending);
  lua_pushinteger(L, (lua_Integer)latch->ncompleted);
  lua_pushinteger(L, (lua_Integer)latch->nfailed);
  return 3;
}

/* latch_close(latch) */
static int l_latch_close(lua_State *L) {
  weft_latch_close(check_latch(L));
  return 0;
}

/* --- scopes -------------------------------------------------------------- */

static uint64_t to_deadline(lua_State *L, int idx) {
  return lua_isnoneornil(L, idx)
             ? UINT64_MAX
             : weft_to_ns(weft_check_number(L, idx, "the time"));
}

/* scope(when or nil, is_shield) -> scope, entered in the running task */
static int l_scope_enter(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  uint64_t deadline = to_deadline(L, 1);
  struct weft_scope *scope;
  if (vm->task == NULL)
    return weft_raise(L, WEFT_ENOTASK);
  lua_settop(L, 2);
  scope = weft_lua_newuserdata(L, sizeof(*scope));
  scope->task = NULL;
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.Scope");
  lua_setmetatable(L, -2);
  if (weft_scope_enter(scope, vm->task, L, deadline, lua_toboolean(L, 2)) != 0)
    return luaL_error(L, "not enough memory");
  return 1;
}

/* scope_leave(scope) -> whether it expired */
static int l_scope_leave(lua_State *L) {
  struct weft_scope *scope = weft_check_udata(L, 1, "weft.Scope");
  weft_scope_leave(scope);
  lua_pushboolean(L, scope->has_expired);
  return 1;
}

int l_scope__gc(lua_State *L) {
  weft_scope_leave(lua_touserdata(L, 1));
  return 0;
}

/* scope_is(scope, light): whether `interruption` meant this one */
static int l_scope_is(lua_State *L) {
  lua_pushboolean(L, lua_touserdata(L, 1) == lua_touserdata(L, 2));
  return 1;
}

/* scope_reschedule(scope, when or nil) */
static int l_scope_reschedule(lua_State *L) {
  struct weft_scope *scope = weft_check_udata(L, 1, "weft.Scope");
  if (weft_scope_reschedule(scope, to_deadline(L, 2)) != 0)
    return luaL_error(L, "not enough memory");
  return 0;
}

/* deadline() -> the nearest deadline in force, or nil */
static int l_scope_deadline(lua_State *L) {
  struct weft_vm *vm = weft_vm_of(L);
  uint64_t deadline =
      vm->task != NULL ? weft_scope_deadline(vm->task, L) : UINT64_MAX;
  if (deadline == UINT64_MAX)
    return 0;
  lua_pushnumber(L, (lua_Number)deadline / 1e9);
  return 1;
}

static const luaL_Reg functions[] = {
    {"waitlist", l_waitlist_new},
    {"park", l_waitlist_park},
    {"wake", l_waitlist_wake},
    {"waiting", l_waitlist_count},
    {"latch", l_latch_new},
    {"latch_add", l_latch_add},
    {"latch_wait", l_latch_wait},
    {"latch_take", l_latch_take},
    {"latch_futures", l_latch_futures},
    {"latch_counts", l_latch_counts},
    {"latch_close", l_latch_close},
    {"scope", l_scope_enter},
    {"scope_leave", l_scope_leave},
    {"scope_is", l_scope_is},
    {"scope_reschedule", l_scope_reschedule},
    {"deadline", l_scope_deadline},
    {NULL, NULL},
};

void weft_open_wait(lua_State *L) {
  weft_set_functions(L, functions);
}
