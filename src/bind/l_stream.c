/* SPDX-License-Identifier: MIT */
/*
 * bind/l_stream.c: streams for Lua: one operation of each direction at a time,
 * each of which a task may wait for.
 *
 * A function that waits returns true and its results; true, nil, a code of
 * libuv or weft (and, from a read, what there was); or false when it was
 * interrupted. lua/weft/stream.lua makes returns and errors of these.
 */
#include "bind/l_stream.h"

#include <string.h>

#include "base/err.h"

#define PINS                                                      \
  4 /* strings of a write for which the table has room from birth \
     */

/* --- the object ---------------------------------------------------------- */

static struct l_stream *of(struct weft_stream *stream) {
  return WEFT_CONTAINER_OF(stream, struct l_stream, stream);
}

static void on_done(struct weft_stream *stream, enum weft_stream_op op) {
  if (of(stream)->tasks[op] != NULL)
    weft_task_wake(of(stream)->tasks[op]);
}

struct l_stream *weft_stream_new(lua_State *L, struct weft_loop *loop) {
  struct l_stream *s = weft_lua_newuserdata(L, sizeof(*s));
  memset(s, 0, sizeof(*s));
  s->loop = loop;
  lua_createtable(L, PINS, 4); /* [0]: root, which keeps the loop */
  lua_pushvalue(loop->home, WEFT_HOME_ROOT);
  lua_xmove(loop->home, L, 1);
  lua_rawseti(L, -2, 0);
  weft_lua_settable_of(L, -2);
  luaL_getmetatable(L, "weft.Stream");
  lua_setmetatable(L, -2);
  return s;
}

static void free_bufs(struct l_stream *s) {
  if (s->more_bufs != NULL)
    weft_free(s->stream.mem, s->more_bufs);
  s->more_bufs = NULL;
}

void weft_stream_attach(struct l_stream *s, struct weft_filter *top) {
  weft_stream_init(&s->stream, top);
  s->stream.on_done = on_done;
}

void weft_stream_detach(struct l_stream *s) {
  struct weft_socket *socket;
  if (s->stream.top == NULL || weft_loop_separate(s->loop) != 0)
    return;
  socket = weft_socket_of(s->stream.top);
  if (s->loop->is_separate && socket != NULL)
    weft_socket_sever(socket); /* TLS says goodbye: not for the parent */
  weft_stream_close(&s->stream);
  free_bufs(s);
}

int l_stream__gc(lua_State *L) {
  weft_stream_detach(lua_touserdata(L, 1));
  return 0;
}

struct l_stream *weft_check_stream(lua_State *L, int idx) {
  return weft_check_udata(L, idx, "weft.Stream");
}

static struct l_stream *check_op(lua_State *L, struct l_stream *s,
                                 enum weft_stream_op op) {
  static const char *const verbs[] = {"connects", "reads", "writes"};
  if (s->stream.top == NULL)
    weft_raise(L, WEFT_ESTREAMCLOSED);
  if (weft_vm_of(L)->loop != s->loop)
    weft_raise(L, weft_vm_of(L)->task == NULL ? WEFT_ENOTASK : WEFT_EOTHERLOOP);
  if (s->tasks[op] != NULL || (s->stream.pending & (1 << op)) != 0)
    weft_raise_kind(L, "state", "another task %s on this stream already",
                    verbs[op]);
  return s;
}

struct l_stream *weft_check_stream_op(lua_State *L, int idx,
                                      enum weft_stream_op op) {
  return check_op(L, weft_check_stream(L, idx), op);
}

static struct l_stream *check_self(lua_State *L, enum weft_stream_op op) {
  return check_op(L, weft_check_self(L, "stream"), op);
}

/* true nil code */
static int push_failure(lua_State *L, int code) {
  lua_pushboolean(L, 1);
  lua_pushnil(L);
  lua_pushinteger(L, code);
  return 3;
}

