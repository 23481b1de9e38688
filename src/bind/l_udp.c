/* SPDX-License-Identifier: MIT */
/*
 * bind/l_udp.c: UDP sockets for Lua: numeric addresses only, names are
 * weft.resolver's.
 *
 * A function that fails for a reason outside the program returns nil, a code's
 * name and its message; one that waits returns true, or false, and whoever
 * waited tries again.
 */
#include "bind/lutil.h"

#include <net/if.h>
#include <string.h>

#include "net/udp.h"

/* An IPv4 datagram has up to 65,507 bytes, an IPv6 one 65,527. */
#define DATAGRAM_MAX 65535

enum { READERS, WRITERS };

struct l_udp {
  struct weft_udp *udp; /* NULL: closed */
  struct weft_loop *loop;
  struct weft_list tasks[2]; /* that wait for readers' or writers' turn */
  char *scratch;             /* what datagrams are received into */
  size_t room;               /* its size */
  int is_v6_only;
};

static int fail(lua_State *L, int rc) {
  if (rc == UV_ENOMEM)
    return luaL_error(L, "not enough memory");
  lua_pushnil(L);
  lua_pushstring(L, uv_err_name(rc));
  lua_pushstring(L, uv_strerror(rc));
  return 3;
}

static struct l_udp *check_udp(lua_State *L) {
  return weft_check_self(L, "datagram endpoint");
}

static struct l_udp *check_open(lua_State *L) {
  struct l_udp *box = check_udp(L);
  if (box->udp == NULL)
    weft_raise_kind(L, "closed", "the datagram endpoint is closed");
  return box;
}

/* --- waiting ------------------------------------------------------------- */

static void wake_all(struct l_udp *box) {
  int i;
  for (i = READERS; i <= WRITERS; i++) {
    struct weft_list *link;
    while ((link = weft_list_pop(&box->tasks[i])) != NULL)
      weft_task_wake(weft_task_of(link));
  }
}

/* What the tasks that wait want to know. */
static int want(struct l_udp *box) {
  int events = (weft_list_is_empty(&box->tasks[READERS]) ? 0 : UV_READABLE) |
               (weft_list_is_empty(&box->tasks[WRITERS]) ? 0 : UV_WRITABLE);
  return weft_udp_want(box->udp, events);
}

/* The first of each list may try; when it leaves something, the next one's turn
 * comes with the next poll. */
static void on_ready(void *listener, int events) {
  struct l_udp *box = listener;
  struct weft_list *link;
  if (events & UV_READABLE && (link = weft_list_pop(&box->tasks[READERS])))
    weft_task_wake(weft_task_of(link));
  if (events & UV_WRITABLE && (link = weft_list_pop(&box->tasks[WRITERS])))
    weft_task_wake(weft_task_of(link));
  want(box);
}

static void free_scratch(struct l_udp *box) {
  weft_free(&box->loop->vm->mem, box->scratch);
  box->scratch = NULL;
  box->room = 0;
}

static void on_close(void *listener) {
  struct l_udp *box = listener;
  box->udp = NULL;
  free_scratch(box);
  wake_all(box);
}

static void abort_wait(struct weft_task *task) {
  struct l_udp *box = task->future.u.target;
  weft_list_remove(&task->future.node.link);
  if (box->udp != NULL)
    want(box);
}

static const struct weft_op_class op_receive = {"datagram", abort_wait, NULL,
                                                NULL};
static const struct weft_op_class op_send = {"send", abort_wait, NULL, NULL};

static int wait_for(lua_State *L, int which, const struct weft_op_class *op) {
  struct l_udp *box = check_udp(L);
  struct weft_task *task = weft_vm_of(L)->task;
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (box->udp == NULL) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (task->future.node.loop != box->loop)
    return weft_raise_kind(L, "state",
                           "the object belongs to another event loop");
  weft_list_push(&box->tasks[which], &task->future.node.link);
  rc = want(box);
  if (rc != 0) {
    weft_list_remove(&task->future.node.link);
    return weft_raise(L, rc);
  }
  task->future.u.target = box;
  return weft_task_park(task, L, op, 1);
}

/* udp_wait_readable(udp), udp_wait_writable(udp) */
static int l_udp_wait_readable(lua_State *L) {
  return wait_for(L, READERS, &op_receive);
}

static int l_udp_wait_writable(lua_State *L) {
  return wait_for(L, WRITERS, &op_send);
}

/* --- opening and closing ------------------------------------------------- */

static int get_flag(lua_State *L, const char *name, int flag) {
  int is;
  lua_getfield(L, 2, name);
  is = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is ? flag : 0;
}

static struct l_udp *new_box(lua_State *L, struct weft_loop *loop) {
  struct l_udp *box = weft_lua_newuserdata(L, sizeof(*box));
  memset(box, 0, sizeof(*box));
  box->loop = loop;
  weft_list_init(&box->tasks[READERS]);
  weft_list_init(&box->tasks[WRITERS]);
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  lua_newtable(L); /* keeps the loop */
  weft_push_loop(L, loop);
  lua_rawseti(L, -2, 1);
  weft_lua_settable_of(L, -2);
  return box;
}

