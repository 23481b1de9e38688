/* SPDX-License-Identifier: MIT */
/*
 * bind/l_h1.c: HTTP/1 connections for Lua: requests out, heads in. See l_h1.h;
 * the body is in l_h1_body.c, policy is weft.http.connection's.
 *
 * A function that waits returns true and its results; true, nil, a code, what
 * it is about (or nil) and the byte of the message; or false when it was
 * interrupted.
 *
 * What is sent goes on in the background when the system does not take it at
 * once: the response may come, and count, before all of it is sent. So its
 * strings are kept by the table of the userdata.
 */
#include "bind/l_h1.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "bind/l_fields.h"

enum { PIN_STREAM = 1, PIN_BODY = 2 }; /* in the userdata's table */

/* What h1_head tells of a head: in weft.http.connection too. */
enum head_kind { INTERIM, WITH_BODY, OVER, TUNNEL };

/* --- the object ---------------------------------------------------------- */

static struct l_h1 *check_self(lua_State *L) {
  return weft_check_self(L, "connection");
}

struct l_h1 *weft_h1_check(lua_State *L) {
  struct l_h1 *c = check_self(L);
  if (weft_vm_of(L)->loop != c->loop)
    weft_raise(L, weft_vm_of(L)->task == NULL ? WEFT_ENOTASK : WEFT_EOTHERLOOP);
  return c;
}

static int is_open(const struct l_h1 *c) {
  return c->s->stream.top != NULL && c->state != L_H1_FAILED;
}

static void set_limit(lua_State *L, int idx, size_t *limit) {
  if (!lua_isnoneornil(L, idx))
    *limit = (size_t)weft_check_number(L, idx, "the limit");
}

static void set_limits(lua_State *L, struct weft_h1 *h1) {
  size_t informational = h1->limits.informational;
  set_limit(L, 2, &h1->limits.start_line);
  set_limit(L, 3, &h1->fields.limits.field);
  set_limit(L, 4, &h1->fields.limits.count);
  set_limit(L, 5, &h1->limits.head);
  set_limit(L, 6, &informational);
  h1->fields.limits.total = h1->limits.head;
  h1->limits.informational = (unsigned)informational;
}

/* h1_new(stream, max_line_size, max_field_size, max_fields, max_head_size,
 * max_informational): nil for the usual */
static int l_h1_new(lua_State *L) {
  struct l_stream *s = weft_check_stream(L, 1);
  struct l_h1 *c;
  lua_settop(L, 6);
  c = weft_lua_newuserdata(L, sizeof(*c));
  memset(c, 0, sizeof(*c));
  c->s = s;
  c->loop = s->loop;
  c->mem = &s->loop->vm->mem;
  weft_h1_init(&c->h1, WEFT_H1_RESPONSES, c->mem);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, PIN_STREAM);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, PIN_BODY);
  weft_lua_settable_of(L, -2);
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  set_limits(L, &c->h1);
  return 1;
}

static void free_bufs(struct l_h1 *c) {
  if (c->more_bufs != NULL)
    weft_free(c->mem, c->more_bufs);
  c->more_bufs = NULL;
}

/* Keeps the value at `idx` while it is being sent. [-0, +0, -] */
static void pin(lua_State *L, struct l_h1 *c, int idx) {
  weft_lua_gettable_of(L, 1);
  lua_pushvalue(L, idx);
  lua_rawseti(L, -2, PIN_BODY);
  lua_pop(L, 1);
  c->has_pin = 1;
}

static void unpin(lua_State *L, struct l_h1 *c) {
  if (!c->has_pin || c->has_write)
    return;
  c->has_pin = 0;
  weft_lua_gettable_of(L, 1);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, PIN_BODY);
  lua_pop(L, 1);
}

static int is_writing(const struct l_h1 *c) {
  return c->has_write && (c->s->stream.pending & WEFT_WRITE) != 0;
}

/* Accounts for a write that is over. */
static void settle_write(struct l_h1 *c) {
  if (!c->has_write || is_writing(c))
    return;
  c->has_write = 0;
  c->sent += c->s->stream.write.sent;
  c->noticed = 0;
  weft_buffer_deinit(&c->out, c->mem);
  free_bufs(c);
}

static void clear(struct l_h1 *c) {
  settle_write(c);
  weft_h1_body_drop(c);
}

