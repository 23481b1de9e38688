/* SPDX-License-Identifier: MIT */
/*
 * proto/h1.c: see h1.h. The walk through the bytes: lines, fields, the body.
 *
 * Lines are handled when they are complete, so that splits make no difference.
 * llhttp splits a line of a head or of trailers into name and value and refuses
 * what cannot stand there; it gets such lines in a form without freedom: ended
 * by CRLF, unfolded. The end of a line is given with the line that follows it,
 * which may be a fold. llhttp decides nothing about the message: it gets the
 * same start line always, and its flags are cleared after each field.
 */
#include "proto/h1.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "proto/chars.h"
#include "proto/h1_internal.h"

enum state {
  START,
  FIELDS,
  BODY, /* of a known length, or until close */
  CHUNK_HEAD,
  CHUNK_DATA,
  CHUNK_TAIL, /* the line end behind the data */
  TRAILERS,
  ENDING, /* END is the next event */
  ENDED,
  FAILED
};

/* What a folded line would belong to. */
enum open { NO_FIELD, A_FIELD, LEFT_OUT };

struct line {
  const char *data;
  size_t size; /* without its end */
  int is_bare; /* ended by LF alone */
};

int weft_h1_fail(struct weft_h1 *h1, int code, uint64_t at, const char *what) {
  h1->state = FAILED;
  h1->error.code = code;
  h1->error.what = what;
  h1->error.at = at;
  return code;
}

int weft_h1_defect(struct weft_h1 *h1, unsigned defect, const char *what) {
  if (h1->role == WEFT_H1_REQUESTS)
    return weft_h1_fail(h1, WEFT_EPROTOCOL, h1->line_at, what);
  h1->defects |= defect;
  return 0;
}

static int fail_here(struct weft_h1 *h1, const char *what) {
  return weft_h1_fail(h1, WEFT_EPROTOCOL, h1->line_at, what);
}

/* ---- Fields, by llhttp --------------------------------------------------- */

static struct weft_fields *target_of(llhttp_t *llhttp) {
  struct weft_h1 *h1 = llhttp->data;
  return h1->state == TRAILERS ? &h1->trailers : &h1->fields;
}

static int keep_error(llhttp_t *llhttp, int rc) {
  struct weft_h1 *h1 = llhttp->data;
  h1->callback_error = rc;
  return rc == 0 ? 0 : HPE_USER;
}

static int on_header_field(llhttp_t *llhttp, const char *name, size_t size) {
  int rc = weft_fields_check_name(name, size);
  if (rc == 0)
    rc = weft_fields_open(target_of(llhttp), name, size);
  return keep_error(llhttp, rc);
}

static int on_header_value(llhttp_t *llhttp, const char *value, size_t size) {
  return keep_error(llhttp, weft_fields_extend(target_of(llhttp), value, size));
}

/* Content-Length and the like are not llhttp's to judge. */
static int on_header_value_complete(llhttp_t *llhttp) {
  llhttp->flags = 0;
  llhttp->content_length = 0;
  weft_fields_trim(target_of(llhttp));
  return 0;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
};

static int give(struct weft_h1 *h1, const char *data, size_t size) {
  llhttp_errno_t rc = llhttp_execute(&h1->llhttp, data, size);
  const char *at;
  if (rc == HPE_OK)
    return 0;
  if (rc == HPE_USER && h1->callback_error == WEFT_ELIMIT)
    return weft_h1_fail(h1, WEFT_ELIMIT, h1->line_at,
                        "too many fields, or too long a one");
  if (rc == HPE_USER && h1->callback_error == -ENOMEM)
    return weft_h1_fail(h1, -ENOMEM, h1->line_at, "out of memory");
  if (rc == HPE_USER)
    return fail_here(h1, "a field's name is no token");
  at = llhttp_get_error_pos(&h1->llhttp);
  if (h1->start >= data && at >= h1->start && at <= data + size)
    return weft_h1_fail(h1, WEFT_EPROTOCOL,
                        h1->line_at + (uint64_t)(at - h1->start),
                        llhttp_get_error_reason(&h1->llhttp));
  return fail_here(h1, llhttp_get_error_reason(&h1->llhttp));
}

static void prime(struct weft_h1 *h1) {
  static const char line[] = "HTTP/1.1 200 OK\r\n";
  llhttp_init(&h1->primed, HTTP_RESPONSE, &settings);
  h1->primed.data = h1;
  (void)llhttp_execute(&h1->primed, line, sizeof(line) - 1);
}