/* udp_open("inet" or "inet6", {reuse_address=, reuse_port=, broadcast=,
 * ipv6_only=}) -> udp of the current loop */
static int l_udp_open(lua_State *L) {
  struct weft_loop *loop = weft_current_loop(L);
  const char *family = luaL_checkstring(L, 1);
  struct l_udp *box;
  int flags, rc;
  luaL_checktype(L, 2, LUA_TTABLE);
  flags = get_flag(L, "reuse_address", WEFT_UDP_REUSE_ADDRESS) |
          get_flag(L, "reuse_port", WEFT_UDP_REUSE_PORT) |
          get_flag(L, "broadcast", WEFT_UDP_BROADCAST) |
          get_flag(L, "ipv6_only", WEFT_UDP_V6_ONLY);
  if (!loop->is_open)
    return weft_raise_kind(L, "closed", "the event loop is closed");
  box = new_box(L, loop);
  box->is_v6_only = (flags & WEFT_UDP_V6_ONLY) != 0;
  box->udp = weft_udp_open(&loop->uv, &loop->vm->mem,
                           strcmp(family, "inet6") == 0 ? AF_INET6 : AF_INET,
                           flags, &rc);
  if (box->udp == NULL)
    return fail(L, rc);
  weft_udp_listen(box->udp, on_ready, on_close, box);
  return 1;
}

int l_udp__gc(lua_State *L) {
  struct l_udp *box = lua_touserdata(L, 1);
  if (box->udp != NULL && weft_loop_separate(box->loop) == 0)
    weft_udp_close(box->udp);
  box->udp = NULL;
  free_scratch(box);
  return 0;
}

/* udp_close(udp): who waits goes on, and finds it closed. Idempotent. */
static int l_udp_close(lua_State *L) {
  struct l_udp *box = check_udp(L);
  l_udp__gc(L);
  wake_all(box);
  return 0;
}

/* udp_is_open(udp) */
static int l_udp_is_open(lua_State *L) {
  lua_pushboolean(L, check_udp(L)->udp != NULL);
  return 1;
}

/* --- addresses ----------------------------------------------------------- */

/* The numeric address at idx and the port behind it, as this socket takes it:
 * 0, UV_EINVAL if it is not numeric, UV_EAFNOSUPPORT. */
static int to_address(lua_State *L, struct l_udp *box, int idx,
                      union weft_sockaddr *address) {
  size_t size;
  const char *host = luaL_checklstring(L, idx, &size);
  lua_Number port = weft_check_number(L, idx + 1, "the port");
  int family = weft_udp_family(box->udp), rc;
  if (!(port >= 0 && port <= 65535))
    return weft_raise_kind(L, "type", "the port must be from 0 to 65535");
  if (strlen(host) != size)
    return UV_EINVAL;
  rc = weft_sockaddr_parse(host, (int)port, address);
  if (rc != 0 || address->any.sa_family == family)
    return rc;
  if (family == AF_INET || box->is_v6_only)
    return UV_EAFNOSUPPORT;
  weft_sockaddr_map(address);
  return 0;
}

static int push_address(lua_State *L, const union weft_sockaddr *address) {
  char host[WEFT_HOST_MAX];
  weft_sockaddr_host(address, host);
  lua_pushstring(L, host);
  lua_pushinteger(L, weft_sockaddr_port(address));
  return 2;
}

/* udp_bind(udp, host, port) -> true */
static int l_udp_bind(lua_State *L) {
  struct l_udp *box = check_open(L);
  union weft_sockaddr address;
  int rc = to_address(L, box, 2, &address);
  if (rc == 0)
    rc = weft_udp_bind(box->udp, &address);
  if (rc != 0)
    return fail(L, rc);
  lua_pushboolean(L, 1);
  return 1;
}

/* udp_connect(udp, host, port) -> true */
static int l_udp_connect(lua_State *L) {
  struct l_udp *box = check_open(L);
  union weft_sockaddr address;
  int rc = to_address(L, box, 2, &address);
  if (rc == 0)
    rc = weft_udp_connect(box->udp, &address);
  if (rc != 0)
    return fail(L, rc);
  lua_pushboolean(L, 1);
  return 1;
}

/* udp_name(udp), udp_peer(udp) -> host, port */
static int l_udp_name(lua_State *L) {
  union weft_sockaddr address;
  int rc = weft_udp_name(check_open(L)->udp, &address);
  return rc != 0 ? fail(L, rc) : push_address(L, &address);
}

static int l_udp_peer(lua_State *L) {
  union weft_sockaddr address;
  int rc = weft_udp_peer(check_open(L)->udp, &address);
  return rc != 0 ? fail(L, rc) : push_address(L, &address);
}

