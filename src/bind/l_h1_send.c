/* SPDX-License-Identifier: MIT */
/*
 * bind/l_h1_send.c: requests out. See l_h1.h; what the functions return is told
 * in l_h1.c.
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
#include "proto/chars.h"

/* --- what is being sent -------------------------------------------------- */

void weft_h1_free_bufs(struct l_h1 *c) {
  if (c->more_bufs != NULL)
    weft_free(c->mem, c->more_bufs);
  c->more_bufs = NULL;
}

/* Keeps the value at `idx` while it is being sent. [-0, +0, -] */
static void pin(lua_State *L, struct l_h1 *c, int idx) {
  weft_lua_gettable_of(L, 1);
  lua_pushvalue(L, idx);
  lua_rawseti(L, -2, L_H1_PIN_BODY);
  lua_pop(L, 1);
  c->has_pin = 1;
}

void weft_h1_unpin(lua_State *L, struct l_h1 *c) {
  if (!c->has_pin || c->has_write)
    return;
  c->has_pin = 0;
  weft_lua_gettable_of(L, 1);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, L_H1_PIN_BODY);
  lua_pop(L, 1);
}

int weft_h1_is_writing(const struct l_h1 *c) {
  return c->has_write && (c->s->stream.pending & WEFT_WRITE) != 0;
}

void weft_h1_settle_write(struct l_h1 *c) {
  if (!c->has_write || weft_h1_is_writing(c))
    return;
  c->has_write = 0;
  c->sent += c->s->stream.write.sent;
  c->noticed = 0;
  weft_buffer_deinit(&c->out, c->mem);
  weft_h1_free_bufs(c);
}

/* true nil code what: of what did not begin */
static int push_refusal(lua_State *L, int code, const char *what) {
  lua_pushboolean(L, 1);
  lua_pushnil(L);
  lua_pushinteger(L, code == -ENOMEM ? UV_ENOMEM : code);
  lua_pushstring(L, what);
  return 4;
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
    weft_h1_settle_write(c);
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
  if (!(length < 9e15))
    weft_raise_kind(L, "type", "the length of the body is too large");
  request->framing = length < 0 ? WEFT_H1_CHUNKED : WEFT_H1_LENGTH;
  request->length = length < 0 ? 0 : (uint64_t)length;
}

/* Ready for a new exchange, if it is idle. */
static void check_idle(lua_State *L, struct l_h1 *c) {
  weft_h1_settle_write(c);
  if ((c->state != L_H1_IDLE && c->state != L_H1_ENDED) || c->has_write)
    weft_raise_kind(L, "state", "the connection is in use");
  c->failed = 0;
  weft_buffer_deinit(&c->out, c->mem);
  weft_h1_free_bufs(c);
}

/* 0 for none; what no body reaches is none. */
static uint64_t max_body_at(lua_State *L, int idx) {
  lua_Number most = lua_tonumber(L, idx);
  return most > 0 && most < 9e15 ? (uint64_t)most : 0;
}

/* Whether `value`, a list, has the element "close". */
static int has_close(const char *value, size_t size) {
  size_t i = 0, from;
  while (i < size) {
    while (i < size && (weft_is_blank(value[i]) || value[i] == ','))
      i++;
    for (from = i; i < size && !weft_is_blank(value[i]) && value[i] != ','; i++)
      ;
    if (i - from == 5 && weft_is_same(value + from, "close", 5))
      return 1;
  }
  return 0;
}

static int says_close(const struct weft_fields *fields) {
  static const char name[] = "connection";
  size_t i = 0;
  for (;; i++) {
    struct weft_field field;
    i = weft_fields_find(fields, name, sizeof(name) - 1, i);
    if (i == fields->count)
      return 0;
    field = weft_fields_at(fields, i);
    if (has_close(field.value, field.value_size))
      return 1;
  }
}

static int has_upgrade(const struct weft_fields *fields) {
  static const char name[] = "upgrade";
  return weft_fields_find(fields, name, sizeof(name) - 1, 0) != fields->count;
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
 * the head of one whose body comes later: of a length, or -1 for chunks. A
 * field Upgrade allows a 101, as is_upgrade does. True and whether all is sent.
 * Codes EFIELD, EMESSAGE and EPROTOCOL (something came before): nothing was
 * sent. */
static int l_h1_begin(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  struct weft_h1_request request;
  const char *what = NULL;
  uint64_t size;
  unsigned count;
  int rc = weft_check_park(L);
  if (rc != 0)
    return weft_refuse(L, rc);
  if (!weft_h1_is_open(c))
    return push_refusal(L, WEFT_ESTREAMCLOSED, NULL);
  lua_settop(L, 9);
  check_idle(L, c);
  if (weft_buffer_size(&c->s->stream.in) > 0) /* it is no answer to this */
    return push_refusal(L, WEFT_EPROTOCOL, NULL);
  request.method = text_at(L, 2);
  request.target = text_at(L, 3);
  request.fields = weft_fields_check(L, 4);
  c->may_decode = (uint8_t)lua_toboolean(L, 8);
  c->max_body = max_body_at(L, 9);
  count = gather(L, c, 5, &size);
  frame(L, &request, size);
  rc = weft_h1_write_head(&c->out, c->mem, &request, &what);
  if (rc != 0)
    return push_refusal(L, rc, what);
  c->is_chunked = request.framing == WEFT_H1_CHUNKED;
  c->says_close = (uint8_t)says_close(request.fields);
  begin(c,
        asked_of(&request, lua_toboolean(L, 7) || has_upgrade(request.fields)));
  if (count > 1)
    pin(L, c, 5);
  return send_bufs(L, c, count);
}

/* h1_send(h1, body): sends the body that was announced */
static int l_h1_send(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  uint64_t size;
  unsigned count;
  weft_h1_settle_write(c);
  if (!weft_h1_is_open(c))
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
  weft_h1_settle_write(c);
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
  if (!weft_h1_is_open(c))
    return push_refusal(L, WEFT_ESTREAMCLOSED, NULL);
  if (!weft_h1_is_writing(c))
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
  weft_h1_settle_write(c);
  if (!weft_h1_is_open(c))
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

static const luaL_Reg functions[] = {
    {"h1_begin", l_h1_begin}, {"h1_send", l_h1_send}, {"h1_flush", l_h1_flush},
    {"h1_write", l_h1_write}, {"h1_end", l_h1_end},   {NULL, NULL},
};

void weft_open_h1_send(lua_State *L) {
  weft_set_functions(L, functions, "weft.H1");
}
