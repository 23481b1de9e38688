/* SPDX-License-Identifier: MIT */
/*
 * bind/l_h1.c: HTTP/1 connections for Lua: their life, and heads in. See
 * l_h1.h; policy is weft.http.connection's.
 *
 * A function that waits returns true and its results; true, nil, a code, what
 * it is about (or nil) and the byte of the message; or false when it was
 * interrupted.
 */
#include "bind/l_h1.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "bind/l_fields.h"
#include "net/tls.h"

/* What h1_head tells of a head: in weft.http.connection too. */
enum head_kind { INTERIM, WITH_BODY, OVER, TUNNEL, AGAIN };

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

#define LIMIT_MAX 1e9 /* what a head may need at the very most */

static size_t limit_at(lua_State *L, int idx, size_t usual) {
  lua_Number n;
  if (lua_isnoneornil(L, idx))
    return usual;
  n = weft_check_number(L, idx, "the limit");
  return n >= LIMIT_MAX ? (size_t)LIMIT_MAX : n >= 0 ? (size_t)n : 0;
}

/* Those at 2 to 6; nil for the usual. */
static void set_limits(lua_State *L, struct weft_h1 *h1) {
  size_t start_line = limit_at(L, 2, WEFT_H1_START_LINE_MAX);
  size_t field = limit_at(L, 3, WEFT_FIELDS_FIELD_MAX);
  size_t count = limit_at(L, 4, WEFT_FIELDS_COUNT_MAX);
  size_t head = limit_at(L, 5, WEFT_FIELDS_TOTAL_MAX);
  size_t informational = limit_at(L, 6, WEFT_H1_INFORMATIONAL_MAX);
  h1->limits.start_line = start_line;
  h1->fields.limits.field = field;
  h1->fields.limits.count = count;
  h1->limits.head = h1->fields.limits.total = head;
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
  lua_rawseti(L, -2, L_H1_PIN_STREAM);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, L_H1_PIN_BODY);
  weft_lua_settable_of(L, -2);
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  set_limits(L, &c->h1);
  return 1;
}

/* h1_set_limits(h1, …): as for h1_new, from the next response on */
static int l_h1_set_limits(lua_State *L) {
  struct l_h1 *c = check_self(L);
  lua_settop(L, 6);
  set_limits(L, &c->h1);
  return 0;
}

static void clear(struct l_h1 *c) {
  weft_h1_settle_write(c);
  weft_h1_body_drop(c);
}

int l_h1__gc(lua_State *L) {
  struct l_h1 *c = lua_touserdata(L, 1);
  if (c->s->stream.top != NULL && weft_h1_is_writing(c))
    weft_stream_cancel(&c->s->stream, WEFT_OP_WRITE);
  clear(c);
  weft_buffer_deinit(&c->out, c->mem);
  weft_h1_free_bufs(c);
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
  if (rc != UV_EOF)
    return weft_h1_failed(c, rc, NULL);
  if (weft_tls_ended_unclean(c->s->stream.top))
    c->defects |= WEFT_H1_UNCLEAN_CLOSE;
  return 0;
}

