/* SPDX-License-Identifier: MIT */
/*
 * bind/l_worker.c: a loop's pool of threads for Lua: a request for each call.
 * The pool's userdata is in the loop's root table, and lives as the loop does.
 */
#include "bind/lutil.h"

#include "base/err.h"
#include "loop/message.h"
#include "loop/work.h"
#include "loop/worker.h"

struct work_request {
  struct weft_request request;
  struct weft_pool **box; /* of the pool's userdata, which lives as the loop */
  struct weft_call *call;
};

static void cancel_work(struct weft_request *request) {
  struct work_request *work = (struct work_request *)(void *)request;
  if (*work->box != NULL)
    weft_pool_cancel(*work->box, work->call);
}

static void deinit_work(struct weft_request *request) {
  struct work_request *work = (struct work_request *)(void *)request;
  weft_call_free(work->call);
}

/* Pushes the status and what the thread gave. */
static int push_work(struct weft_request *request, lua_State *co) {
  static const char *const statuses[] = {"ok",   "raised", "error",
                                         "type", "limit",  "memory"};
  struct work_request *work = (struct work_request *)(void *)request;
  if (work->call == NULL) {
    lua_pushliteral(co, "closed");
    return 1;
  }
  lua_pushstring(co, statuses[work->call->status]);
  return 1 + weft_message_push(co, &work->call->out);
}

static const struct weft_request_class work_class = {
    WEFT_REQUEST_OP("thread"), push_work, deinit_work, cancel_work};

static void on_done(void *owner, struct weft_call *call) {
  struct work_request *work = owner;
  work->call = call;
  weft_request_complete(&work->request);
}

/* pool_new(loop) -> pool */
static int l_pool_new(lua_State *L) {
  struct weft_loop *loop = weft_check_loop(L, 1);
  struct weft_pool **box;
  int rc;
  if (!loop->is_open)
    return weft_raise(L, WEFT_ECLOSED);
  box = weft_lua_newuserdata(L, sizeof(*box));
  *box = NULL;
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.Pool");
  lua_setmetatable(L, -2);
  rc = weft_pool_open(box, &loop->uv, on_done);
  return rc == 0 ? 1 : weft_raise(L, rc);
}

int l_pool__gc(lua_State *L) {
  struct weft_pool **box = lua_touserdata(L, 1);
  if (*box != NULL)
    weft_pool_close(*box);
  return 0;
}

static struct weft_pool **check_pool(lua_State *L) {
  struct weft_pool **box = weft_check_udata(L, 1, "weft.Pool");
  if (*box == NULL)
    weft_raise(L, WEFT_ECLOSED);
  return box;
}

/* Fills the message with the values from index 2 on; the first `head` of them
 * are ours, the others the arguments. Raises. */
static void fill(lua_State *L, struct weft_call *call, int head, int top) {
  enum weft_message_error error =
      weft_message_add(&call->in, &call->mem, L, 2, head, "value");
  if (error == WEFT_MESSAGE_OK)
    error = weft_message_add(&call->in, &call->mem, L, 2 + head, top - 1 - head,
                             "argument");
  if (error == WEFT_MESSAGE_MEMORY)
    luaL_error(L, "not enough memory");
  else if (error != WEFT_MESSAGE_OK)
    weft_raise_kind(L, error == WEFT_MESSAGE_TYPE ? "type" : "limit", "%s",
                    lua_tostring(L, -1));
}

/* pool_call(pool, path, cpath, module or false, name or bytes, ...) -> true,
 * status, ... */
static int l_pool_call(lua_State *L) {
  struct weft_pool **box = check_pool(L);
  struct weft_vm *vm = weft_vm_of(L);
  struct work_request *work;
  int rc = weft_check_park(L), top = lua_gettop(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  luaL_checkstack(L, 8, NULL);
  work = weft_request_new(L, vm->loop, &work_class, sizeof(*work));
  if (work == NULL)
    return luaL_error(L, "not enough memory");
  work->box = box;
  work->call = weft_call_new(work);
  if (work->call == NULL)
    return luaL_error(L, "not enough memory");
  fill(L, work->call, 4, top);
  rc = weft_pool_submit(*box, work->call);
  if (rc != 0)
    return weft_raise(L, rc);
  return weft_request_park(&work->request, vm->task, L, top + 1);
}

static void set_count(lua_State *L, const char *name, unsigned long n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, name);
}

/* pool_statistics(pool) -> table of counts */
static int l_pool_statistics(lua_State *L) {
  struct weft_pool_statistics st;
  weft_pool_count(*check_pool(L), &st);
  lua_createtable(L, 0, 5);
  set_count(L, "threads", st.threads);
  set_count(L, "idle", st.idle);
  set_count(L, "queued", st.queued);
  set_count(L, "abandoned", st.lost);
  set_count(L, "completed", st.completed);
  return 1;
}

/* pool_limit(pool, n) */
static int l_pool_limit(lua_State *L) {
  weft_pool_limit(*check_pool(L), (unsigned)luaL_checkinteger(L, 2));
  return 0;
}

static const luaL_Reg functions[] = {
    {"pool_new", l_pool_new},
    {"pool_call", l_pool_call},
    {"pool_statistics", l_pool_statistics},
    {"pool_limit", l_pool_limit},
    {NULL, NULL},
};

void weft_open_worker(lua_State *L) {
  weft_set_functions(L, functions, NULL);
}