static int push_done(lua_State *L, int rc) {
  if (rc != 0)
    return push_failure(L, rc);
  lua_pushboolean(L, 1);
  lua_pushboolean(L, 1);
  return 2;
}

/* --- waiting ------------------------------------------------------------- */

static void abort_op(struct weft_task *task, enum weft_stream_op op) {
  struct l_stream *s = task->future.u.target;
  s->tasks[op] = NULL;
  weft_stream_cancel(&s->stream, op);
}

/* Takes the task off; what its operation came to. */
static int done_op(struct weft_task *task, enum weft_stream_op op) {
  struct l_stream *s = task->future.u.target;
  s->tasks[op] = NULL;
  return s->stream.top != NULL ? s->stream.result[op] : WEFT_ESTREAMCLOSED;
}

static int park(lua_State *L, struct l_stream *s, enum weft_stream_op op,
                const struct weft_op_class *cls) {
  struct weft_task *task = weft_vm_of(L)->task;
  s->tasks[op] = task;
  task->future.u.target = s;
  return weft_task_park(task, L, cls, 1);
}

/* --- connecting ---------------------------------------------------------- */

static void abort_connect(struct weft_task *task) {
  abort_op(task, WEFT_OP_CONNECT);
}

static int push_connect(struct weft_task *task, lua_State *co) {
  return push_done(co, done_op(task, WEFT_OP_CONNECT));
}

static const struct weft_op_class op_connect = {"connect", abort_connect,
                                                push_connect, NULL};

/* stream_connect(stream): waits until the chain is ready for use */
static int l_stream_connect(lua_State *L) {
  struct l_stream *s = check_self(L, WEFT_OP_CONNECT);
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  rc = weft_stream_connect(&s->stream);
  return rc == UV_EAGAIN ? park(L, s, WEFT_OP_CONNECT, &op_connect)
                         : push_done(L, rc);
}

/* --- reading ------------------------------------------------------------- */

/* Pushes the first `size` bytes received, and takes them. */
static void push_bytes(lua_State *L, struct weft_stream *stream, size_t size) {
  if (size == 0) {
    lua_pushliteral(L, "");
    return;
  }
  lua_pushlstring(L, weft_buffer_data(&stream->in), size);
  weft_stream_take(stream, size);
}

static int push_read_result(lua_State *L, struct weft_stream *stream, int rc) {
  enum weft_read_kind kind = stream->read.kind;
  size_t size = weft_buffer_size(&stream->in);
  if (rc == UV_EOF && (kind == WEFT_READ_SOME || kind == WEFT_READ_ALL))
    rc = 0, stream->ready = size;
  if (rc == 0) {
    lua_pushboolean(L, 1);
    push_bytes(L, stream, stream->ready);
    return 2;
  }
  push_failure(L, rc);
  if (rc == WEFT_ELIMIT || rc == UV_ENOMEM || size == 0)
    return 3; /* it can still be read */
  push_bytes(L, stream, size);
  return 4;
}

static void abort_read(struct weft_task *task) {
  abort_op(task, WEFT_OP_READ);
}

static int push_read(struct weft_task *task, lua_State *co) {
  struct l_stream *s = task->future.u.target;
  return push_read_result(co, &s->stream, done_op(task, WEFT_OP_READ));
}

static const struct weft_op_class op_read = {"read", abort_read, push_read,
                                             NULL};

/* The size at an index; what is larger than any memory is as good as that. */
static size_t check_size(lua_State *L, int idx, size_t otherwise) {
  lua_Number size;
  if (lua_isnoneornil(L, idx))
    return otherwise;
  size = weft_check_number(L, idx, "the number of bytes");
  if (!(size >= 0))
    weft_raise_kind(L, "type", "the number of bytes must be 0 or more");
  return size < (lua_Number)((size_t)-1 / 4) ? (size_t)size : (size_t)-1 / 4;
}

static int read_now(lua_State *L, struct l_stream *s) {
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  s->stream.read.scanned = 0;
  rc = weft_stream_read(&s->stream);
  return rc == UV_EAGAIN ? park(L, s, WEFT_OP_READ, &op_read)
                         : push_read_result(L, &s->stream, rc);
}