static void open_fields(struct weft_h1 *h1, enum state state) {
  h1->llhttp = h1->primed;
  h1->open = NO_FIELD;
  h1->is_eol_due = 0;
  h1->state = state;
}

/* Gives the end of the field before, which was no fold's. */
static int give_eol(struct weft_h1 *h1) {
  if (!h1->is_eol_due)
    return 0;
  h1->is_eol_due = 0;
  return give(h1, "\r\n", 2);
}

static int on_fold(struct weft_h1 *h1, const struct line *line) {
  if (h1->open == NO_FIELD)
    return fail_here(h1, "a space at the start of the first field");
  if (weft_h1_defect(h1, WEFT_H1_OBS_FOLD, "a folded field") != 0)
    return h1->error.code;
  if (h1->open == LEFT_OUT)
    return 0;
  h1->start = line->data;
  return give(h1, line->data, line->size);
}

/* Gives a field's line, and before it the end of the line before: in one piece
 * where they are. */
static int give_line(struct weft_h1 *h1, const char *data, size_t size) {
  h1->start = data;
  h1->open = A_FIELD;
  if (h1->is_eol_due && h1->eol != NULL && h1->eol + 2 == data)
    return give(h1, h1->eol, size + 2);
  if (give_eol(h1) != 0)
    return h1->error.code;
  return give(h1, data, size);
}

/* The same for one with spaces before its colon, which are left out: in a copy,
 * as llhttp must see the name in one piece. */
static int give_repaired(struct weft_h1 *h1, const struct line *line,
                         size_t colon) {
  size_t name = colon, room;
  int is_held = h1->held.block != NULL; /* then the line may move */
  char *data = weft_buffer_reserve(&h1->held, h1->mem, line->size, &room);
  const char *from = is_held ? weft_buffer_data(&h1->held) : line->data;
  if (weft_h1_defect(h1, WEFT_H1_SPACE_BEFORE_COLON,
                     "a space before a field's colon") != 0)
    return h1->error.code;
  if (data == NULL)
    return weft_h1_fail(h1, -ENOMEM, h1->line_at, "out of memory");
  while (name > 0 && weft_is_blank(from[name - 1]))
    name--;
  if (name == 0)
    return fail_here(h1, "a field without a name");
  memcpy(data, from, name);
  memcpy(data + name, from + colon, line->size - colon);
  return give_line(h1, data, name + line->size - colon);
}

static int on_field(struct weft_h1 *h1, const struct line *line) {
  const char *colon = memchr(line->data, ':', line->size);
  if (colon == NULL) {
    h1->open = LEFT_OUT;
    return weft_h1_defect(h1, WEFT_H1_NO_COLON, "a field without a colon");
  }
  if (colon == line->data)
    return fail_here(h1, "a field without a name");
  if (weft_is_blank(colon[-1]))
    return give_repaired(h1, line, (size_t)(colon - line->data));
  return give_line(h1, line->data, line->size);
}

/* A line of a head or of trailers, not the empty one. The end of the last line
 * given is due as soon as it is known that it has no fold. */
static int on_field_line(struct weft_h1 *h1, const struct line *line) {
  const char *end = line->data + line->size;
  int rc =
      weft_is_blank(line->data[0]) ? on_fold(h1, line) : on_field(h1, line);
  if (h1->open == A_FIELD) {
    h1->is_eol_due = 1;
    h1->eol = line->is_bare ? NULL : end;
  }
  return rc;
}

/* ---- Lines --------------------------------------------------------------- */

static size_t most(const struct weft_h1 *h1, const char **what) {
  size_t limit = h1->fields.limits.field + 4; /* colon, space, CRLF */
  size_t rest = h1->limits.head - h1->head_size;
  *what = "a field is too long";
  if (h1->state == CHUNK_HEAD) {
    *what = "the line before a chunk is too long";
    return h1->limits.chunk_line;
  }
  if (h1->state == START) {
    *what = "the start line is too long";
    limit = h1->limits.start_line + 2;
  }
  if (limit <= rest)
    return limit;
  *what = "the head is too long";
  return rest;
}