int l_h1__gc(lua_State *L) {
  struct l_h1 *c = lua_touserdata(L, 1);
  if (c->s->stream.top != NULL && is_writing(c))
    weft_stream_cancel(&c->s->stream, WEFT_OP_WRITE);
  clear(c);
  weft_buffer_deinit(&c->out, c->mem);
  free_bufs(c);
  weft_h1_deinit(&c->h1);
  return 0;
}

void weft_h1_take(struct l_h1 *c, size_t size) {
  c->received += size;
  weft_stream_take(&c->s->stream, size);
}

/* --- failures ------------------------------------------------------------ */

int weft_h1_failed(struct l_h1 *c, int code, const char *what) {
  c->failed = code;
  c->what = what;
  c->at = c->h1.taken;
  return code;
}

int weft_h1_parse_failed(struct l_h1 *c) {
  c->failed = c->h1.error.code;
  c->what = c->h1.error.what;
  c->at = c->h1.error.at;
  return c->failed;
}

int weft_h1_on_stream_end(struct l_h1 *c, int rc) {
  if (rc != UV_EOF && rc != WEFT_ETLSEOF)
    return weft_h1_failed(c, rc, NULL);
  if (weft_h1_finish(&c->h1) != 0)
    return weft_h1_parse_failed(c);
  return rc == UV_EOF ? 0 : weft_h1_failed(c, rc, NULL);
}

int weft_h1_push_failure(lua_State *L, const struct l_h1 *c) {
  lua_pushboolean(L, 1);
  lua_pushnil(L);
  lua_pushinteger(L, c->failed == -ENOMEM ? UV_ENOMEM : c->failed);
  lua_pushstring(L, c->what);
  lua_pushinteger(L, (lua_Integer)c->at);
  return 5;
}

/* true nil code what: of what did not begin */
static int push_refusal(lua_State *L, int code, const char *what) {
  lua_pushboolean(L, 1);
  lua_pushnil(L);
  lua_pushinteger(L, code == -ENOMEM ? UV_ENOMEM : code);
  lua_pushstring(L, what);
  return 4;
}

/* --- reading ------------------------------------------------------------- */

void weft_h1_abort_read(struct weft_task *task) {
  struct l_h1 *c = task->future.u.target;
  c->s->tasks[WEFT_OP_READ] = NULL;
  weft_stream_cancel(&c->s->stream, WEFT_OP_READ);
}

int weft_h1_read_result(struct weft_task *task) {
  struct l_h1 *c = task->future.u.target;
  c->s->tasks[WEFT_OP_READ] = NULL;
  return c->s->stream.top != NULL ? c->s->stream.result[WEFT_OP_READ]
                                  : WEFT_ESTREAMCLOSED;
}

int weft_h1_read(lua_State *L, struct l_h1 *c,
                 int (*enough)(struct weft_stream *stream, void *arg),
                 size_t want, const struct weft_op_class *cls,
                 int (*push)(lua_State *L, struct l_h1 *c, int rc)) {
  struct weft_stream *stream = &c->s->stream;
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (!is_open(c))
    return push(L, c, WEFT_ESTREAMCLOSED);
  if (c->s->tasks[WEFT_OP_READ] != NULL || (stream->pending & WEFT_READ))
    return weft_raise_kind(L, "state",
                           "another task reads from this connection already");
  stream->read.kind = WEFT_READ_PARSE;
  stream->read.size = 0;
  stream->read.enough = enough;
  stream->read.arg = c;
  stream->read.want = want;
  rc = weft_stream_read(stream);
  if (rc == UV_EAGAIN) {
    struct weft_task *task = weft_vm_of(L)->task;
    c->s->tasks[WEFT_OP_READ] = task;
    task->future.u.target = c;
    return weft_task_park(task, L, cls, 1);
  }
  return push(L, c, rc);
}

/* --- heads --------------------------------------------------------------- */

static int enough_head(struct weft_stream *stream, void *arg) {
  struct l_h1 *c = arg;
  struct weft_h1_event event;
  for (;;) {
    size_t size = weft_buffer_size(&stream->in);
    ptrdiff_t n;
    if (size == 0)
      return UV_EAGAIN;
    weft_h1_notice(c);
    n = weft_h1_feed(&c->h1, weft_buffer_data(&stream->in), size, &event);
    if (n < 0)
      return weft_h1_parse_failed(c);
    weft_h1_take(c, (size_t)n);
    if (event.type == WEFT_H1_MORE)
      return UV_EAGAIN;
    c->interim = event.type == WEFT_H1_INFORMATIONAL;
    if (!c->interim || c->wants_interim)
      return 0;
  }
}

