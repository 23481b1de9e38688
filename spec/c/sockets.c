/* SPDX-License-Identifier: MIT */
/*
 * spec/c/sockets.c: a Lua module with what specs do to sockets behind weft's
 * back; nothing is checked.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct {
  const char *name;
  int level, option;
} options[] = {{"nodelay", IPPROTO_TCP, TCP_NODELAY},
               {"keepalive", SOL_SOCKET, SO_KEEPALIVE},
#if defined(TCP_KEEPIDLE)
               {"keepidle", IPPROTO_TCP, TCP_KEEPIDLE},
#endif
#if defined(SO_REUSEPORT)
               {"reuseport", SOL_SOCKET, SO_REUSEPORT},
#endif
               {"reuseaddr", SOL_SOCKET, SO_REUSEADDR},
               {"sndbuf", SOL_SOCKET, SO_SNDBUF},
               {"rcvbuf", SOL_SOCKET, SO_RCVBUF},
               {NULL, 0, 0}};

static int find(const char *name) {
  int i = 0;
  while (options[i].name != NULL && strcmp(options[i].name, name) != 0)
    i++;
  return i;
}

/* option(fd, name) -> its value; nil where there is none */
static int l_option(lua_State *L) {
  int i = find(luaL_checkstring(L, 2)), value = 0;
  socklen_t size = sizeof(value);
  if (options[i].name == NULL ||
      getsockopt((int)luaL_checkinteger(L, 1), options[i].level,
                 options[i].option, &value, &size) != 0)
    return 0;
  lua_pushinteger(L, value);
  return 1;
}

/* set(fd, name, value) */
static int l_set(lua_State *L) {
  int i = find(luaL_checkstring(L, 2)), value = (int)luaL_checkinteger(L, 3);
  setsockopt((int)luaL_checkinteger(L, 1), options[i].level, options[i].option,
             &value, sizeof(value));
  return 0;
}

/* linger(fd): closing it will reset the connection */
static int l_linger(lua_State *L) {
  struct linger linger = {1, 0};
  setsockopt((int)luaL_checkinteger(L, 1), SOL_SOCKET, SO_LINGER, &linger,
             sizeof(linger));
  return 0;
}

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof(address));
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/* listen(backlog) -> descriptor, port */
static int l_listen(lua_State *L) {
  struct sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  bind(fd, (struct sockaddr *)&address, size);
  listen(fd, (int)luaL_checkinteger(L, 1));
  getsockname(fd, (struct sockaddr *)&address, &size);
  lua_pushinteger(L, fd);
  lua_pushinteger(L, ntohs(address.sin_port));
  return 2;
}

/* bound() -> descriptor, port: a port on which nobody listens */
static int l_bound(lua_State *L) {
  struct sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  bind(fd, (struct sockaddr *)&address, size);
  getsockname(fd, (struct sockaddr *)&address, &size);
  lua_pushinteger(L, fd);
  lua_pushinteger(L, ntohs(address.sin_port));
  return 2;
}

/* connect(port) -> descriptor of a socket on its way there */
static int l_connect(lua_State *L) {
  struct sockaddr_in address = loopback((int)luaL_checkinteger(L, 1));
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 &&
      errno != EINPROGRESS)
    return luaL_error(L, "connect: %s", strerror(errno));
  lua_pushinteger(L, fd);
  return 1;
}

/* accept(fd) -> descriptor; blocks */
static int l_accept(lua_State *L) {
  lua_pushinteger(L, accept((int)luaL_checkinteger(L, 1), NULL, NULL));
  return 1;
}

/* close(fd) */
static int l_close(lua_State *L) {
  close((int)luaL_checkinteger(L, 1));
  return 0;
}

/* is_inherited(fd) -> whether a child that a program starts would have it */
static int l_is_inherited(lua_State *L) {
  lua_pushboolean(L,
                  !(fcntl((int)luaL_checkinteger(L, 1), F_GETFD) & FD_CLOEXEC));
  return 1;
}

/* descriptors(n) -> the limit that was there; sets the soft one */
static int l_descriptors(lua_State *L) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  lua_pushnumber(L, (lua_Number)limit.rlim_cur);
  limit.rlim_cur = (rlim_t)luaL_checknumber(L, 1);
  if (limit.rlim_cur > limit.rlim_max)
    limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return 1;
}

static const luaL_Reg functions[] = {
    {"option", l_option},
    {"set", l_set},
    {"linger", l_linger},
    {"listen", l_listen},
    {"bound", l_bound},
    {"connect", l_connect},
    {"accept", l_accept},
    {"close", l_close},
    {"is_inherited", l_is_inherited},
    {"descriptors", l_descriptors},
    {NULL, NULL},
};

int luaopen_sockets(lua_State *L);

int luaopen_sockets(lua_State *L) {
  const luaL_Reg *one;
  lua_newtable(L);
  for (one = functions; one->name != NULL; one++) {
    lua_pushcfunction(L, one->func);
    lua_setfield(L, -2, one->name);
  }
  return 1;
}
