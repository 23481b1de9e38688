/* SPDX-License-Identifier: MIT */
/*
 * loop/coroutine.c: coroutines inside tasks: any of them may wait, at any
 * depth.
 *
 * Owns: the link from a parked coroutine to the one that resumed it, and
 * coroutine.resume as it works inside a task. task.h declares it.
 *
 * While a chain of coroutines lies parked, each stack holds, from index 1:
 *   innermost:  mark, object or nil, its resumer (if WEFT_FLAG_NESTED is set)
 *   the others: mark, the coroutine it resumed, the one that resumed it or nil
 * The stacks keep the coroutines from being collected; nothing is allocated.
 */
#include "loop/loop.h"
#include "loop/raise.h"
#include "loop/task.h"

/* Coroutines resumed inside one another: each takes about 300 bytes of C's
 * stack, which LuaJIT does not watch (and Lua 5.4 ends at 200). */
#define DEPTH_MAX 4000u

/* The coroutines that are resumed now, innermost first, as C's stack has them:
 * at the far end the one that the loop resumed, with its parked parent. */
struct weft_chain {
  lua_State *co;
  lua_State *parent; /* of the last in the chain only */
  struct weft_chain *up;
};

int weft_co_run(struct weft_task *task, lua_State *co, lua_State *parent,
                lua_State *L, int nargs, int *nres) {
  struct weft_vm *vm = task->future.node.loop->vm;
  struct weft_chain base = {co, parent, NULL};
  int status;
  vm->chain = &base;
  vm->running = co;
  status = weft_lua_resume(co, L, nargs, nres);
  vm->running = NULL;
  vm->chain = NULL;
  return status;
}

static lua_State *parked_parent(lua_State *co) {
  return lua_tothread(co, 3);
}

lua_State *weft_co_parent(struct weft_task *task, lua_State *co) {
  struct weft_vm *vm = task->future.node.loop->vm;
  struct weft_chain *frame = vm->task == task ? vm->chain : NULL;
  if (frame == NULL && co == task->co &&
      !(task->future.node.flags & WEFT_FLAG_NESTED))
    return NULL;
  for (; frame != NULL; frame = frame->up)
    if (frame->co == co)
      return frame->up != NULL ? frame->up->co : frame->parent;
  return parked_parent(co);
}

static int push_thread(lua_State *L, lua_State *co) {
  lua_pushthread(co);
  if (co != L)
    lua_xmove(co, L, 1);
  return 1;
}

/* Is the error on the top of L the one that the table beneath it notes, and
 * did it go into `co`? */
static int is_noted(lua_State *L, lua_State *co) {
  int is;
  if (!lua_istable(L, -2))
    return 0;
  lua_rawgeti(L, -2, 1);
  lua_getfield(L, -3, "by"); /* noted error error' by */
  is = lua_rawequal(L, -2, -3) && lua_tothread(L, -1) == co;
  lua_pop(L, 2);
  return is;
}

/* Keeps the error and the coroutines that failed with it, each resumed by the
 * next, for the traceback of the task, should it fail with the same error:
 * extra.noted = {error, source, coroutine..., by = the one it goes into now},
 * the source being the coroutine that failed first, or what weft.error knows.
 * [co: error on top] */
static void note_failure(struct weft_task *task, lua_State *co, lua_State *by,
                         lua_State *L) {
  int top = lua_gettop(L), n = 2;
  luaL_checkstack(L, 6, NULL);
  weft_future_extra(L, &task->future, 0);
  lua_getfield(L, -1, "noted");
  lua_pushvalue(co, -1);
  lua_xmove(co, L, 1); /* extra noted error */
  if (is_noted(L, co)) {
    lua_pop(L, 1);
    n = (int)weft_lua_objlen(L, -1) + 1;
  } else {
    lua_createtable(L, 2, 1);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, top + 1, "noted"); /* extra noted' {error} */
  }
  push_thread(L, co);
  lua_rawseti(L, -2, n);
  push_thread(L, by);
  lua_setfield(L, -2, "by");
  lua_settop(L, top);
}

