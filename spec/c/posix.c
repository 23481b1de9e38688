/* SPDX-License-Identifier: MIT */
/*
 * spec/c/posix.c: a Lua module with the system calls that a host of a loop, or
 * the parent of a process, needs; nothing is checked.
 */
#include <lauxlib.h>
#include <lua.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* poll(fd, seconds or nil) -> whether it is readable */
static int l_poll(lua_State *L) {
  struct pollfd one = {(int)luaL_checkinteger(L, 1), POLLIN, 0};
  double seconds = luaL_optnumber(L, 2, -1);
  int ms = seconds < 0 ? -1 : (int)(seconds * 1e3 + 0.999999);
  lua_pushboolean(L, poll(&one, 1, ms) > 0);
  return 1;
}

/* poll_any(seconds or nil, fd, ...) -> for each descriptor: is it readable */
static int l_poll_any(lua_State *L) {
  struct pollfd some[16];
  double seconds = luaL_optnumber(L, 1, -1);
  int n = lua_gettop(L) - 1, i;
  for (i = 0; i < n && i < 16; i++) {
    some[i].fd = (int)luaL_checkinteger(L, i + 2);
    some[i].events = POLLIN;
    some[i].revents = 0;
  }
  poll(some, (nfds_t)i, seconds < 0 ? -1 : (int)(seconds * 1e3 + 0.999999));
  for (n = 0; n < i; n++)
    lua_pushboolean(L, some[n].revents != 0);
  return i;
}

/* kill(pid, signum); a pid of 0 is the process itself */
static int l_kill(lua_State *L) {
  pid_t pid = (pid_t)luaL_checkinteger(L, 1);
  kill(pid != 0 ? pid : getpid(), (int)luaL_checkinteger(L, 2));
  return 0;
}

/* getpid() -> pid */
static int l_getpid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

/* fork() -> pid, 0 in the child */
static int l_fork(lua_State *L) {
  lua_pushinteger(L, fork());
  return 1;
}

/* leave(status): ends the process without closing the lua_State */
static int l_leave(lua_State *L) {
  _exit((int)luaL_checkinteger(L, 1));
  return 0;
}

/* wait(pid) -> status, as a shell's $? */
static int l_wait(lua_State *L) {
  int status = 0;
  waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0);
  lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status)
                                       : 128 + WTERMSIG(status));
  return 1;
}

/* pipe() -> reading end, writing end */
static int l_pipe(lua_State *L) {
  int ends[2] = {-1, -1};
  if (pipe(ends) != 0)
    return luaL_error(L, "pipe failed");
  lua_pushinteger(L, ends[0]);
  lua_pushinteger(L, ends[1]);
  return 2;
}

/* close(fd) */
static int l_close(lua_State *L) {
  close((int)luaL_checkinteger(L, 1));
  return 0;
}

/* write(fd, text) -> bytes written, or a negative number */
static int l_write(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  lua_pushinteger(L, write((int)luaL_checkinteger(L, 1), text, size));
  return 1;
}

/* cpu() -> seconds of processor time of this thread */
static int l_cpu(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  lua_pushnumber(L, (double)t.tv_sec + (double)t.tv_nsec / 1e9);
  return 1;
}

/* now() -> seconds of the monotonic clock */
static int l_now(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (double)t.tv_sec + (double)t.tv_nsec / 1e9);
  return 1;
}

/* disposition(signum) -> "default", "ignored" or "handled" */
static int l_disposition(lua_State *L) {
  struct sigaction action;
  sigaction((int)luaL_checkinteger(L, 1), NULL, &action);
  lua_pushstring(L, action.sa_handler == SIG_DFL   ? "default"
                    : action.sa_handler == SIG_IGN ? "ignored"
                                                   : "handled");
  return 1;
}

/* default(signum): gives the signal its default effect */
static int l_default(lua_State *L) {
  signal((int)luaL_checkinteger(L, 1), SIG_DFL);
  return 0;
}

static const luaL_Reg functions[] = {
    {"poll_any", l_poll_any},
    {"poll", l_poll},
    {"kill", l_kill},
    {"getpid", l_getpid},
    {"fork", l_fork},
    {"leave", l_leave},
    {"wait", l_wait},
    {"pipe", l_pipe},
    {"close", l_close},
    {"write", l_write},
    {"cpu", l_cpu},
    {"now", l_now},
    {"disposition", l_disposition},
    {"default", l_default},
    {NULL, NULL},
};

int luaopen_posix(lua_State *L);

int luaopen_posix(lua_State *L) {
  const luaL_Reg *one;
  lua_newtable(L);
  for (one = functions; one->name != NULL; one++) {
    lua_pushcfunction(L, one->func);
    lua_setfield(L, -2, one->name);
  }
  return 1;
}
