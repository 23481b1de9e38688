/* SPDX-License-Identifier: MIT */
/*
 * bind/l_wait.c: lists of waiters for Lua: what semaphores, locks and queues
 * park on. As in l_task.c, a function that waits returns true and results, or
 * false.
 */
#include "bind/lutil.h"

#include "base/err.h"

/* waitlist() -> list */
static int l_waitlist_new(lua_State *L) {
  struct weft_waitlist *list = weft_lua_newuserdata(L, sizeof(*list));
  weft_list_init(&list->tasks);
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  return 1;
}

/* park(list): waits until wake */
static int l_waitlist_park(lua_State *L) {
  struct weft_waitlist *list = weft_check_self(L, "waitlist");
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  return weft_waitlist_park(list, weft_vm_of(L)->task, L);
}

/* can_park([shielded]) -> true, or false when an interruption is to be raised;
 * raises where the caller cannot be suspended */
static int l_can_park(lua_State *L) {
  int rc;
  if (weft_vm_of(L)->task == NULL)
    return weft_raise(L, WEFT_ENOTASK);
  rc = lua_toboolean(L, 1) ? weft_task_check_park(weft_vm_of(L), L)
                           : weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  lua_pushboolean(L, 1);
  return 1;
}

/* wake(list, ...) -> whether there was a waiter, which gets the values */
static int l_waitlist_wake(lua_State *L) {
  struct weft_waitlist *list = weft_check_self(L, "waitlist");
  lua_pushboolean(L, weft_waitlist_wake(list, L, lua_gettop(L) - 1));
  return 1;
}

/* waiting(list) -> number of waiters */
static int l_waitlist_count(lua_State *L) {
  struct weft_waitlist *list = weft_check_self(L, "waitlist");
  struct weft_list *link = list->tasks.next;
  int n = 0;
  for (; link != &list->tasks; link = link->next)
    n++;
  lua_pushinteger(L, n);
  return 1;
}

static const luaL_Reg functions[] = {
    {"waitlist", l_waitlist_new},  {"park", l_waitlist_park},
    {"can_park", l_can_park},      {"wake", l_waitlist_wake},
    {"waiting", l_waitlist_count}, {NULL, NULL},
};

void weft_open_wait(lua_State *L) {
  weft_set_functions(L, functions, "weft.Waitlist");
}