/* Whether another exchange may follow, as far as C knows. */
static int is_reusable(struct l_h1 *c) {
  const struct weft_stream *stream = &c->s->stream;
  settle_write(c);
  return c->h1.keep_alive && !c->has_write && stream->top != NULL &&
         stream->out_error == 0 && stream->in_error == 0 &&
         weft_buffer_size(&stream->in) == 0;
}

static int push_head_values(lua_State *L, struct l_h1 *c, int kind) {
  lua_pushboolean(L, 1);
  lua_pushinteger(L, kind);
  lua_pushinteger(L, (lua_Integer)c->h1.status);
  lua_pushlstring(L, c->h1.reason.data, c->h1.reason.size);
  lua_pushinteger(L, (lua_Integer)c->h1.minor);
  return 5;
}

static int push_interim(lua_State *L, struct l_h1 *c) {
  int n = push_head_values(L, c, INTERIM);
  weft_fields_push_moved(L, &c->h1.fields);
  return n + 1;
}

/* true kind status reason minor fields defects length body */
static int push_final(lua_State *L, struct l_h1 *c) {
  int top = lua_gettop(L), has_body, kind = WITH_BODY;
  push_head_values(L, c, kind);
  weft_h1_body_begin(c);
  c->state = c->h1.is_tunnel ? L_H1_TUNNEL : L_H1_BODY;
  weft_fields_push_moved(L, &c->h1.fields);
  lua_pushinteger(L, (lua_Integer)(c->h1.defects | c->defects));
  if (c->h1.length >= 0)
    lua_pushinteger(L, (lua_Integer)c->h1.length);
  else
    lua_pushnil(L);
  if (c->h1.is_tunnel) {
    kind = TUNNEL;
    has_body = 0;
  } else {
    has_body = weft_h1_body_push_whole(L, c);
    if (has_body)
      kind = OVER;
  }
  lua_pushinteger(L, kind);
  lua_replace(L, top + 2);
  if (has_body && (c->h1.defects | c->defects) != 0) { /* the trailers' too */
    lua_pushinteger(L, (lua_Integer)(c->h1.defects | c->defects));
    lua_replace(L, top + 7);
  }
  return lua_gettop(L) - top;
}

static int push_head(lua_State *L, struct l_h1 *c, int rc) {
  luaL_checkstack(L, 12, NULL);
  if (rc == 0)
    return c->interim ? push_interim(L, c) : push_final(L, c);
  if (c->failed == 0 && weft_h1_on_stream_end(c, rc) == 0)
    weft_h1_failed(c, WEFT_ETRUNCATED, NULL);
  return weft_h1_push_failure(L, c);
}

static int push_head_wait(struct weft_task *task, lua_State *co) {
  struct l_h1 *c = task->future.u.target;
  return push_head(co, c, weft_h1_read_result(task));
}

static const struct weft_op_class op_head = {"response", weft_h1_abort_read,
                                             push_head_wait, NULL};

/* h1_head(h1, wants_interim) -> true, kind, status, reason, minor version,
 * fields, defects, length or nil, whole body or nil. Without wants_interim
 * informational responses are passed over. */
static int l_h1_head(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  if (c->state != L_H1_HEAD && is_open(c))
    return weft_raise_kind(L, "state", "no response is due");
  c->wants_interim = (uint8_t)lua_toboolean(L, 2);
  lua_settop(L, 1);
  return weft_h1_read(L, c, enough_head, 0, &op_head, push_head);
}

/* --- sending ------------------------------------------------------------- */

static size_t count_pieces(lua_State *L, int idx) {
  if (lua_istable(L, idx))
    return weft_lua_objlen(L, idx);
  return lua_isnoneornil(L, idx) ? 0 : 1;
}

static void set_piece(lua_State *L, int idx, uv_buf_t *buf) {
  size_t size;
  if (lua_type(L, idx) != LUA_TSTRING)
    weft_raise_kind(L, "type",
                    "a body is a string or a list of strings, got %s",
                    luaL_typename(L, idx));
  buf->base = (char *)(uintptr_t)lua_tolstring(L, idx, &size);
  buf->len = size;
}

/* Points the bufs at the strings of the list at `idx`, in the place of which
 * comes a copy, as it may be changed while they are being sent. */
static void set_pieces(lua_State *L, int idx, uv_buf_t *bufs, int n) {
  int i;
  lua_createtable(L, n, 0);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, idx, i);
    set_piece(L, -1, &bufs[i - 1]);
    lua_rawseti(L, -2, i);
  }
  lua_replace(L, idx);
}