#define SOME ((size_t)64 * 1024) /* of a read() that does not say how much */

/* stream_read(stream [, n]): some bytes; "" at the end */
static int l_stream_read(lua_State *L) {
  struct l_stream *s = check_self(L, WEFT_OP_READ);
  s->stream.read.size = check_size(L, 2, SOME);
  s->stream.read.kind =
      s->stream.read.size > 0 ? WEFT_READ_SOME : WEFT_READ_EXACTLY;
  return read_now(L, s);
}

/* stream_read_exactly(stream, n) */
static int l_stream_read_exactly(lua_State *L) {
  struct l_stream *s = check_self(L, WEFT_OP_READ);
  s->stream.read.kind = WEFT_READ_EXACTLY;
  s->stream.read.size = check_size(L, 2, 0);
  return read_now(L, s);
}

/* stream_read_until(stream, separator, max) */
static int l_stream_read_until(lua_State *L) {
  struct l_stream *s = check_self(L, WEFT_OP_READ);
  struct weft_read *read = &s->stream.read;
  size_t size;
  const char *separator = luaL_checklstring(L, 2, &size);
  if (size == 0 || size > WEFT_SEPARATOR_MAX)
    return weft_raise_kind(L, "type", "a separator has 1 to %d bytes",
                           WEFT_SEPARATOR_MAX);
  read->kind = WEFT_READ_UNTIL;
  read->size = check_size(L, 3, 0);
  read->separator_size = size;
  memcpy(read->separator, separator, size);
  return read_now(L, s);
}

/* stream_read_all(stream, max) */
static int l_stream_read_all(lua_State *L) {
  struct l_stream *s = check_self(L, WEFT_OP_READ);
  s->stream.read.kind = WEFT_READ_ALL;
  s->stream.read.size = check_size(L, 2, 0);
  return read_now(L, s);
}

/* --- writing ------------------------------------------------------------- */

static void abort_write(struct weft_task *task) {
  struct l_stream *s = task->future.u.target;
  abort_op(task, WEFT_OP_WRITE);
  free_bufs(s);
}

/* The strings of a write that waits are in the stream's table. */
static void unpin(lua_State *L, int idx) {
  int i;
  weft_lua_gettable_of(L, idx);
  for (i = (int)weft_lua_objlen(L, -1); i > 0; i--) {
    lua_pushnil(L);
    lua_rawseti(L, -2, i);
  }
  lua_pop(L, 1);
}

static int push_write(struct weft_task *task, lua_State *co) {
  struct l_stream *s = task->future.u.target;
  int rc = done_op(task, WEFT_OP_WRITE);
  free_bufs(s);
  unpin(co, 2);
  return push_done(co, rc);
}

static const struct weft_op_class op_write = {"write", abort_write, push_write,
                                              NULL};

/* Points the bufs at the strings from index 2 to `top`. */
static uv_buf_t *gather(lua_State *L, struct l_stream *s, int top) {
  uv_buf_t *bufs = s->bufs;
  int i;
  if (top - 1 > WEFT_STREAM_BUFS) {
    bufs = weft_malloc(s->stream.mem, (size_t)(top - 1) * sizeof(*bufs));
    if (bufs == NULL)
      luaL_error(L, "not enough memory");
    s->more_bufs = bufs;
  }
  for (i = 2; i <= top; i++) {
    size_t size;
    bufs[i - 2].base = (char *)(uintptr_t)lua_tolstring(L, i, &size);
    bufs[i - 2].len = size;
  }
  return bufs;
}

static void check_strings(lua_State *L, int top) {
  int i;
  for (i = 2; i <= top; i++)
    if (!lua_isstring(L, i))
      weft_raise_kind(L, "type",
                      "write: argument %d: a string expected, got %s", i - 1,
                      luaL_typename(L, i));
}