static int hold(struct weft_h1 *h1, const char *data, size_t size) {
  size_t room;
  char *at = weft_buffer_reserve(&h1->held, h1->mem, size, &room);
  if (at == NULL)
    return weft_h1_fail(h1, -ENOMEM, h1->line_at, "out of memory");
  memcpy(at, data, size);
  weft_buffer_add(&h1->held, size);
  return 0;
}

static int check_line(struct weft_h1 *h1, struct line *line) {
  const char *bad;
  line->is_bare = line->size == 0 || line->data[line->size - 1] != '\r';
  line->size -= !line->is_bare;
  bad = memchr(line->data, '\r', line->size);
  if (bad == NULL)
    bad = memchr(line->data, '\0', line->size);
  if (bad != NULL)
    return weft_h1_fail(h1, WEFT_EPROTOCOL,
                        h1->line_at + (uint64_t)(bad - line->data),
                        *bad == '\r' ? "a CR without LF" : "a NUL");
  if (line->is_bare)
    return weft_h1_defect(h1, WEFT_H1_BARE_LF, "a line ends without CR");
  return 0;
}

/* Takes a line from the bytes: returns how many it took; line->data is NULL
 * when the line is not complete. */
static ptrdiff_t take_line(struct weft_h1 *h1, const char *data, size_t size,
                           struct line *line) {
  size_t held = weft_buffer_size(&h1->held), limit;
  const char *what, *lf = size > 0 ? memchr(data, '\n', size) : NULL;
  size_t n = lf != NULL ? (size_t)(lf - data) + 1 : size;
  line->data = NULL;
  limit = most(h1, &what);
  if (held + n > limit)
    return weft_h1_fail(h1, WEFT_ELIMIT, h1->line_at + limit, what);
  if (lf == NULL || held > 0) {
    if (n > 0 && hold(h1, data, n) != 0)
      return h1->error.code;
  }
  if (lf == NULL)
    return (ptrdiff_t)n;
  line->data = held > 0 ? weft_buffer_data(&h1->held) : data;
  line->size = held + n - 1;
  if (check_line(h1, line) != 0)
    return h1->error.code;
  return (ptrdiff_t)n;
}

/* ---- Messages ------------------------------------------------------------ */

static void reset_head(struct weft_h1 *h1) {
  weft_fields_clear(&h1->fields);
  h1->status = 0;
  h1->length = -1;
  h1->framing = WEFT_H1_NONE;
  h1->keep_alive = h1->is_tunnel = h1->is_coded = 0;
  h1->head_size = 0;
  h1->reason.size = h1->method.size = h1->target.size = 0;
  h1->state = START;
}

static int on_informational(struct weft_h1 *h1, struct weft_h1_event *event) {
  if (++h1->informational > h1->limits.informational)
    return weft_h1_fail(h1, WEFT_ELIMIT, h1->line_at,
                        "too many informational responses");
  event->type = WEFT_H1_INFORMATIONAL;
  h1->state = START;
  return 0;
}

static int on_head(struct weft_h1 *h1, struct weft_h1_event *event) {
  if (weft_h1_decide(h1) != 0)
    return h1->error.code;
  if (h1->role == WEFT_H1_RESPONSES && h1->status < 200 && !h1->is_tunnel)
    return on_informational(h1, event);
  event->type = WEFT_H1_HEAD;
  h1->left = h1->framing == WEFT_H1_LENGTH ? (uint64_t)h1->length : UINT64_MAX;
  h1->state = h1->framing == WEFT_H1_NONE      ? ENDING
              : h1->framing == WEFT_H1_CHUNKED ? CHUNK_HEAD
                                               : BODY;
  return 0;
}

static int on_trailers(struct weft_h1 *h1) {
  size_t i;
  for (i = 0; i < h1->trailers.count; i++) {
    struct weft_field field = weft_fields_at(&h1->trailers, i);
    int bad = weft_h1_is_bad_trailer(field.name, field.name_size);
    if (bad != 0)
      h1->defects |= WEFT_H1_TRAILER_FIELD;
    if (bad == 2 && h1->role == WEFT_H1_REQUESTS)
      return fail_here(h1, "a trailer that belongs into the head");
  }
  h1->state = ENDING;
  return 0;
}

