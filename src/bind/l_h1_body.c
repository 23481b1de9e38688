/* SPDX-License-Identifier: MIT */
/*
 * bind/l_h1_body.c: the body of a response. See l_h1.h.
 *
 * A body of a known length, or up to the end of the stream, without codings is
 * handed out of the bytes received as they lie there ("direct"): any other is
 * put together in c->body first, only as far as was asked for.
 *
 * What fails after some bytes fails once these are handed out.
 */
#include "bind/l_h1.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"

/* A body that comes with its head: more than one read brings would not. */
#define WHOLE_MAX ((size_t)256 * 1024)

#define DECODE_STEP ((size_t)16 * 1024) /* bytes of output at a time */

#define SOME ((size_t)64 * 1024) /* of a read that does not say how much */

static int is_direct(const struct l_h1 *c) {
  return c->coding == NULL && (c->h1.framing == WEFT_H1_LENGTH ||
                               c->h1.framing == WEFT_H1_UNTIL_CLOSE);
}

static size_t received(const struct l_h1 *c) {
  return weft_buffer_size(&c->s->stream.in);
}

/* Of a body of a known length: the bytes to come or not yet used. */
static uint64_t left(const struct l_h1 *c) {
  return c->h1.framing == WEFT_H1_LENGTH ? (uint64_t)c->h1.length - c->raw
                                         : UINT64_MAX;
}

/* How much more of the body may be decoded. */
static uint64_t allowance(const struct l_h1 *c) {
  return c->max_body == 0 ? UINT64_MAX : c->max_body - c->decoded;
}

static int count(struct l_h1 *c, size_t size) {
  uint64_t most = allowance(c);
  c->decoded += size;
  return size <= most ? 0 : weft_h1_failed(c, WEFT_ELIMIT, NULL);
}

static int on_message_end(struct l_h1 *c) {
  int rc = c->coding != NULL ? weft_coding_finish(c->coding) : 0;
  if (rc != 0)
    return weft_h1_failed(c, rc, NULL);
  c->state = L_H1_ENDED;
  return 0;
}

/* --- codings ------------------------------------------------------------- */

/* Puts the values of the fields of a name to the end of `text`. */
static int add_values(struct l_h1 *c, struct weft_buffer *text,
                      const char *name) {
  const struct weft_fields *fields = &c->h1.fields;
  size_t i = 0, room;
  for (;; i++) {
    struct weft_field field;
    char *to;
    i = weft_fields_find(fields, name, strlen(name), i);
    if (i == fields->count)
      return 0;
    field = weft_fields_at(fields, i);
    to = weft_buffer_reserve(text, c->mem, field.value_size + 1, &room);
    if (to == NULL)
      return -ENOMEM;
    *to = ',';
    memcpy(to + 1, field.value, field.value_size);
    weft_buffer_add(text, field.value_size + 1);
  }
}

/* Transfer-Encoding ends with chunked, which the parser takes off. */
static void drop_chunked(struct weft_buffer *text) {
  while (text->end > text->start && strchr(", \t", text->block[text->end - 1]))
    text->end--;
  if (weft_buffer_size(text) >= sizeof("chunked") - 1)
    text->end -= sizeof("chunked") - 1;
}

/* Opens what takes the codings off, those of the content only if `of_content`.
 */
static int open_codings(struct l_h1 *c, int of_content) {
  static const struct weft_coding_limits limits = {WEFT_CODING_RATIO, 0};
  struct weft_buffer text;
  int rc = 0;
  weft_buffer_init(&text);
  if (of_content)
    rc = add_values(c, &text, "content-encoding");
  if (rc == 0 && c->h1.is_coded) {
    rc = add_values(c, &text, "transfer-encoding");
    drop_chunked(&text);
  }
  if (rc == 0 && weft_buffer_size(&text) > 0)
    rc = weft_coding_open(&c->coding, c->mem, weft_buffer_data(&text),
                          weft_buffer_size(&text), &limits);
  weft_buffer_deinit(&text, c->mem);
  return rc;
}

