/* SPDX-License-Identifier: MIT */
/*
 * bind/l_process.c: child processes for Lua, and their pipes as streams.
 *
 * Owns: struct l_process, the userdata, which outlives the child or abandons
 * it: collected, it kills a child that is not detached. Its table has the
 * streams, for Lua.
 */
#include "bind/l_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "net/process.h"

struct l_process {
  struct weft_process *process; /* NULL: it has ended, or there never was one */
  struct weft_loop *loop;       /* kept by the table */
  struct weft_list tasks;       /* who waits for the end */
  int64_t code;
  int pid, signal;
  uint8_t has_ended;
};

/* --- waiting ------------------------------------------------------------- */

static struct l_process *check_process(lua_State *L) {
  return weft_check_self(L, "process");
}

static void on_exit_of(void *owner) {
  struct l_process *p = owner;
  struct weft_list *link;
  p->has_ended = !p->process->is_running;
  p->code = p->process->code;
  p->signal = p->process->signal;
  p->process = NULL;
  while ((link = weft_list_pop(&p->tasks)) != NULL)
    weft_task_wake(weft_task_of(link));
}

static void abort_wait(struct weft_task *task) {
  struct l_process *p = task->future.u.target;
  weft_list_remove(&task->future.node.link);
  if (p->process != NULL)
    weft_process_want(p->process, -1);
}

static const struct weft_op_class op_wait = {"process", abort_wait, NULL, NULL};

/* process_wait(process): waits until it has ended */
static int l_process_wait(lua_State *L) {
  struct l_process *p = check_process(L);
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (p->process == NULL) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (p->loop != weft_vm_of(L)->loop)
    return weft_raise(L, WEFT_EOTHERLOOP);
  weft_process_want(p->process, 1);
  weft_list_push(&p->tasks, &weft_vm_of(L)->task->future.node.link);
  weft_vm_of(L)->task->future.u.target = p;
  return weft_task_park(weft_vm_of(L)->task, L, &op_wait, 1);
}

/* process_state(process) -> pid, and once it has ended: code, signal (0: none)
 */
static int l_process_state(lua_State *L) {
  struct l_process *p = check_process(L);
  lua_pushinteger(L, p->pid);
  if (!p->has_ended)
    return 1;
  lua_pushinteger(L, (lua_Integer)p->code);
  lua_pushinteger(L, p->signal);
  return 3;
}

/* process_kill(process, signum) -> true, or nil, code */
static int l_process_kill(lua_State *L) {
  struct l_process *p = check_process(L);
  int signum = (int)luaL_checkinteger(L, 2);
  int rc =
      p->process != NULL ? weft_process_kill(p->process, signum) : UV_ESRCH;
  if (rc == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushinteger(L, rc);
  return 2;
}

/* process_table(process) -> its table */
static int l_process_table(lua_State *L) {
  check_process(L);
  weft_lua_gettable_of(L, 1);
  return 1;
}

int l_process__gc(lua_State *L) {
  struct l_process *p = lua_touserdata(L, 1);
  if (p->process != NULL)
    weft_process_abandon(p->process);
  p->process = NULL;
  return 0;
}

/* --- starting ------------------------------------------------------------ */

/* What is collected for uv_spawn. The arrays and the streams are userdata on
 * the stack, so an error on the way leaves nothing. */
struct spawn {
  uv_process_options_t options;
  uv_stdio_container_t stdio[3];
  struct l_stream *streams[3];
  int ours[3], theirs[3]; /* ends of pipes; -1: none */
};

/* The strings of the list at idx as a NULL-terminated array, which is pushed.
 * [-0, +1, e] */
static char **to_array(lua_State *L, int idx) {
  size_t n = weft_lua_objlen(L, idx), i;
  char **array = lua_newuserdata(L, (n + 1) * sizeof(*array));
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, idx, (int)i + 1);
    luaL_checktype(L, -1, LUA_TSTRING);
    array[i] = (char *)(uintptr_t)lua_tostring(L, -1);
    lua_pop(L, 1); /* the list keeps it */
  }
  array[n] = NULL;
  return array;
}

static int make_pipe(struct spawn *spawn, int i) {
  int fds[2];
#if defined(__linux__)
  if (pipe2(fds, O_CLOEXEC) != 0)
    return uv_translate_sys_error(errno);
#else
  if (pipe(fds) != 0)
    return uv_translate_sys_error(errno);
  fcntl(fds[0], F_SETFD, FD_CLOEXEC);
  fcntl(fds[1], F_SETFD, FD_CLOEXEC);
#endif
  spawn->ours[i] = fds[i == 0];
  spawn->theirs[i] = fds[i != 0];
  return 0;
}

static int set_stdio(struct spawn *spawn, int i, int kind) {
  uv_stdio_container_t *stdio = &spawn->stdio[i];
  int rc = 0;
  stdio->flags = kind == -1 ? UV_IGNORE : UV_INHERIT_FD;
  stdio->data.fd = kind;
  if (kind == -2) {
    rc = make_pipe(spawn, i);
    stdio->data.fd = spawn->theirs[i];
  }
  return rc;
}