int weft_co_return(struct weft_task *task, lua_State *co, lua_State **parent,
                   lua_State *L, int status, int nres) {
  lua_State *to = *parent;
  int ok = status == LUA_OK || status == LUA_YIELD;
  *parent = parked_parent(to);
  if (*parent == NULL)
    task->future.node.flags &= (uint16_t)~WEFT_FLAG_NESTED;
  if (!ok) {
    note_failure(task, co, to, L);
    nres = 1;
  }
  luaL_checkstack(to, nres + 2, "too many results");
  lua_pushboolean(to, ok);
  lua_xmove(co, to, nres);
  task->co = to;
  return nres + 1;
}

int weft_co_push_parent(struct weft_task *task, lua_State *L) {
  const struct weft_chain *mine = task->future.node.loop->vm->chain;
  /* One that was resumed by a coroutine is tied to it when that one yields. */
  return mine->parent != NULL ? push_thread(L, mine->parent) : 0;
}

/* [L: coroutine args...] Leaves the results on L. */
static int return_now(struct weft_task *task, lua_State *co, lua_State *L,
                      int status, int nres) {
  int ok = status == LUA_OK || status == LUA_YIELD;
  if (!ok) {
    note_failure(task, co, L, L);
    nres = 1;
  }
  luaL_checkstack(L, nres + 2, "too many results");
  lua_pushboolean(L, ok);
  lua_xmove(co, L, nres);
  return nres + 1;
}

/* The child has parked: links it to L, and yields from L. */
static int park_parent(struct weft_task *task, lua_State *co, lua_State *L) {
  lua_settop(co, 2); /* mark object, or mark coroutine */
  lua_pushthread(L);
  lua_xmove(L, co, 1);
  task->future.node.flags |= WEFT_FLAG_NESTED;
  lua_settop(L, 1);
  weft_co_push_mark(L);
  lua_insert(L, 1); /* mark co */
  if (!weft_co_push_parent(task, L))
    lua_pushnil(L); /* the next one out will replace it, if there is one */
  return lua_yield(L, 3);
}

/* Why `co` cannot be resumed, or NULL. Asking lua_resume itself would spoil the
 * stack of a coroutine that is active. */
static const char *unresumable(lua_State *co, lua_State *L) {
  lua_Debug ar;
  if (co == L)
    return "cannot resume running coroutine";
  if (lua_status(co) == LUA_YIELD)
    return NULL;
  if (lua_status(co) != LUA_OK)
    return "cannot resume dead coroutine";
  if (lua_getstack(co, 0, &ar) > 0)
    return "cannot resume normal coroutine";
  return lua_gettop(co) == 0 ? "cannot resume dead coroutine" : NULL;
}

int weft_co_resume(struct weft_vm *vm, lua_State *L) {
  struct weft_task *task = vm->task;
  lua_State *co = lua_tothread(L, 1), *running = vm->running;
  struct weft_chain *chain = vm->chain;
  struct weft_chain here = {L, NULL, chain}; /* L was resumed by others */
  struct weft_chain frame = {co, NULL, chain->co == L ? chain : &here};
  int nargs = lua_gettop(L) - 1, status, nres;
  const char *problem = unresumable(co, L);
  if (problem == NULL && vm->depth == DEPTH_MAX)
    problem = "C stack overflow: too many coroutines inside one another";
  if (problem == NULL && !lua_checkstack(co, nargs + 2))
    problem = "too many arguments to resume";
  if (problem != NULL) {
    lua_pushboolean(L, 0);
    lua_pushstring(L, problem);
    return 2;
  }
  lua_xmove(L, co, nargs);
  if (running == L)
    vm->running = lua_isyieldable(L) ? co : NULL; /* NULL: none can wait */
  vm->chain = &frame;
  vm->depth++;
  status = weft_lua_resume(co, L, nargs, &nres);
  vm->depth--;
  vm->running = running;
  vm->chain = chain;
  if (task->future.node.state != WEFT_RUNNING)
    return park_parent(task, co, L);
  return return_now(task, co, L, status, nres);
}