static int has_content_coding(const struct l_h1 *c) {
  static const char name[] = "content-encoding";
  return weft_fields_find(&c->h1.fields, name, sizeof(name) - 1, 0) !=
         c->h1.fields.count;
}

void weft_h1_body_begin(struct l_h1 *c) {
  int of_content, rc;
  if (c->h1.framing == WEFT_H1_NONE)
    return;
  of_content = c->may_decode && has_content_coding(c);
  if (!of_content && !c->h1.is_coded)
    return;
  rc = open_codings(c, of_content);
  if (rc == WEFT_ECODING && of_content) {
    c->defects |= WEFT_H1_UNKNOWN_CODING;
    rc = open_codings(c, 0);
  }
  if (rc != 0)
    weft_h1_failed(c, rc,
                   rc == WEFT_ELIMIT ? "too many codings of the body" : NULL);
}

void weft_h1_body_drop(struct l_h1 *c) {
  weft_coding_close(c->coding);
  c->coding = NULL;
  weft_buffer_deinit(&c->body, c->mem);
  if (c->fed > 0 && c->s->stream.top != NULL)
    weft_h1_take(c, c->fed);
  c->fed = 0;
}

/* --- decoding ------------------------------------------------------------ */

static int decode(struct l_h1 *c) {
  size_t room;
  ssize_t n;
  char *at = weft_buffer_reserve(&c->body, c->mem, DECODE_STEP, &room);
  if (at == NULL)
    return weft_h1_failed(c, -ENOMEM, NULL);
  n = weft_coding_read(c->coding, at, DECODE_STEP);
  if (n > 0) {
    weft_buffer_add(&c->body, (size_t)n);
    return count(c, (size_t)n);
  }
  weft_buffer_take(&c->body, c->mem, 0); /* no block for nothing */
  if (n < 0)
    return weft_h1_failed(c, (int)n, NULL);
  weft_h1_take(c, c->fed);
  c->fed = 0;
  return 0;
}

static int keep(struct l_h1 *c, const struct weft_h1_event *event) {
  size_t room;
  char *to = weft_buffer_reserve(&c->body, c->mem, event->size, &room);
  if (to == NULL)
    return weft_h1_failed(c, -ENOMEM, NULL);
  memcpy(to, event->data, event->size);
  weft_buffer_add(&c->body, event->size);
  return count(c, event->size);
}

/* Parses up to the next event of what was received. */
static int parse(struct l_h1 *c) {
  struct weft_h1_event event;
  size_t size = received(c);
  const char *data = size > 0 ? weft_buffer_data(&c->s->stream.in) : "";
  ptrdiff_t n = weft_h1_feed(&c->h1, data, size, &event);
  int rc = 0;
  if (n < 0)
    return weft_h1_parse_failed(c);
  c->raw += event.size;
  if (event.type == WEFT_H1_DATA && c->coding != NULL) {
    weft_coding_feed(c->coding, event.data, event.size);
    c->fed = (size_t)n;
    return 0;
  }
  if (event.type == WEFT_H1_DATA)
    rc = keep(c, &event);
  weft_h1_take(c, (size_t)n);
  if (event.type == WEFT_H1_END)
    return on_message_end(c);
  return event.type == WEFT_H1_MORE ? UV_EAGAIN : rc;
}

/* Decodes until c->body has `target` bytes, or all that there will be: 0;
 * UV_EAGAIN when more must be received; or an error. */
static int pump(struct l_h1 *c, size_t target) {
  int rc = 0;
  while (rc == 0) {
    if (weft_buffer_size(&c->body) >= target || c->state == L_H1_ENDED)
      return 0;
    if (c->failed != 0)
      return c->failed;
    rc = c->fed > 0 ? decode(c) : parse(c);
  }
  return rc;
}

/* --- handing out --------------------------------------------------------- */

/* Pushes up to `want` of the bytes received of a direct body. 0, or an error,
 * and nothing pushed. */