static void close_fd(int *fd) {
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

/* Gives the streams our ends. */
static int attach(struct spawn *spawn) {
  int i, rc = 0;
  for (i = 0; i < 3 && rc == 0; i++) {
    struct l_stream *s = spawn->streams[i];
    int fd = spawn->ours[i];
    struct weft_socket *socket;
    if (fd < 0)
      continue;
    spawn->ours[i] = -1; /* it is the socket's, whatever comes */
    socket = weft_socket_new(&s->loop->uv, &s->loop->vm->mem, fd, &rc);
    if (socket != NULL)
      weft_stream_attach(s, (struct weft_filter *)(void *)socket);
  }
  return rc;
}

/* Streams of their own for the pipes, from which `spawn` is filled; pushes
 * three values. */
static int open_stdio(lua_State *L, struct spawn *spawn,
                      struct weft_loop *loop) {
  int i, rc = 0, kind, base = lua_gettop(L);
  for (i = 0; i < 3; i++) {
    lua_rawgeti(L, 4, i + 1);
    kind = (int)luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    if (kind == -2)
      spawn->streams[i] = weft_stream_new(L, loop);
    else
      lua_pushboolean(L, 0);
  }
  for (i = 0; i < 3 && rc == 0; i++) { /* nothing raises from here on */
    lua_rawgeti(L, 4, i + 1);
    kind = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (kind == -3) /* stderr goes where stdout goes */
      spawn->stdio[i] = spawn->stdio[1];
    else
      rc = set_stdio(spawn, i, kind);
  }
  lua_settop(L, base + 3);
  return rc;
}

static struct l_process *new_process(lua_State *L, struct weft_loop *loop) {
  struct l_process *p = weft_lua_newuserdata(L, sizeof(*p));
  memset(p, 0, sizeof(*p));
  p->loop = loop;
  weft_list_init(&p->tasks);
  lua_newtable(L); /* [0]: root, which keeps the loop */
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_xmove(loop->home, L, 1);
  lua_rawseti(L, -2, 0);
  weft_lua_settable_of(L, -2);
  luaL_getmetatable(L, "weft.Process");
  lua_setmetatable(L, -2);
  return p;
}

static void set_options(lua_State *L, uv_process_options_t *options) {
  lua_getfield(L, 3, "cwd");
  options->cwd = lua_tostring(L, -1); /* the table keeps it */
  lua_getfield(L, 3, "uid");
  if (!lua_isnil(L, -1)) {
    options->flags |= UV_PROCESS_SETUID;
    options->uid = (uv_uid_t)lua_tointeger(L, -1);
  }
  lua_getfield(L, 3, "gid");
  if (!lua_isnil(L, -1)) {
    options->flags |= UV_PROCESS_SETGID;
    options->gid = (uv_gid_t)lua_tointeger(L, -1);
  }
  lua_getfield(L, 3, "detached");
  if (lua_toboolean(L, -1))
    options->flags |= UV_PROCESS_DETACHED;
  lua_getfield(L, 3, "env");
  options->env = lua_istable(L, -1) ? to_array(L, lua_gettop(L)) : NULL;
}

/* `rc`: what opening gave. */
static int start(struct l_process *p, struct spawn *spawn, int rc) {
  int i;
  if (rc == 0)
    rc = attach(spawn);
  if (rc == 0)
    p->process = weft_process_spawn(&p->loop->uv, &p->loop->vm->mem,
                                    &spawn->options, on_exit_of, p, &rc);
  for (i = 0; i < 3; i++) {
    close_fd(&spawn->ours[i]);
    close_fd(&spawn->theirs[i]);
    if (rc != 0 && spawn->streams[i] != NULL)
      weft_stream_detach(spawn->streams[i]);
  }
  if (rc == 0)
    p->pid = uv_process_get_pid(&p->process->uv);
  return rc;
}

/* spawn(file, argv, opts, stdio) -> process, stdin, stdout, stderr (a stream or
 * false); or nil, code. stdio[i] is a descriptor, -1 for /dev/null, -2 for a
 * pipe, -3 for stdout's */
static int l_process_spawn(lua_State *L) {
  struct weft_loop *loop = weft_current_loop(L);
  struct spawn spawn;
  struct l_process *p;
  int rc, i;
  memset(&spawn, 0, sizeof(spawn));
  for (i = 0; i < 3; i++)
    spawn.ours[i] = spawn.theirs[i] = -1;
  lua_settop(L, 4);
  luaL_checkstack(L, 20, NULL);
  spawn.options.file = luaL_checkstring(L, 1);
  spawn.options.args = to_array(L, 2);
  spawn.options.stdio = spawn.stdio;
  spawn.options.stdio_count = 3;
  set_options(L, &spawn.options);
  p = new_process(L, loop);
  rc = start(p, &spawn, open_stdio(L, &spawn, loop));
  if (rc == 0)
    return 4;
  lua_pushnil(L);
  lua_pushinteger(L, rc);
  return 2;
}

static const luaL_Reg functions[] = {
    {"spawn", l_process_spawn},         {"process_wait", l_process_wait},
    {"process_state", l_process_state}, {"process_kill", l_process_kill},
    {"process_table", l_process_table}, {NULL, NULL},
};

void weft_open_process(lua_State *L) {
  weft_set_functions(L, functions, "weft.Process");
}
