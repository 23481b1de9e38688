/* SPDX-License-Identifier: MIT */
/*
 * bind/l_net.c: sockets for Lua: what connects, what listens, and their
 * addresses and options. Numeric addresses only: names are weft.resolver's.
 *
 * A function that fails for a reason outside the program returns nil and a
 * code.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "bind/l_stream.h"
#include "net/sockaddr.h"

static int push_nil(lua_State *L, int code) {
  lua_pushnil(L);
  lua_pushinteger(L, code);
  return 2;
}

/* --- addresses ----------------------------------------------------------- */

union address {
  struct sockaddr any;
  union weft_sockaddr inet;
  struct sockaddr_un un;
  struct sockaddr_storage storage; /* whatever the system tells */
};

/* The address of (host, port) at idx, or of a path if port is nil: its size, or
 * an error. */
static int to_address(lua_State *L, int idx, union address *address) {
  size_t size;
  const char *text = luaL_checklstring(L, idx, &size);
  lua_Number port;
  int rc;
  if (lua_isnoneornil(L, idx + 1))
    return weft_sockaddr_path(text, size, &address->un);
  port = weft_check_number(L, idx + 1, "the port");
  if (memchr(text, '\0', size) != NULL || !(port >= 0 && port <= 65535))
    return UV_EINVAL;
  rc = weft_sockaddr_parse(text, (int)port, &address->inet);
  return rc == 0 ? (int)weft_sockaddr_size(&address->inet) : rc;
}

static void push_path(lua_State *L, const struct sockaddr_un *un,
                      socklen_t size) {
  size_t at = offsetof(struct sockaddr_un, sun_path);
  size_t n = size > at ? size - at : 0;
  if (n > 0 && un->sun_path[0] != '\0')
    n = strnlen(un->sun_path, n);
  lua_pushlstring(L, un->sun_path, n);
}

/* host port, or the path of a Unix socket; "" for one without a name. */
static int push_address(lua_State *L, const union address *address,
                        socklen_t size) {
  char text[WEFT_HOST_MAX];
  if (address->any.sa_family == AF_UNIX) {
    push_path(L, &address->un, size);
    return 1;
  }
  weft_sockaddr_host(&address->inet, text);
  lua_pushstring(L, text);
  lua_pushinteger(L, weft_sockaddr_port(&address->inet));
  return 2;
}

/* address(host, port) -> family "inet" or "inet6", or nil: not numeric */
static int l_net_address(lua_State *L) {
  union address address;
  if (to_address(L, 1, &address) < 0)
    return 0;
  lua_pushstring(L, address.any.sa_family == AF_INET    ? "inet"
                    : address.any.sa_family == AF_INET6 ? "inet6"
                                                        : "unix");
  return 1;
}

/* is_socket_file(path) -> whether it is the file of a Unix socket */
static int l_net_is_socket_file(lua_State *L) {
  struct stat file;
  lua_pushboolean(L, lstat(luaL_checkstring(L, 1), &file) == 0 &&
                         S_ISSOCK(file.st_mode));
  return 1;
}

/* --- options ------------------------------------------------------------- */

static int set_int(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

static int get_flag(lua_State *L, int table, const char *name) {
  int flag;
  lua_getfield(L, table, name);
  flag = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

static int get_int(lua_State *L, int table, const char *name, int otherwise) {
  int value = otherwise;
  lua_getfield(L, table, name);
  if (lua_isnumber(L, -1))
    value = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return value;
}

/* Small messages go out at once: who sends in pieces gives them together. */
static int set_tcp_options(lua_State *L, int opts, int fd) {
  int idle = get_int(L, opts, "keepalive", 0), rc = 0;
  if (!get_flag(L, opts, "delay"))
    rc = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (rc == 0 && idle > 0) {
    rc = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE)
    if (rc == 0)
      rc = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
#elif defined(TCP_KEEPALIVE)
    if (rc == 0)
      rc = set_int(fd, IPPROTO_TCP, TCP_KEEPALIVE, idle);
#endif
  }
  return rc;
}

/* --- streams ------------------------------------------------------------- */

/* Puts the descriptor, which it takes over, into the stream on the top. */
static int adopt(lua_State *L, struct l_stream *s, int fd) {
  int rc;
  struct weft_socket *socket =
      weft_socket_new(&s->loop->uv, &s->loop->vm->mem, fd, &rc);
  (void)L;
  if (socket != NULL)
    weft_stream_attach(s, (struct weft_filter *)(void *)socket);
  return rc;
}

static int bind_local(lua_State *L, int opts, int fd, int family) {
  union address address;
  int size;
  lua_getfield(L, opts, "local_host");
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return 0;
  }
  lua_getfield(L, opts, "local_port");
  size = to_address(L, lua_gettop(L) - 1, &address);
  lua_pop(L, 2);
  if (size < 0)
    return size;
  if (address.any.sa_family != family)
    return UV_EAFNOSUPPORT;
  return bind(fd, &address.any, (socklen_t)size) == 0 ? 0 : -errno;
}