static int push_direct(lua_State *L, struct l_h1 *c, size_t want) {
  struct weft_h1_event event;
  size_t size = received(c);
  ptrdiff_t n;
  if (size > want)
    size = want;
  if (size > left(c))
    size = (size_t)left(c);
  if (size > allowance(c))
    return weft_h1_failed(c, WEFT_ELIMIT, NULL);
  lua_pushlstring(L, weft_buffer_data(&c->s->stream.in), size);
  n = weft_h1_feed(&c->h1, weft_buffer_data(&c->s->stream.in), size, &event);
  if (n >= 0) {
    c->raw += event.size;
    c->decoded += event.size;
    weft_h1_take(c, (size_t)n);
    n = weft_h1_feed(&c->h1, "", 0, &event);
  }
  if (n < 0) {
    lua_pop(L, 1);
    return weft_h1_parse_failed(c);
  }
  return event.type == WEFT_H1_END ? on_message_end(c) : 0;
}

static void push_decoded(lua_State *L, struct l_h1 *c, size_t want) {
  size_t size = weft_buffer_size(&c->body);
  if (size > want)
    size = want;
  lua_pushlstring(L, weft_buffer_data(&c->body), size);
  weft_buffer_take(&c->body, c->mem, size);
}

/* The result of the stream's reading: what failed there, if that was it. */
static void look_at_result(struct l_h1 *c, int rc) {
  if (rc == 0 || c->failed != 0 || c->state == L_H1_ENDED)
    return;
  if (weft_h1_on_stream_end(c, rc) == 0)
    (void)on_message_end(c);
}

/* true and up to `want` bytes, "" at the end; or the failure */
static int push_bytes(lua_State *L, struct l_h1 *c, size_t want) {
  lua_pushboolean(L, 1);
  if (weft_buffer_size(&c->body) > 0) {
    push_decoded(L, c, want);
    return 2;
  }
  if (c->failed == 0 && c->state != L_H1_ENDED && is_direct(c) &&
      received(c) > 0) {
    if (push_direct(L, c, want) == 0)
      return 2;
  } else if (c->state == L_H1_ENDED) {
    lua_pushliteral(L, "");
    return 2;
  }
  lua_pop(L, 1);
  return weft_h1_push_failure(L, c);
}

/* The size at an index. */
static size_t check_size(lua_State *L, int idx, size_t otherwise) {
  lua_Number size;
  if (lua_isnoneornil(L, idx))
    return otherwise;
  size = weft_check_number(L, idx, "the number of bytes");
  if (!(size >= 0))
    weft_raise_kind(L, "type", "the number of bytes must be 0 or more");
  return size < (lua_Number)((size_t)-1 / 4) ? (size_t)size : (size_t)-1 / 4;
}

static struct l_h1 *check_body(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  if (c->state != L_H1_BODY && c->state != L_H1_ENDED)
    weft_raise_kind(L, "state", "there is no body to be read");
  return c;
}

int weft_h1_body_push_whole(lua_State *L, struct l_h1 *c) {
  if (c->failed != 0 || c->h1.framing == WEFT_H1_UNTIL_CLOSE)
    return 0;
  if (c->h1.framing == WEFT_H1_NONE) {
    if (parse(c) != 0)
      return 0;
    lua_pushliteral(L, "");
    return 1;
  }
  if (is_direct(c)) {
    if (left(c) > received(c) || left(c) > allowance(c))
      return 0;
    return push_direct(L, c, received(c)) == 0;
  }
  if (pump(c, WHOLE_MAX) != 0 || c->state != L_H1_ENDED)
    return 0;
  push_decoded(L, c, (size_t)-1);
  return 1;
}

/* --- some ---------------------------------------------------------------- */

static int enough_some(struct weft_stream *stream, void *arg) {
  struct l_h1 *c = arg;
  int rc;
  weft_h1_notice(c);
  if (is_direct(c) && c->failed == 0 && c->state != L_H1_ENDED)
    return weft_buffer_size(&stream->in) > 0 ? 0 : UV_EAGAIN;
  rc = pump(c, c->want);
  return weft_buffer_size(&c->body) > 0 ? 0 : rc;
}