/* Points the bufs from the second on at the strings of the body at `idx`;
 * *size is what they come to. Returns their number, the first included. */
static unsigned gather(lua_State *L, struct l_h1 *c, int idx, uint64_t *size) {
  size_t n = count_pieces(L, idx), i;
  uv_buf_t *bufs = c->bufs;
  if (n + 1 > WEFT_H1_BUFS) {
    bufs = weft_malloc(c->mem, (n + 1) * sizeof(*bufs));
    if (bufs == NULL)
      luaL_error(L, "not enough memory");
    c->more_bufs = bufs;
  }
  memset(bufs, 0, sizeof(*bufs));
  *size = 0;
  if (lua_istable(L, idx))
    set_pieces(L, idx, bufs + 1, (int)n);
  else if (n == 1)
    set_piece(L, idx, bufs + 1);
  for (i = 1; i <= n; i++)
    *size += bufs[i].len;
  return (unsigned)n + 1;
}

/* Begins to send `count` bufs, the first of which is c->out: true and whether
 * all is sent, or its failure. */
static int send_bufs(lua_State *L, struct l_h1 *c, unsigned count) {
  struct weft_stream *stream = &c->s->stream;
  int rc;
  stream->write.bufs = c->more_bufs != NULL ? c->more_bufs : c->bufs;
  stream->write.bufs[0].base = weft_buffer_data(&c->out);
  stream->write.bufs[0].len = weft_buffer_size(&c->out);
  stream->write.count = count;
  stream->write.sent = 0;
  stream->write.is_shutdown = 0;
  c->has_write = 1;
  weft_h1_touch(c);
  rc = weft_stream_write(stream);
  if (rc != UV_EAGAIN)
    settle_write(c);
  if (rc != 0 && rc != UV_EAGAIN)
    return push_refusal(L, rc, NULL);
  lua_pushboolean(L, 1);
  lua_pushboolean(L, rc == 0);
  return 2;
}

static struct weft_h1_text text_at(lua_State *L, int idx) {
  struct weft_h1_text text;
  text.data = luaL_checklstring(L, idx, &text.size);
  return text;
}

static int is_word(const struct weft_h1_text *text, const char *word) {
  return strlen(word) == text->size &&
         memcmp(text->data, word, text->size) == 0;
}

static unsigned asked_of(const struct weft_h1_request *request, int upgrade) {
  return (is_word(&request->method, "HEAD") ? WEFT_H1_ASKED_HEAD : 0u) |
         (is_word(&request->method, "CONNECT") ? WEFT_H1_ASKED_CONNECT : 0u) |
         (upgrade ? WEFT_H1_ASKED_UPGRADE : 0u);
}

/* The framing of a request with the body at 5, or a body to come of the length
 * at 6. */
static void frame(lua_State *L, struct weft_h1_request *request,
                  uint64_t size) {
  lua_Number length;
  request->framing = lua_isnoneornil(L, 5) ? WEFT_H1_NONE : WEFT_H1_LENGTH;
  request->length = size;
  if (request->framing != WEFT_H1_NONE || lua_isnoneornil(L, 6))
    return;
  length = weft_check_number(L, 6, "the length");
  request->framing = length < 0 ? WEFT_H1_CHUNKED : WEFT_H1_LENGTH;
  request->length = length < 0 ? 0 : (uint64_t)length;
}

/* Ready for a new exchange, if it is idle. */
static void check_idle(lua_State *L, struct l_h1 *c) {
  settle_write(c);
  if ((c->state != L_H1_IDLE && c->state != L_H1_ENDED) || c->has_write)
    weft_raise_kind(L, "state", "the connection is in use");
  c->failed = 0;
  weft_buffer_deinit(&c->out, c->mem);
  free_bufs(c);
}

static void begin(struct l_h1 *c, unsigned asked) {
  weft_h1_body_drop(c);
  weft_h1_begin(&c->h1, asked);
  c->state = L_H1_HEAD;
  c->begun = c->received;
  c->defects = 0;
  c->raw = c->decoded = 0;
}

/* h1_begin(h1, method, target, fields, body, length, is_upgrade, decode,
 * max_body): sends a request with its body (a string or a list of them), or
 * the head of one whose body comes later: of a length, or -1 for chunks. True
 * and whether all is sent. Codes EFIELD and EMESSAGE: nothing was sent. */