static int on_start(struct weft_h1 *h1, const struct line *line) {
  if (line->size == 0) { /* RFC 9112, 2.2: also before requests */
    h1->defects |= WEFT_H1_LEADING_LINE;
    return 0;
  }
  if (weft_h1_start_line(h1, line->data, line->size) != 0)
    return h1->error.code;
  open_fields(h1, FIELDS);
  return 0;
}

static int on_empty_line(struct weft_h1 *h1, struct weft_h1_event *event) {
  if (h1->is_eol_due && (give_eol(h1) != 0 || give(h1, "\r\n", 2) != 0))
    return h1->error.code;
  return h1->state == FIELDS ? on_head(h1, event) : on_trailers(h1);
}

/* ---- Chunks -------------------------------------------------------------- */

static int value_of_hex(char c) {
  if (weft_is_digit(c))
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int on_extension(struct weft_h1 *h1, const struct line *line, size_t i) {
  size_t from = i;
  for (; i < line->size; i++)
    if (!weft_is_text(line->data[i]))
      return fail_here(h1, "a control character in a chunk's extension");
  h1->extensions += line->size - from;
  if (h1->extensions > h1->limits.extensions)
    return weft_h1_fail(h1, WEFT_ELIMIT, h1->line_at,
                        "the chunks have too many extensions");
  return 0;
}

static int on_chunk_head(struct weft_h1 *h1, const struct line *line) {
  size_t i, spaces;
  h1->left = 0;
  for (i = 0; i < line->size && value_of_hex(line->data[i]) >= 0; i++) {
    if (h1->left > INT64_MAX >> 4)
      return fail_here(h1, "a chunk's size is too large");
    h1->left = h1->left << 4 | (uint64_t)value_of_hex(line->data[i]);
  }
  if (i == 0)
    return fail_here(h1, "a chunk without its size");
  for (spaces = i; i < line->size && weft_is_blank(line->data[i]); i++)
    ;
  if (i > spaces && weft_h1_defect(h1, WEFT_H1_CHUNK_SPACE,
                                   "a space after a chunk's size") != 0)
    return h1->error.code;
  if (i < line->size && line->data[i] != ';')
    return fail_here(h1, "a chunk's size is no hexadecimal number");
  if (on_extension(h1, line, i) != 0)
    return h1->error.code;
  if (h1->left > 0) {
    h1->state = CHUNK_DATA;
  } else {
    h1->head_size = 0;
    h1->trailers.limits = h1->fields.limits;
    open_fields(h1, TRAILERS);
  }
  return 0;
}

/* CR LF behind a chunk's data, nothing else: bytes here that belong to neither
 * the data nor a chunk's head are how responses are smuggled. */
static ptrdiff_t on_chunk_tail(struct weft_h1 *h1, char c) {
  uint64_t at = h1->taken;
  if (h1->left == 0 && c == '\r') {
    h1->left = 1;
  } else if (c == '\n' && (h1->left == 1 || h1->role == WEFT_H1_RESPONSES)) {
    h1->defects |= h1->left == 1 ? 0 : WEFT_H1_BARE_LF;
    h1->state = CHUNK_HEAD;
  } else {
    return weft_h1_fail(h1, WEFT_EPROTOCOL, at,
                        "a chunk is longer than its size");
  }
  return 1;
}

/* ---- The walk ------------------------------------------------------------ */

static int on_line(struct weft_h1 *h1, const struct line *line,
                   struct weft_h1_event *event) {
  if (h1->state == START)
    return on_start(h1, line);
  if (h1->state == CHUNK_HEAD)
    return on_chunk_head(h1, line);
  if (line->size == 0)
    return on_empty_line(h1, event);
  return on_field_line(h1, line);
}

static ptrdiff_t step_line(struct weft_h1 *h1, const char *data, size_t size,
                           struct weft_h1_event *event) {
  struct line line;
  ptrdiff_t n;
  if (weft_buffer_size(&h1->held) == 0)
    h1->line_at = h1->taken;
  n = take_line(h1, data, size, &line);
  if (n < 0 || line.data == NULL)
    return n;
  if (h1->state != CHUNK_HEAD)
    h1->head_size += line.size + (line.is_bare ? 1 : 2);
  if (on_line(h1, &line, event) != 0)
    return h1->error.code;
  if (h1->held.block != NULL) {
    h1->eol = NULL;
    weft_buffer_take(&h1->held, h1->mem, weft_buffer_size(&h1->held));
  }
  return n;
}

static ptrdiff_t step_body(struct weft_h1 *h1, const char *data, size_t size,
                           struct weft_h1_event *event) {
  if (size > h1->left)
    size = (size_t)h1->left;
  event->type = WEFT_H1_DATA;
  event->data = data;
  event->size = size;
  if (h1->framing != WEFT_H1_UNTIL_CLOSE)
    h1->left -= size;
  if (h1->left == 0)
    h1->state = h1->state == BODY ? ENDING : CHUNK_TAIL;
  return (ptrdiff_t)size;
}

static ptrdiff_t step(struct weft_h1 *h1, const char *data, size_t size,
                      struct weft_h1_event *event) {
  switch (h1->state) {
  case BODY:
  case CHUNK_DATA:
    return step_body(h1, data, size, event);
  case CHUNK_TAIL:
    return on_chunk_tail(h1, *data);
  default:
    return step_line(h1, data, size, event);
  }
}

ptrdiff_t weft_h1_feed(struct weft_h1 *h1, const char *data, size_t size,
                       struct weft_h1_event *event) {
  size_t used = 0;
  event->type = WEFT_H1_MORE;
  event->data = NULL;
  event->size = 0;
  h1->eol = NULL; /* the bytes of the last call may be gone */
  if (h1->state == FAILED)
    return h1->error.code;
  if (h1->state == START && h1->status != 0)
    reset_head(h1); /* an informational one */
  while (used < size && event->type == WEFT_H1_MORE && h1->state < ENDING) {
    ptrdiff_t n = step(h1, data + used, size - used, event);
    if (n < 0)
      return n;
    used += (size_t)n;
    h1->taken += (size_t)n;
  }
  if (event->type == WEFT_H1_MORE && h1->state >= ENDING) {
    h1->state = ENDED;
    event->type = WEFT_H1_END;
  }
  return (ptrdiff_t)used;
}

int weft_h1_finish(struct weft_h1 *h1) {
  if (h1->state == FAILED)
    return h1->error.code;
  if (h1->state == ENDING || h1->state == ENDED)
    return 0;
  if (h1->state == BODY && h1->framing == WEFT_H1_UNTIL_CLOSE) {
    h1->state = ENDED;
    return 0;
  }
  return weft_h1_fail(h1, WEFT_ETRUNCATED, h1->taken,
                      h1->state == START && h1->taken == 0
                          ? "the connection ended before the message began"
                          : "the connection ended inside the message");
}

/* ---- Life ---------------------------------------------------------------- */

void weft_h1_init(struct weft_h1 *h1, enum weft_h1_role role,
                  struct weft_mem *mem) {
  memset(h1, 0, sizeof(*h1));
  h1->role = role;
  h1->mem = mem;
  h1->limits.start_line = WEFT_H1_START_LINE_MAX;
  h1->limits.head = WEFT_FIELDS_TOTAL_MAX;
  h1->limits.chunk_line = WEFT_H1_CHUNK_LINE_MAX;
  h1->limits.extensions = WEFT_H1_EXTENSIONS_MAX;
  h1->limits.informational = WEFT_H1_INFORMATIONAL_MAX;
  weft_fields_init(&h1->fields, mem);
  weft_fields_init(&h1->trailers, mem);
  weft_buffer_init(&h1->held);
  prime(h1);
  weft_h1_begin(h1, 0);
}

void weft_h1_deinit(struct weft_h1 *h1) {
  weft_fields_deinit(&h1->fields);
  weft_fields_deinit(&h1->trailers);
  weft_buffer_deinit(&h1->held, h1->mem);
  weft_free(h1->mem, h1->start_line);
  h1->start_line = NULL;
  h1->start_capacity = 0;
}

void weft_h1_begin(struct weft_h1 *h1, unsigned asked) {
  weft_buffer_deinit(&h1->held, h1->mem);
  weft_fields_clear(&h1->trailers);
  reset_head(h1);
  h1->asked = asked;
  h1->defects = h1->informational = 0;
  h1->taken = h1->left = 0;
  h1->extensions = 0;
  memset(&h1->error, 0, sizeof(h1->error));
}

const char *weft_h1_defect_name(unsigned bit) {
  static const char *const names[] = {
#define X(bit, name, text) text,
      WEFT_H1_DEFECTS(X)
#undef X
  };
  return bit < sizeof(names) / sizeof(names[0]) ? names[bit] : NULL;
}
