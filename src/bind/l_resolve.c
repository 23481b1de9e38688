/* SPDX-License-Identifier: MIT */
/*
 * bind/l_resolve.c: look-ups of names for Lua: one look-up, any number of tasks
 * that wait for it. The cache is weft.resolver's.
 *
 * As in l_task.c, a function that waits returns true, or false.
 */
#include "bind/lutil.h"

#include <string.h>

#include "net/resolve.h"

/* --- resolvers ----------------------------------------------------------- */

struct l_resolve {
  struct weft_resolve *resolve; /* NULL: closed */
  struct weft_loop *loop;       /* kept by the userdata's table */
};

static struct l_resolve *check_resolve(lua_State *L) {
  return weft_check_udata(L, 1, "weft.Resolve");
}

static int get_int(lua_State *L, const char *name, int otherwise) {
  int value = otherwise;
  lua_getfield(L, 1, name);
  if (!lua_isnil(L, -1))
    value = (int)luaL_checkinteger(L, -1);
  lua_pop(L, 1);
  return value;
}

/* The list of names in field `search`; the pointers are in a userdata on the
 * top, the names kept by the table. [-0, +1, e] */
static const char *const *get_domains(lua_State *L, int *count) {
  const char **domains;
  int i;
  lua_getfield(L, 1, "search");
  if (lua_isnil(L, -1))
    return NULL;
  luaL_checktype(L, -1, LUA_TTABLE);
  *count = (int)weft_lua_objlen(L, -1);
  domains = lua_newuserdata(L, ((size_t)*count + 1) * sizeof(*domains));
  for (i = 0; i < *count; i++) {
    lua_rawgeti(L, -2, i + 1);
    domains[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  lua_remove(L, -2);
  return domains;
}

/* Makes the userdata a loop's thing keeps it by. [table or nothing: -0, +0] */
static void keep_loop(lua_State *L, struct weft_loop *loop) {
  lua_newtable(L);
  weft_push_loop(L, loop);
  lua_rawseti(L, -2, 1);
  weft_lua_settable_of(L, -2);
}

/* resolve_new({servers=, timeout_ms=, tries=, ndots=, search=}) -> resolve, of
 * the current loop; or nil and UV_EINVAL's or UV_ENOTSUP's name */
static int l_resolve_new(lua_State *L) {
  struct weft_loop *loop = weft_current_loop(L);
  struct weft_resolve_options options;
  struct l_resolve *box;
  int rc;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  memset(&options, 0, sizeof(options));
  options.timeout_ms = get_int(L, "timeout_ms", 2000);
  options.tries = get_int(L, "tries", 3);
  options.ndots = get_int(L, "ndots", -1);
  options.domains = get_domains(L, &options.domain_count); /* opts domains */
  lua_getfield(L, 1, "servers");
  options.servers = lua_tostring(L, -1); /* opts domains servers */
  if (!loop->is_open)
    return weft_raise_kind(L, "closed", "the event loop is closed");
  box = weft_lua_newuserdata(L, sizeof(*box));
  memset(box, 0, sizeof(*box));
  box->loop = loop;
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.Resolve");
  lua_setmetatable(L, -2);
  keep_loop(L, loop);
  box->resolve = weft_resolve_new(&loop->uv, &loop->vm->mem, &options, &rc);
  if (box->resolve != NULL)
    return 1;
  if (rc == UV_ENOMEM)
    return luaL_error(L, "not enough memory");
  lua_pushnil(L);
  lua_pushstring(L, uv_err_name(rc));
  return 2;
}

int l_resolve__gc(lua_State *L) {
  struct l_resolve *box = lua_touserdata(L, 1);
  if (box->resolve != NULL && weft_loop_separate(box->loop) == 0)
    weft_resolve_free(box->resolve);
  box->resolve = NULL;
  return 0;
}

/* resolve_close(resolve): what waits gets ECLOSED. Idempotent. */
static int l_resolve_close(lua_State *L) {
  check_resolve(L);
  return l_resolve__gc(L);
}

/* resolve_counts(resolve) -> look-ups under way, look-ups not sent off yet */
static int l_resolve_counts(lua_State *L) {
  struct l_resolve *box = check_resolve(L);
  unsigned asked = 0, waiting = 0;
  if (box->resolve != NULL)
    weft_resolve_counts(box->resolve, &asked, &waiting);
  lua_pushinteger(L, (lua_Integer)asked);
  lua_pushinteger(L, (lua_Integer)waiting);
  return 2;
}

/* --- look-ups ------------------------------------------------------------ */

enum state { PENDING, DONE, CANCELLED };

struct l_lookup {
  struct weft_lookup lookup;
  struct weft_loop *loop;
  struct weft_list tasks; /* that wait for it */
  enum state state;
};

static struct l_lookup *check_lookup(lua_State *L) {
  return weft_check_udata(L, 1, "weft.Lookup");
}

static void on_done(struct weft_lookup *lookup) {
  struct l_lookup *box = (struct l_lookup *)(void *)lookup;
  struct weft_list *link;
  box->state = DONE;
  while ((link = weft_list_pop(&box->tasks)) != NULL)
    weft_task_wake(weft_task_of(link));
}

/* The last one that waits gives up: nobody is left to look up for. */
static void abort_lookup(struct weft_task *task) {
  struct l_lookup *box = task->future.u.target;
  weft_list_remove(&task->future.node.link);
  if (weft_list_is_empty(&box->tasks) && box->state == PENDING) {
    box->state = CANCELLED;
    weft_lookup_cancel(&box->lookup);
  }
}

static const struct weft_op_class op_lookup = {"name", abort_lookup, NULL,
                                               NULL};

/* lookup(resolve, host, family: 0, 4 or 6) -> lookup, started */
static int l_lookup_new(lua_State *L) {
  struct l_resolve *resolve = check_resolve(L);
  size_t size;
  const char *host = luaL_checklstring(L, 2, &size);
  lua_Integer family = luaL_checkinteger(L, 3);
  struct weft_mem *mem = &resolve->loop->vm->mem;
  struct l_lookup *box;
  if (resolve->resolve == NULL || !resolve->loop->is_open)
    return weft_raise_kind(L, "closed", "the resolver is closed");
  box = weft_lua_newuserdata(L, sizeof(*box));
  memset(box, 0, sizeof(*box));
  box->lookup.mem = mem;
  box->loop = resolve->loop;
  weft_list_init(&box->tasks);
  box->lookup.on_done = on_done;
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.Lookup");
  lua_setmetatable(L, -2);
  lua_newtable(L); /* keeps the resolver, which has its sockets */
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  weft_lua_settable_of(L, -2);
  if (weft_lookup_start(&box->lookup, resolve->resolve, mem, host, size,
                        family == 4   ? AF_INET
                        : family == 6 ? AF_INET6
                                      : AF_UNSPEC) == 0)
    box->state = DONE;
  return 1;
}

int l_lookup__gc(lua_State *L) {
  struct l_lookup *box = lua_touserdata(L, 1);
  if (weft_loop_separate(box->loop) != 0)
    return 0;
  weft_lookup_deinit(&box->lookup);
  if (box->state == PENDING)
    box->state = CANCELLED;
  return 0;
}

/* lookup_wait(lookup): waits until it is done */
static int l_lookup_wait(lua_State *L) {
  struct l_lookup *box = check_lookup(L);
  struct weft_task *task = weft_vm_of(L)->task;
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (box->state != PENDING) {
    lua_pushboolean(L, 1);
    return 1;
  }
  weft_list_push(&box->tasks, &task->future.node.link);
  task->future.u.target = box;
  return weft_task_park(task, L, &op_lookup, 1);
}

/* lookup_state(lookup) -> "pending", "done" or "cancelled" */
static int l_lookup_state(lua_State *L) {
  static const char *const names[] = {"pending", "done", "cancelled"};
  lua_pushstring(L, names[check_lookup(L)->state]);
  return 1;
}

/* {family=, address=, scope_id=} [-0, +1, m] */
static void push_address(lua_State *L, const union weft_sockaddr *address) {
  char text[WEFT_HOST_MAX];
  lua_createtable(L, 0, 4);
  lua_pushstring(L, weft_sockaddr_family(address));
  lua_setfield(L, -2, "family");
  weft_sockaddr_host(address, text);
  lua_pushstring(L, text);
  lua_setfield(L, -2, "address");
  if (address->any.sa_family == AF_INET6 && address->v6.sin6_scope_id != 0) {
    lua_pushinteger(L, (lua_Integer)address->v6.sin6_scope_id);
    lua_setfield(L, -2, "scope_id");
  }
}

/* lookup_answer(lookup) -> list of addresses, seconds to live or nil, canonical
 * name or nil; or nil, code, message */
static int l_lookup_answer(lua_State *L) {
  struct l_lookup *box = check_lookup(L);
  const struct weft_answer *answer = box->lookup.answer;
  unsigned i;
  if (box->lookup.error != WEFT_DNS_OK || answer == NULL) {
    lua_pushnil(L);
    lua_pushstring(L, weft_dns_name(box->lookup.error));
    lua_pushstring(L, weft_dns_message(box->lookup.error));
    return 3;
  }
  lua_createtable(L, (int)answer->count, 0);
  for (i = 0; i < answer->count; i++) {
    push_address(L, &answer->addresses[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  if (answer->ttl == WEFT_DNS_TTL_UNKNOWN)
    lua_pushnil(L);
  else
    lua_pushinteger(L, answer->ttl);
  if (answer->name[0] == '\0')
    lua_pushnil(L);
  else
    lua_pushstring(L, answer->name);
  return 3;
}

/* numeric_address(text) -> {family=, address=, scope_id=} in canonical form, or
 * nil: not numeric */
static int l_numeric_address(lua_State *L) {
  union weft_sockaddr address;
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  if (strlen(text) != size || weft_sockaddr_parse(text, 0, &address) != 0)
    return 0;
  push_address(L, &address);
  return 1;
}

static const luaL_Reg functions[] = {
    {"resolve_new", l_resolve_new},
    {"resolve_close", l_resolve_close},
    {"resolve_counts", l_resolve_counts},
    {"lookup", l_lookup_new},
    {"lookup_wait", l_lookup_wait},
    {"lookup_state", l_lookup_state},
    {"lookup_answer", l_lookup_answer},
    {"numeric_address", l_numeric_address},
    {NULL, NULL},
};

void weft_open_resolve(lua_State *L) {
  weft_set_functions(L, functions, NULL);
  lua_pushboolean(L, weft_resolve_has_options);
  lua_setfield(L, -2, "has_cares");
}