static int l_h1_begin(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  struct weft_h1_request request;
  const char *what = NULL;
  uint64_t size;
  unsigned count;
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (!is_open(c))
    return push_refusal(L, WEFT_ESTREAMCLOSED, NULL);
  lua_settop(L, 9);
  check_idle(L, c);
  request.method = text_at(L, 2);
  request.target = text_at(L, 3);
  request.fields = weft_fields_check(L, 4);
  c->may_decode = (uint8_t)lua_toboolean(L, 8);
  c->max_body = lua_isnil(L, 9) ? 0 : (uint64_t)lua_tonumber(L, 9);
  count = gather(L, c, 5, &size);
  frame(L, &request, size);
  rc = weft_h1_write_head(&c->out, c->mem, &request, &what);
  if (rc != 0)
    return push_refusal(L, rc, what);
  c->is_chunked = request.framing == WEFT_H1_CHUNKED;
  begin(c, asked_of(&request, lua_toboolean(L, 7)));
  if (count > 1)
    pin(L, c, 5);
  return send_bufs(L, c, count);
}

/* h1_send(h1, body): sends the body that was announced */
static int l_h1_send(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  uint64_t size;
  unsigned count;
  settle_write(c);
  if (!is_open(c))
    return push_refusal(L, WEFT_ESTREAMCLOSED, NULL);
  if (c->has_write)
    return weft_raise_kind(L, "state", "something is being sent already");
  lua_settop(L, 2);
  count = gather(L, c, 2, &size);
  pin(L, c, 2);
  return send_bufs(L, c, count);
}

/* What is being sent goes on: only nobody waits for it. */
static void abort_send(struct weft_task *task) {
  struct l_h1 *c = task->future.u.target;
  c->s->tasks[WEFT_OP_WRITE] = NULL;
}

static int push_sent(lua_State *L, struct l_h1 *c, int rc) {
  settle_write(c);
  weft_h1_touch(c);
  if (rc != 0)
    return push_refusal(L, rc, NULL);
  lua_pushboolean(L, 1);
  lua_pushboolean(L, 1);
  return 2;
}

static int push_send_wait(struct weft_task *task, lua_State *co) {
  struct l_h1 *c = task->future.u.target;
  struct l_stream *s = c->s;
  s->tasks[WEFT_OP_WRITE] = NULL;
  return push_sent(co, c,
                   s->stream.top != NULL ? s->stream.result[WEFT_OP_WRITE]
                                         : WEFT_ESTREAMCLOSED);
}

static const struct weft_op_class op_send = {"request", abort_send,
                                             push_send_wait, NULL};

static int wait_sent(lua_State *L, struct l_h1 *c) {
  struct weft_task *task = weft_vm_of(L)->task;
  if (c->s->tasks[WEFT_OP_WRITE] != NULL)
    return weft_raise_kind(L, "state",
                           "another task sends on this connection already");
  c->s->tasks[WEFT_OP_WRITE] = task;
  task->future.u.target = c;
  return weft_task_park(task, L, &op_send, 1);
}

/* h1_flush(h1): waits until all is sent that was begun */
static int l_h1_flush(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (!is_open(c))
    return push_refusal(L, WEFT_ESTREAMCLOSED, NULL);
  if (!is_writing(c))
    return push_sent(L, c, c->s->stream.out_error);
  lua_settop(L, 1);
  return wait_sent(L, c);
}

/* Sends c->out and the `count` bufs behind it, and waits for it. */
static int send_and_wait(lua_State *L, struct l_h1 *c, unsigned count) {
  int n = send_bufs(L, c, count);
  if (n != 2 || lua_toboolean(L, -1))
    return n;
  lua_settop(L, 1);
  return wait_sent(L, c);
}

static int check_write(lua_State *L, struct l_h1 *c) {
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  settle_write(c);
  if (!is_open(c))
    return push_refusal(L, WEFT_ESTREAMCLOSED, NULL);
  if (c->has_write)
    return weft_raise_kind(L, "state", "something is being sent already");
  return 0;
}

/* h1_write(h1, string): the next piece of the body that was announced */
static int l_h1_write(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  int n = check_write(L, c);
  size_t size;
  if (n != 0)
    return n;
  luaL_checklstring(L, 2, &size);
  if (size == 0)
    return push_sent(L, c, 0);
  set_piece(L, 2, &c->bufs[1]);
  c->bufs[2].base = (char *)(uintptr_t) "\r\n";
  c->bufs[2].len = 2;
  if (c->is_chunked && weft_h1_write_chunk_head(&c->out, c->mem, size) != 0)
    return luaL_error(L, "not enough memory");
  pin(L, c, 2);
  return send_and_wait(L, c, c->is_chunked ? 3 : 2);
}

