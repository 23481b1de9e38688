/* SPDX-License-Identifier: MIT */
/*
 * loop/request.c: see request.h.
 * The userdata owns a request that was not started or is done; one under way
 * belongs to its completion.
 */
#include "loop/request.h"

#include "loop/loop.h"

static void free_request(struct weft_request *request) {
  struct weft_mem *mem = &request->loop->vm->mem;
  if (request->box != NULL)
    *request->box = NULL;
  if (request->cls->deinit != NULL)
    request->cls->deinit(request);
  weft_free(mem, request);
}

void *weft_request_new(lua_State *L, struct weft_loop *loop,
                       const struct weft_request_class *cls, size_t size) {
  struct weft_request **box = weft_lua_newuserdata(L, sizeof(*box));
  struct weft_request *request;
  *box = NULL;
  luaL_getmetatable(L, "weft.Request");
  lua_setmetatable(L, -2);
  request = weft_calloc(&loop->vm->mem, size);
  if (request == NULL)
    return NULL;
  request->cls = cls;
  request->loop = loop;
  request->box = box;
  return *box = request;
}

int weft_request_gc(lua_State *L) {
  struct weft_request **box = lua_touserdata(L, 1), *request = *box;
  if (request == NULL)
    return 0;
  request->box = NULL;
  *box = NULL;
  if (!request->is_started || request->is_done)
    free_request(request);
  return 0;
}

void weft_request_abort(struct weft_task *task) {
  struct weft_request *request = task->future.u.target;
  request->task = NULL;
  if (!request->is_done && request->cls->cancel != NULL)
    request->cls->cancel(request);
}

int weft_request_push(struct weft_task *task, lua_State *co) {
  struct weft_request *request = task->future.u.target;
  int n;
  lua_pushboolean(co, 1);
  n = request->cls->push(request, co);
  request->task = NULL;
  free_request(request);
  return n + 1;
}

int weft_request_park(struct weft_request *request, struct weft_task *task,
                      lua_State *L, int object) {
  request->is_started = 1;
  request->task = task;
  task->future.u.target = request;
  lua_settop(L, object);
  lua_replace(L, 1);
  return weft_task_park(task, L, &request->cls->op, 1);
}

void weft_request_complete(struct weft_request *request) {
  request->is_done = 1;
  if (request->task != NULL)
    weft_task_wake(request->task);
  else
    free_request(request);
}