static int push_some(lua_State *L, struct l_h1 *c, int rc) {
  luaL_checkstack(L, 6, NULL);
  look_at_result(c, rc);
  return push_bytes(L, c, c->want);
}

static int push_some_wait(struct weft_task *task, lua_State *co) {
  struct l_h1 *c = task->future.u.target;
  return push_some(co, c, weft_h1_read_result(task));
}

static const struct weft_op_class op_some = {"body", weft_h1_abort_read,
                                             push_some_wait, NULL};

static size_t check_want(lua_State *L) {
  size_t want = check_size(L, 2, SOME);
  return want > 0 ? want : 1;
}

/* h1_read_some(h1, n): "" at the end */
static int l_h1_read_some(lua_State *L) {
  struct l_h1 *c = check_body(L);
  c->want = check_want(L);
  lua_settop(L, 1);
  return weft_h1_read(L, c, enough_some, 0, &op_some, push_some);
}

/* What is to be read, by one that does not wait. */
static void prepare(struct l_h1 *c) {
  struct weft_read *read = &c->s->stream.read;
  read->kind = WEFT_READ_PARSE;
  read->size = read->want = 0;
  read->enough = enough_some;
  read->arg = c;
}

static int is_readable(const struct l_h1 *c) {
  return c->s->stream.top != NULL && c->s->tasks[WEFT_OP_READ] == NULL &&
         (c->s->stream.pending & WEFT_READ) == 0;
}

/* h1_read_ready(h1, n): as h1_read_some, but nothing when it would wait */
static int l_h1_read_ready(lua_State *L) {
  struct l_h1 *c = check_body(L);
  int rc = WEFT_ESTREAMCLOSED;
  c->want = check_want(L);
  if (is_readable(c)) {
    prepare(c);
    rc = weft_stream_read_now(&c->s->stream);
  }
  return rc == UV_EAGAIN ? 0 : push_some(L, c, rc);
}

/* --- all ----------------------------------------------------------------- */

/* Of what is left, c->want bytes at most. */
static int enough_all(struct weft_stream *stream, void *arg) {
  struct l_h1 *c = arg;
  size_t size = weft_buffer_size(&stream->in);
  int rc;
  weft_h1_notice(c);
  if (c->failed != 0 || c->state == L_H1_ENDED)
    return c->failed;
  if (is_direct(c)) {
    if (left(c) <= size)
      return 0;
    return size > c->want ? weft_h1_failed(c, WEFT_ELIMIT, NULL) : UV_EAGAIN;
  }
  rc = pump(c, c->want + 1);
  if (rc == 0 && weft_buffer_size(&c->body) > c->want)
    return weft_h1_failed(c, WEFT_ELIMIT, NULL);
  return rc;
}

static int push_all(lua_State *L, struct l_h1 *c, int rc) {
  int is_all;
  luaL_checkstack(L, 6, NULL);
  is_all = rc == 0 || (rc == UV_EOF && is_direct(c) && left(c) == UINT64_MAX);
  if (is_all && is_direct(c) && c->state != L_H1_ENDED && received(c) > 0) {
    lua_pushboolean(L, 1);
    if (push_direct(L, c, (size_t)-1) == 0) {
      look_at_result(c, rc);
      if (c->state == L_H1_ENDED)
        return 2;
    }
    return weft_h1_push_failure(L, c);
  }
  look_at_result(c, rc);
  if (c->failed != 0)
    return weft_h1_push_failure(L, c);
  return push_bytes(L, c, (size_t)-1);
}

static int push_all_wait(struct weft_task *task, lua_State *co) {
  struct l_h1 *c = task->future.u.target;
  return push_all(co, c, weft_h1_read_result(task));
}

static const struct weft_op_class op_all = {"body", weft_h1_abort_read,
                                            push_all_wait, NULL};

/* h1_read_all(h1, max): all that is left; code ELIMIT if that is more than
 * `max` bytes */