int weft_h1_push_failure(lua_State *L, const struct l_h1 *c) {
  lua_pushboolean(L, 1);
  lua_pushnil(L);
  lua_pushinteger(L, c->failed == -ENOMEM ? UV_ENOMEM : c->failed);
  lua_pushstring(L, c->what);
  lua_pushinteger(L, (lua_Integer)c->at);
  return 5;
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

static int push_head_wait(struct weft_task *task, lua_State *co);

int weft_h1_read(lua_State *L, struct l_h1 *c,
                 int (*enough)(struct weft_stream *stream, void *arg),
                 size_t want, const struct weft_op_class *cls,
                 int (*push)(lua_State *L, struct l_h1 *c, int rc)) {
  struct weft_stream *stream = &c->s->stream;
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (!weft_h1_is_open(c))
    return push(L, c, WEFT_ESTREAMCLOSED);
  if (c->s->tasks[WEFT_OP_READ] != NULL || (stream->pending & WEFT_READ))
    return weft_raise_kind(L, "state",
                           "another task reads from this connection already");
  stream->read.kind = WEFT_READ_PARSE;
  stream->read.size = 0;
  stream->read.enough = enough;
  stream->read.arg = c;
  stream->read.want = want;
  stream->read.is_deferred = cls->push == push_head_wait;
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
  weft_h1_settle_write(c);
  return c->h1.keep_alive && !c->says_close && !c->has_write &&
         stream->top != NULL && stream->out_error == 0 &&
         stream->in_error == 0 && weft_buffer_size(&stream->in) == 0;
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

/* Something has come: it is looked at only now, see weft_read.is_deferred. */
static int push_head_wait(struct weft_task *task, lua_State *co) {
  struct l_h1 *c = task->future.u.target;
  int rc = weft_h1_read_result(task);
  if (rc == UV_EAGAIN)
    rc = weft_stream_read_now(&c->s->stream);
  if (rc != UV_EAGAIN)
    return push_head(co, c, rc);
  lua_pushboolean(co, 1);
  lua_pushinteger(co, AGAIN);
  return 2;
}

static const struct weft_op_class op_head = {"response", weft_h1_abort_read,
                                             push_head_wait, NULL};

/* h1_head(h1, wants_interim) -> true, kind, status, reason, minor version,
 * fields, defects, length or nil, whole body or nil. Without wants_interim
 * informational responses are passed over. Of kind AGAIN: something came, but
 * no whole head as yet. */
static int l_h1_head(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  if (c->state != L_H1_HEAD && weft_h1_is_open(c))
    return weft_raise_kind(L, "state", "no response is due");
  c->wants_interim = (uint8_t)lua_toboolean(L, 2);
  lua_settop(L, 1);
  return weft_h1_read(L, c, enough_head, 0, &op_head, push_head);
}

/* --- the rest ------------------------------------------------------------ */

/* With what has come of the response in hand and was not taken yet. */
static uint64_t all_received(const struct l_h1 *c) {
  if (c->s->stream.top == NULL ||
      (c->state != L_H1_HEAD && c->state != L_H1_BODY))
    return c->received;
  return c->received + weft_buffer_size(&c->s->stream.in);
}

static void push_bytes_moved(lua_State *L, const struct l_h1 *c) {
  uint64_t sent = c->sent + (c->has_write ? c->s->stream.write.sent : 0);
  lua_pushinteger(L, (lua_Integer)sent);
  lua_pushinteger(L, (lua_Integer)all_received(c));
}

/* h1_over(h1) -> whether another exchange may follow the one whose message has
 * ended; bytes sent, received; the fields behind the body, or nil */
static int l_h1_over(lua_State *L) {
  struct l_h1 *c = check_self(L);
  lua_pushboolean(L, is_reusable(c));
  weft_h1_unpin(L, c);
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
  weft_h1_settle_write(c);
  push_bytes_moved(L, c);
  lua_pushboolean(L, all_received(c) > c->begun);
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
  if (c->defects & WEFT_H1_UNCLEAN_CLOSE) {
    lua_pushliteral(L, "unclean-close");
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* h1_is_quiet(h1) -> whether nothing came to an idle connection */
static int l_h1_is_quiet(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  lua_pushboolean(L, weft_h1_is_open(c) && c->s->tasks[WEFT_OP_READ] == NULL &&
                         weft_stream_is_quiet(&c->s->stream));
  return 1;
}

/* h1_detach(h1) -> its stream, with which it has nothing more to do; nil while
 * something is being sent */
static int l_h1_detach(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  weft_h1_settle_write(c);
  if (c->has_write)
    return 0;
  clear(c);
  c->state = L_H1_FAILED;
  weft_lua_gettable_of(L, 1);
  lua_rawgeti(L, -1, L_H1_PIN_STREAM);
  return 1;
}

/* h1_close(h1): idempotent */
static int l_h1_close(lua_State *L) {
  struct l_h1 *c = check_self(L);
  if (c->state == L_H1_FAILED)
    return 0;
  weft_stream_detach(c->s);
  clear(c);
  weft_h1_unpin(L, c);
  return 0;
}

static const luaL_Reg functions[] = {
    {"h1_new", l_h1_new},           {"h1_set_limits", l_h1_set_limits},
    {"h1_head", l_h1_head},         {"h1_over", l_h1_over},
    {"h1_counts", l_h1_counts},     {"h1_defects", l_h1_defects},
    {"h1_is_quiet", l_h1_is_quiet}, {"h1_detach", l_h1_detach},
    {"h1_close", l_h1_close},       {NULL, NULL},
};

void weft_open_h1(lua_State *L) {
  weft_set_functions(L, functions, "weft.H1");
}