/* --- datagrams ----------------------------------------------------------- */

/* Room for `size` bytes; one more, so that there is a block for none. */
static void reserve(lua_State *L, struct l_udp *box, size_t size) {
  char *scratch;
  if (box->room > size)
    return;
  scratch = weft_realloc(&box->loop->vm->mem, box->scratch, size + 1);
  if (scratch == NULL) {
    luaL_error(L, "not enough memory");
    return;
  }
  box->scratch = scratch;
  box->room = size + 1;
}

static size_t to_size(lua_Number size) {
  return size >= 0 && size < DATAGRAM_MAX ? (size_t)size : DATAGRAM_MAX;
}

/* udp_receive(udp, max or nil) -> data, host, port, whether it was cut; or
 * false: none is there */
static int l_udp_receive(lua_State *L) {
  struct l_udp *box = check_open(L);
  size_t max = DATAGRAM_MAX;
  union weft_sockaddr from;
  ssize_t n;
  int is_cut = 0;
  if (!lua_isnoneornil(L, 2))
    max = to_size(weft_check_number(L, 2, "the size"));
  reserve(L, box, max);
  n = weft_udp_receive(box->udp, box->scratch, max, &from, &is_cut);
  if (n == UV_EAGAIN) {
    lua_pushboolean(L, 0);
    return 1;
  }
  if (n < 0)
    return fail(L, (int)n);
  lua_pushlstring(L, box->scratch, (size_t)n);
  push_address(L, &from);
  lua_pushboolean(L, is_cut);
  return 4;
}

/* udp_send(udp, data [, host, port]) -> true; or false: there is no room */
static int l_udp_send(lua_State *L) {
  struct l_udp *box = check_open(L);
  size_t size;
  const char *data = luaL_checklstring(L, 2, &size);
  union weft_sockaddr to;
  int has_to = !lua_isnoneornil(L, 3), rc = 0;
  if (has_to)
    rc = to_address(L, box, 3, &to);
  if (rc == 0)
    rc = weft_udp_send(box->udp, data, size, has_to ? &to : NULL);
  if (rc != 0 && rc != UV_EAGAIN)
    return fail(L, rc);
  lua_pushboolean(L, rc == 0);
  return 1;
}

/* --- options ------------------------------------------------------------- */

static int to_interface(lua_State *L, int idx, unsigned *interface) {
  *interface = 0;
  if (lua_isnoneornil(L, idx))
    return 0;
  if (lua_type(L, idx) == LUA_TNUMBER)
    *interface = (unsigned)lua_tointeger(L, idx);
  else
    *interface = if_nametoindex(luaL_checkstring(L, idx));
  return *interface != 0 ? 0 : UV_ENODEV;
}

/* udp_set(udp, option, value): a number, or a name or number of an interface */
static int l_udp_set(lua_State *L) {
  static const char *const names[] = {"ttl",
                                      "multicast_ttl",
                                      "multicast_loop",
                                      "multicast_interface",
                                      "receive_buffer",
                                      "send_buffer",
                                      NULL};
  struct l_udp *box = check_open(L);
  int option = luaL_checkoption(L, 2, NULL, names), rc = 0;
  unsigned value;
  if (option == WEFT_UDP_MULTICAST_INTERFACE)
    rc = to_interface(L, 3, &value);
  else
    value = (unsigned)weft_check_number(L, 3, names[option]);
  if (rc == 0)
    rc = weft_udp_set(box->udp, (enum weft_udp_option)option, (int)value);
  if (rc != 0)
    return fail(L, rc);
  lua_pushboolean(L, 1);
  return 1;
}

/* udp_membership(udp, group, interface or nil, join) -> true */
static int l_udp_membership(lua_State *L) {
  struct l_udp *box = check_open(L);
  union weft_sockaddr group;
  unsigned interface;
  int rc = weft_sockaddr_parse(luaL_checkstring(L, 2), 0, &group);
  if (rc == 0)
    rc = to_interface(L, 3, &interface);
  if (rc == 0)
    rc = weft_udp_membership(box->udp, &group, interface, lua_toboolean(L, 4));
  if (rc != 0)
    return fail(L, rc);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg functions[] = {
    {"udp_open", l_udp_open},
    {"udp_close", l_udp_close},
    {"udp_is_open", l_udp_is_open},
    {"udp_bind", l_udp_bind},
    {"udp_connect", l_udp_connect},
    {"udp_name", l_udp_name},
    {"udp_peer", l_udp_peer},
    {"udp_receive", l_udp_receive},
    {"udp_send", l_udp_send},
    {"udp_wait_readable", l_udp_wait_readable},
    {"udp_wait_writable", l_udp_wait_writable},
    {"udp_set", l_udp_set},
    {"udp_membership", l_udp_membership},
    {NULL, NULL},
};

void weft_open_udp(lua_State *L) {
  weft_set_functions(L, functions, "weft.Udp");
}