static int l_h1_read_all(lua_State *L) {
  struct l_h1 *c = check_body(L);
  size_t want = 0;
  c->want = check_size(L, 2, (size_t)-1 / 4);
  lua_settop(L, 1);
  if (c->failed == 0 && c->state == L_H1_BODY && is_direct(c)) {
    uint64_t rest = left(c), most = allowance(c);
    if (most < c->want)
      c->want = (size_t)most;
    if (rest != UINT64_MAX && rest > c->want)
      weft_h1_failed(c, WEFT_ELIMIT, NULL);
    else if (rest != UINT64_MAX)
      want = (size_t)rest;
  }
  return weft_h1_read(L, c, enough_all, want, &op_all, push_all);
}

/* --- the end ------------------------------------------------------------- */

/* Drops what was received of the body: 0 at its end, UV_EAGAIN, or an error. */
static int drop_received(struct l_h1 *c, size_t *dropped) {
  struct weft_h1_event event;
  for (;;) {
    size_t size = received(c);
    const char *data = size > 0 ? weft_buffer_data(&c->s->stream.in) : "";
    ptrdiff_t n = weft_h1_feed(&c->h1, data, size, &event);
    if (n < 0)
      return (int)n;
    *dropped += (size_t)n;
    weft_h1_take(c, (size_t)n);
    if (event.type == WEFT_H1_END)
      return 0;
    if (event.type == WEFT_H1_MORE)
      return UV_EAGAIN;
  }
}

static int drain(struct l_h1 *c, size_t bound) {
  struct weft_read *read = &c->s->stream.read;
  size_t dropped = 0;
  uint64_t rest = left(c);
  weft_h1_body_drop(c);
  if (rest != UINT64_MAX && rest > bound)
    return 0;
  for (;;) {
    int rc = drop_received(c, &dropped);
    if (rc == 0)
      return 1;
    if (rc != UV_EAGAIN || dropped > bound)
      return 0;
    read->kind = WEFT_READ_SOME;
    read->size = SOME;
    if (weft_stream_read_now(&c->s->stream) != 0)
      return 0;
  }
}

/* h1_drain(h1, bound) -> whether the body has ended, without waiting, within
 * about so many bytes; else it cannot be read any more */
static int l_h1_drain(lua_State *L) {
  struct l_h1 *c = weft_h1_check(L);
  size_t bound = check_size(L, 2, 0);
  int has_ended = c->state == L_H1_ENDED;
  if (c->state == L_H1_BODY && c->failed == 0 && is_readable(c))
    has_ended = drain(c, bound);
  if (has_ended)
    c->state = L_H1_ENDED;
  weft_h1_body_drop(c);
  if (c->state == L_H1_BODY && c->failed == 0)
    weft_h1_failed(c, WEFT_ESTREAMCLOSED, NULL);
  lua_pushboolean(L, has_ended);
  return 1;
}

/* h1_partial(h1) -> what of the body was decoded and not handed out */
static int l_h1_partial(lua_State *L) {
  struct l_h1 *c = weft_check_self(L, "connection");
  size_t size = 0;
  lua_pushliteral(L, "");
  if (weft_buffer_size(&c->body) > 0) {
    push_decoded(L, c, (size_t)-1);
  } else if (c->state == L_H1_BODY && is_direct(c) &&
             c->s->stream.top != NULL) {
    size = received(c);
    if (size > left(c))
      size = (size_t)left(c);
    if (size > 0)
      lua_pushlstring(L, weft_buffer_data(&c->s->stream.in), size);
  }
  return 1;
}

/* The codings that are built in, as Accept-Encoding has them. */
static int l_coding_names(lua_State *L) {
  lua_pushstring(L, weft_coding_names());
  return 1;
}

static const luaL_Reg functions[] = {
    {"h1_read_some", l_h1_read_some},
    {"h1_read_ready", l_h1_read_ready},
    {"h1_read_all", l_h1_read_all},
    {"h1_drain", l_h1_drain},
    {"h1_partial", l_h1_partial},
    {"coding_names", l_coding_names},
    {NULL, NULL},
};

void weft_open_h1_body(lua_State *L) {
  weft_set_functions(L, functions, "weft.H1");
}