/* connect_start(host or path, port or nil, opts) -> stream, which is on its way
 * to a connection; or nil, code */
static int l_net_connect_start(lua_State *L) {
  struct weft_loop *loop = weft_current_loop(L);
  union address address;
  struct l_stream *s;
  int fd, rc, size = to_address(L, 1, &address);
  luaL_checktype(L, 3, LUA_TTABLE);
  if (size < 0)
    return push_nil(L, size);
  lua_settop(L, 3);
  s = weft_stream_new(L, loop); /* host port opts stream */
  fd = weft_socket_open(address.any.sa_family, SOCK_STREAM);
  if (fd < 0)
    return push_nil(L, fd);
  rc = adopt(L, s, fd);
  if (rc == 0 && address.any.sa_family != AF_UNIX)
    rc = set_tcp_options(L, 3, fd);
  if (rc == 0)
    rc = bind_local(L, 3, fd, address.any.sa_family);
  if (rc == 0)
    rc = weft_socket_connect(weft_socket_of(s->stream.top), &address.any,
                             (socklen_t)size);
  if (rc == 0 || rc == UV_EAGAIN)
    return 1;
  weft_stream_detach(s);
  return push_nil(L, rc);
}

/* stream_of(fd) -> stream, which owns the descriptor; or nil, code */
static int l_net_stream_of(lua_State *L) {
  int fd = (int)weft_check_number(L, 1, "the descriptor"), rc;
  struct l_stream *s = weft_stream_new(L, weft_current_loop(L));
  rc = adopt(L, s, fd);
  return rc == 0 ? 1 : push_nil(L, rc);
}

/* The descriptor, or why there is none. */
static int fd_of(lua_State *L, int idx) {
  struct l_stream *s = weft_check_stream(L, idx);
  struct weft_socket *socket;
  if (s->stream.top == NULL)
    return WEFT_ESTREAMCLOSED;
  socket = weft_socket_of(s->stream.top);
  if (socket == NULL)
    return UV_ENOTSOCK;
  return weft_socket_fd(socket) >= 0 ? weft_socket_fd(socket) : UV_EBADF;
}

static int l_net_fileno(lua_State *L) {
  int fd = fd_of(L, 1);
  if (fd < 0)
    return 0;
  lua_pushinteger(L, fd);
  return 1;
}

typedef int name_function(int, struct sockaddr *, socklen_t *);

static int push_name(lua_State *L, int fd, name_function *get) {
  union address address;
  socklen_t size = sizeof(address);
  if (fd < 0)
    return push_nil(L, fd);
  memset(&address, 0, sizeof(address));
  if (get(fd, &address.any, &size) != 0)
    return push_nil(L, -errno);
  return push_address(L, &address, size);
}

static int l_net_getpeername(lua_State *L) {
  return push_name(L, fd_of(L, 1), getpeername);
}

static int l_net_getsockname(lua_State *L) {
  return push_name(L, fd_of(L, 1), getsockname);
}

/* socket_pair() -> two connected streams, or nil, code */
static int l_net_socket_pair(lua_State *L) {
  struct weft_loop *loop = weft_current_loop(L);
  struct l_stream *a = weft_stream_new(L, loop), *b = weft_stream_new(L, loop);
  int fds[2], rc;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
    return push_nil(L, -errno);
  (void)weft_socket_cloexec(fds[0]);
  (void)weft_socket_cloexec(fds[1]);
  rc = adopt(L, a, fds[0]);
  if (rc != 0)
    close(fds[1]);
  else
    rc = adopt(L, b, fds[1]);
  return rc == 0 ? 2 : push_nil(L, rc);
}

/* --- listening ----------------------------------------------------------- */

struct l_listener {
  struct weft_socket *socket; /* NULL: closed */
  struct weft_loop *loop;
  struct weft_task *task; /* who waits for a connection */
};

static void close_listener(struct l_listener *listener) {
  struct weft_socket *socket = listener->socket;
  listener->socket = NULL;
  if (socket != NULL && weft_loop_separate(listener->loop) == 0)
    weft_filter_destroy((struct weft_filter *)(void *)socket);
  if (listener->task != NULL)
    weft_task_wake(listener->task);
  listener->task = NULL;
}

int l_listener__gc(lua_State *L) {
  close_listener(lua_touserdata(L, 1));
  return 0;
}

static struct l_listener *check_listener(lua_State *L) {
  return weft_check_udata(L, 1, "weft.Listener");
}

static void on_ready(void *owner, int events) {
  struct l_listener *listener = owner;
  (void)events;
  if (listener->task != NULL)
    weft_task_wake(listener->task);
  listener->task = NULL;
}

static struct l_listener *new_listener(lua_State *L, struct weft_loop *loop) {
  struct l_listener *listener = weft_lua_newuserdata(L, sizeof(*listener));
  memset(listener, 0, sizeof(*listener));
  listener->loop = loop;
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_xmove(loop->home, L, 1);
  weft_lua_settable_of(L, -2);
  luaL_getmetatable(L, "weft.Listener");
  lua_setmetatable(L, -2);
  return listener;
}