/* Keeps the strings from index 2 on. [-n, +0, m] */
static void pin(lua_State *L, int top) {
  int i;
  weft_lua_gettable_of(L, 1);
  lua_insert(L, 2);
  for (i = top - 1; i >= 1; i--)
    lua_rawseti(L, 2, i);
  lua_settop(L, 1);
}

/* Storing PINS strings in the table takes no memory, so that can wait until the
 * write must; more are pinned before it begins, because what was begun must not
 * be left by an error. */
static int write_now(lua_State *L, struct l_stream *s, int top) {
  struct weft_write *write = &s->stream.write;
  int rc = weft_check_park(L), is_pinned = top - 1 > PINS;
  if (rc != 0)
    return weft_refuse(L, rc);
  write->bufs = gather(L, s, top);
  write->count = (unsigned)(top - 1);
  if (is_pinned)
    pin(L, top);
  rc = weft_stream_write(&s->stream);
  if (rc == UV_EAGAIN) {
    if (!is_pinned)
      pin(L, top);
    return park(L, s, WEFT_OP_WRITE, &op_write);
  }
  free_bufs(s);
  if (is_pinned)
    unpin(L, 1);
  return push_done(L, rc);
}

/* stream_write(stream, string...) */
static int l_stream_write(lua_State *L) {
  struct l_stream *s = check_self(L, WEFT_OP_WRITE);
  int top = lua_gettop(L);
  check_strings(L, top);
  s->stream.write.is_shutdown = 0;
  return write_now(L, s, top);
}

/* stream_shutdown(stream) */
static int l_stream_shutdown(lua_State *L) {
  struct l_stream *s = check_self(L, WEFT_OP_WRITE);
  lua_settop(L, 1);
  s->stream.write.is_shutdown = 1;
  return write_now(L, s, 1);
}

/* --- the rest ------------------------------------------------------------ */

/* stream_close(stream) */
static int l_stream_close(lua_State *L) {
  struct l_stream *s = weft_check_self(L, "stream");
  int was_open = s->stream.top != NULL;
  weft_stream_detach(s);
  if (was_open && s->tasks[WEFT_OP_WRITE] == NULL)
    unpin(L, 1);
  return 0;
}

/* stream_is_open(stream) */
static int l_stream_is_open(lua_State *L) {
  struct l_stream *s = weft_check_self(L, "stream");
  lua_pushboolean(L, s->stream.top != NULL);
  return 1;
}

/* stream_table(stream) -> the table that it carries */
static int l_stream_table(lua_State *L) {
  weft_check_self(L, "stream");
  weft_lua_gettable_of(L, 1);
  return 1;
}

/* stream_state(stream) -> bytes received and not taken, sent by the last write,
 * error of reading, of writing (or nil) */
static int l_stream_state(lua_State *L) {
  struct l_stream *s = weft_check_self(L, "stream");
  lua_pushinteger(L, (lua_Integer)weft_buffer_size(&s->stream.in));
  lua_pushinteger(L, (lua_Integer)s->stream.write.sent);
  if (s->stream.in_error != 0)
    lua_pushinteger(L, s->stream.in_error);
  else
    lua_pushnil(L);
  if (s->stream.out_error != 0)
    lua_pushinteger(L, s->stream.out_error);
  else
    lua_pushnil(L);
  return 4;
}

static const luaL_Reg functions[] = {
    {"stream_connect", l_stream_connect},
    {"stream_read", l_stream_read},
    {"stream_read_exactly", l_stream_read_exactly},
    {"stream_read_until", l_stream_read_until},
    {"stream_read_all", l_stream_read_all},
    {"stream_write", l_stream_write},
    {"stream_shutdown", l_stream_shutdown},
    {"stream_close", l_stream_close},
    {"stream_is_open", l_stream_is_open},
    {"stream_table", l_stream_table},
    {"stream_state", l_stream_state},
    {NULL, NULL},
};

void weft_open_stream(lua_State *L) {
  weft_set_functions(L, functions, "weft.Stream");
}