/* h1_end(h1, trailers or nil): the end of a body in chunks */
static int l_h1_end(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  int n = check_write(L, c), rc;
  const char *what = NULL;
  if (n != 0)
    return n;
  rc = weft_h1_write_end(&c->out, c->mem,
                         lua_isnoneornil(L, 2) ? NULL : weft_fields_check(L, 2),
                         &what);
  if (rc != 0)
    return push_refusal(L, rc, what);
  return send_and_wait(L, c, 1);
}

/* --- the rest ------------------------------------------------------------ */

static void push_bytes_moved(lua_State *L, const struct l_h1 *c) {
  uint64_t sent = c->sent + (c->has_write ? c->s->stream.write.sent : 0);
  lua_pushinteger(L, (lua_Integer)sent);
  lua_pushinteger(L, (lua_Integer)c->received);
}

/* h1_over(h1) -> whether another exchange may follow the one whose message has
 * ended; bytes sent, received; the fields behind the body, or nil */
static int l_h1_over(lua_State *L) {
  struct l_h1 *c = check_self(L);
  lua_pushboolean(L, is_reusable(c));
  unpin(L, c);
  push_bytes_moved(L, c);
  if (c->h1.trailers.count == 0)
    return 3;
  weft_fields_push_moved(L, &c->h1.trailers);
  return 4;
}

/* A write that goes on by itself is seen to here. */
static void notice_write(struct l_h1 *c) {
  if (c->has_write && c->s->stream.write.sent != c->noticed) {
    c->noticed = c->s->stream.write.sent;
    weft_h1_touch(c);
  }
}

/* h1_counts(h1) -> bytes sent, received; whether the response has begun; when
 * bytes moved last, and whether all that was begun is sent */
static int l_h1_counts(lua_State *L) {
  struct l_h1 *c = check_self(L);
  notice_write(c);
  settle_write(c);
  push_bytes_moved(L, c);
  lua_pushboolean(L, c->received > c->begun);
  lua_pushnumber(L, (lua_Number)c->active_at / 1e9);
  lua_pushboolean(L, !c->has_write);
  return 5;
}

/* h1_defects(h1) -> list of names */
static int l_h1_defects(lua_State *L) {
  const struct l_h1 *c = check_self(L);
  unsigned bit;
  int n = 0;
  lua_newtable(L);
  for (bit = 0; bit < WEFT_H1_DEFECTS_COUNT; bit++) {
    if (!(c->h1.defects >> bit & 1))
      continue;
    lua_pushstring(L, weft_h1_defect_name(bit));
    lua_rawseti(L, -2, ++n);
  }
  if (c->defects & WEFT_H1_UNKNOWN_CODING) {
    lua_pushliteral(L, "unknown-coding");
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* h1_is_quiet(h1) -> whether nothing came to an idle connection */
static int l_h1_is_quiet(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  lua_pushboolean(L, is_open(c) && c->s->tasks[WEFT_OP_READ] == NULL &&
                         weft_stream_is_quiet(&c->s->stream));
  return 1;
}

/* h1_detach(h1) -> its stream, with which it has nothing more to do; nil while
 * something is being sent */
static int l_h1_detach(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  settle_write(c);
  if (c->has_write)
    return 0;
  clear(c);
  c->state = L_H1_FAILED;
  weft_lua_gettable_of(L, 1);
  lua_rawgeti(L, -1, PIN_STREAM);
  return 1;
}

/* h1_close(h1): idempotent */
static int l_h1_close(lua_State *L) {
  struct l_h1 *c = check_self(L);
  if (c->state == L_H1_FAILED)
    return 0;
  weft_stream_detach(c->s);
  clear(c);
  unpin(L, c);
  return 0;
}

static const luaL_Reg functions[] = {
    {"h1_new", l_h1_new},           {"h1_begin", l_h1_begin},
    {"h1_send", l_h1_send},         {"h1_flush", l_h1_flush},
    {"h1_write", l_h1_write},       {"h1_end", l_h1_end},
    {"h1_head", l_h1_head},         {"h1_over", l_h1_over},
    {"h1_counts", l_h1_counts},     {"h1_defects", l_h1_defects},
    {"h1_is_quiet", l_h1_is_quiet}, {"h1_detach", l_h1_detach},
    {"h1_close", l_h1_close},       {NULL, NULL},
};

void weft_open_h1(lua_State *L) {
  weft_set_functions(L, functions, "weft.H1");
}