static int set_listen_options(lua_State *L, int opts, int fd, int family) {
  int rc = 0;
  if (family != AF_UNIX)
    rc = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
#if defined(SO_REUSEPORT)
  if (rc == 0 && family != AF_UNIX && get_flag(L, opts, "reuse_port"))
    rc = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
#endif
  if (rc == 0 && family == AF_INET6)
    rc = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  return rc;
}

/* listen(host or path, port or nil, opts) -> listener, or nil, code */
static int l_net_listen(lua_State *L) {
  union address address;
  struct l_listener *listener;
  int fd, rc, size = to_address(L, 1, &address);
  luaL_checktype(L, 3, LUA_TTABLE);
  if (size < 0)
    return push_nil(L, size);
  listener = new_listener(L, weft_current_loop(L));
  fd = weft_socket_open(address.any.sa_family, SOCK_STREAM);
  if (fd < 0)
    return push_nil(L, fd);
  rc = set_listen_options(L, 3, fd, address.any.sa_family);
  if (rc == 0 && bind(fd, &address.any, (socklen_t)size) != 0)
    rc = -errno;
  if (rc == 0 && listen(fd, get_int(L, 3, "backlog", 511)) != 0)
    rc = -errno;
  if (rc != 0) {
    close(fd);
    return push_nil(L, rc);
  }
  listener->socket =
      weft_socket_new(&listener->loop->uv, &listener->loop->vm->mem, fd, &rc);
  if (listener->socket == NULL)
    return push_nil(L, rc);
  weft_socket_listen(listener->socket, on_ready, listener);
  return 1;
}

/* accept(listener, opts) -> stream; or nil, code (of which one is EAGAIN) */
static int l_net_accept(lua_State *L) {
  struct l_listener *listener = check_listener(L);
  struct l_stream *s;
  int fd, rc;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (listener->socket == NULL)
    return push_nil(L, WEFT_ESTREAMCLOSED);
  s = weft_stream_new(L, listener->loop);
  fd = weft_socket_accept(listener->socket);
  if (fd < 0)
    return push_nil(L, fd);
  rc = adopt(L, s, fd);
  if (rc == 0)
    (void)set_tcp_options(L, 2, fd); /* a Unix socket has none */
  return rc == 0 ? 1 : push_nil(L, rc);
}

static void abort_accept(struct weft_task *task) {
  ((struct l_listener *)task->future.u.target)->task = NULL;
}

static const struct weft_op_class op_accept = {"accept", abort_accept, NULL,
                                               NULL};

/* accept_wait(listener): waits until there may be a connection */
static int l_net_accept_wait(lua_State *L) {
  struct l_listener *listener = check_listener(L);
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (listener->task != NULL)
    return weft_raise_kind(L, "state", "another task accepts here already");
  rc = listener->socket != NULL
           ? weft_filter_want((struct weft_filter *)(void *)listener->socket,
                              WEFT_READ)
           : WEFT_ESTREAMCLOSED;
  if (rc != 0) {
    lua_pushboolean(L, 1);
    return 1; /* accept will say what it is */
  }
  listener->task = weft_vm_of(L)->task;
  listener->task->future.u.target = listener;
  return weft_task_park(listener->task, L, &op_accept, 1);
}

static int l_net_listener_close(lua_State *L) {
  close_listener(check_listener(L));
  return 0;
}

static int l_net_listener_name(lua_State *L) {
  struct l_listener *listener = check_listener(L);
  return push_name(L,
                   listener->socket != NULL ? weft_socket_fd(listener->socket)
                                            : WEFT_ESTREAMCLOSED,
                   getsockname);
}

/* --- errors -------------------------------------------------------------- */

/* error_of(code) -> name, message, kind (or nil) */
static int l_net_error_of(lua_State *L) {
  int code = (int)luaL_checkinteger(L, 1);
  if (weft_err_name(code) != NULL) {
    lua_pushstring(L, weft_err_name(code));
    lua_pushstring(L, weft_err_message(code));
    lua_pushstring(L, weft_err_kind(code));
    return 3;
  }
  lua_pushstring(L, uv_err_name(code));
  lua_pushstring(L, uv_strerror(code));
  return 2;
}

static const luaL_Reg functions[] = {
    {"address", l_net_address},
    {"is_socket_file", l_net_is_socket_file},
    {"connect_start", l_net_connect_start},
    {"stream_of", l_net_stream_of},
    {"fileno", l_net_fileno},
    {"getpeername", l_net_getpeername},
    {"getsockname", l_net_getsockname},
    {"socket_pair", l_net_socket_pair},
    {"listen", l_net_listen},
    {"accept", l_net_accept},
    {"accept_wait", l_net_accept_wait},
    {"listener_close", l_net_listener_close},
    {"listener_name", l_net_listener_name},
    {"error_of", l_net_error_of},
    {NULL, NULL},
};

void weft_open_net(lua_State *L) {
  weft_set_functions(L, functions, NULL);
}
