/* SPDX-License-Identifier: MIT */
/*
 * proto/h1_head.c: what the lines of a head mean: the start line, and which
 * framing the fields decide. Knows nothing of how the bytes arrive.
 *
 * The start line is parsed here and not by llhttp, which knows a fixed set of
 * methods and whose tolerance differs from version to version.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "proto/chars.h"
#include "proto/h1_internal.h"

#define NAME(text) text, sizeof(text) - 1

/* ---- The start line ------------------------------------------------------ */

struct cursor {
  const char *at, *end;
};

static int bad_start(struct weft_h1 *h1, const char *at, const char *what) {
  uint64_t offset = (uint64_t)(at - h1->start_line);
  return weft_h1_fail(h1, WEFT_EPROTOCOL, h1->line_at + offset, what);
}

/* Skips the spaces between two parts of the line. */
static int skip_space(struct weft_h1 *h1, struct cursor *c) {
  const char *from = c->at;
  while (c->at < c->end && weft_is_blank(*c->at))
    c->at++;
  if (c->at == from)
    return bad_start(h1, from, "a space is missing in the start line");
  if (c->at - from > 1 || *from != ' ')
    return weft_h1_defect(h1, WEFT_H1_START_LINE_SPACE,
                          "one space only between parts of the start line");
  return 0;
}

static int take_version(struct weft_h1 *h1, struct cursor *c) {
  const char *s = c->at;
  if (c->end - s < 8 || memcmp(s, "HTTP/", 5) != 0 || !weft_is_digit(s[5]) ||
      s[6] != '.' || !weft_is_digit(s[7]))
    return bad_start(h1, s, "no HTTP version where one is due");
  h1->major = (unsigned)(s[5] - '0');
  h1->minor = (unsigned)(s[7] - '0');
  c->at += 8;
  if (h1->major != 1)
    return bad_start(h1, s, "a version of HTTP other than 1.0 and 1.1");
  if (h1->minor > 1) {
    h1->defects |= WEFT_H1_ODD_VERSION;
    h1->minor = 1;
  }
  return 0;
}

static int take_status(struct weft_h1 *h1, struct cursor *c) {
  const char *s = c->at;
  if (c->end - s < 3 || s[0] < '1' || !weft_is_digit(s[0]) ||
      !weft_is_digit(s[1]) || !weft_is_digit(s[2]) ||
      (c->end - s > 3 && !weft_is_blank(s[3])))
    return bad_start(h1, s, "a status is three digits from 100 up");
  h1->status = (unsigned)((s[0] - '0') * 100 + (s[1] - '0') * 10 + s[2] - '0');
  if (h1->status >= 600)
    h1->defects |= WEFT_H1_ODD_STATUS;
  c->at += 3;
  return 0;
}

static int status_line(struct weft_h1 *h1, struct cursor *c) {
  const char *s;
  int rc = take_version(h1, c);
  if (rc == 0)
    rc = skip_space(h1, c);
  if (rc == 0)
    rc = take_status(h1, c);
  if (rc != 0)
    return rc;
  if (c->at == c->end)
    h1->defects |= WEFT_H1_NO_REASON;
  else if (skip_space(h1, c) != 0)
    return h1->error.code;
  for (s = c->at; s < c->end; s++)
    if (!weft_is_text(*s))
      return bad_start(h1, s, "a control character in the reason");
  while (c->end > c->at && weft_is_blank(c->end[-1]))
    c->end--;
  h1->reason.data = c->at;
  h1->reason.size = (size_t)(c->end - c->at);
  return 0;
}

static int take_method(struct weft_h1 *h1, struct cursor *c) {
  h1->method.data = c->at;
  while (c->at < c->end && weft_is_token(*c->at))
    c->at++;
  h1->method.size = (size_t)(c->at - h1->method.data);
  if (h1->method.size == 0)
    return bad_start(h1, c->at, "no method");
  return 0;
}

/* Its form only: origin, absolute, asterisk, or for CONNECT authority. */
static int check_target(struct weft_h1 *h1) {
  const char *s = h1->target.data;
  size_t size = h1->target.size, i;
  int is_connect =
      h1->method.size == 7 && memcmp(h1->method.data, "CONNECT", 7) == 0;
  if (size == 0)
    return bad_start(h1, s, "no target");
  for (i = 0; i < size && s[i] != ':' && s[i] != '/'; i++)
    ;
  if (is_connect ? i == size || s[i] == '/' || memchr(s, '/', size) != NULL
                 : s[0] != '/' && !(size == 1 && s[0] == '*') &&
                       (i == 0 || size - i < 3 || memcmp(s + i, "://", 3) != 0))
    return bad_start(h1, s, "the target has no form that a target can have");
  return 0;
}

static int take_target(struct weft_h1 *h1, struct cursor *c) {
  h1->target.data = c->at;
  while (c->at < c->end && !weft_is_blank(*c->at)) {
    if (!weft_is_text(*c->at))
      return bad_start(h1, c->at, "a control character in the target");
    c->at++;
  }
  h1->target.size = (size_t)(c->at - h1->target.data);
  return check_target(h1);
}

static int request_line(struct weft_h1 *h1, struct cursor *c) {
  int rc = take_method(h1, c);
  if (rc == 0)
    rc = skip_space(h1, c);
  if (rc == 0)
    rc = take_target(h1, c);
  if (rc == 0)
    rc = skip_space(h1, c);
  if (rc == 0)
    rc = take_version(h1, c);
  if (rc == 0 && c->at != c->end)
    rc = bad_start(h1, c->at, "something behind the version");
  return rc;
}

int weft_h1_start_line(struct weft_h1 *h1, const char *line, size_t size) {
  struct cursor cursor;
  if (size > h1->start_capacity) {
    char *block = weft_realloc(h1->mem, h1->start_line, size + 64);
    if (block == NULL)
      return weft_h1_fail(h1, -ENOMEM, h1->line_at, "out of memory");
    h1->start_line = block;
    h1->start_capacity = size + 64;
  }
  memcpy(h1->start_line, line, size);
  cursor.at = h1->start_line;
  cursor.end = h1->start_line + size;
  return h1->role == WEFT_H1_RESPONSES ? status_line(h1, &cursor)
                                       : request_line(h1, &cursor);
}

/* ---- Framing ------------------------------------------------------------- */

/* What the fields say, before it is decided what it means. */
struct said {
  unsigned has_codings, is_chunked, is_other, is_close, is_keep_alive;
};

static int bad_head(struct weft_h1 *h1, const char *what) {
  return weft_h1_fail(h1, WEFT_EPROTOCOL, h1->line_at, what);
}

int64_t weft_h1_number(const char *text, size_t size) {
  uint64_t n = 0;
  size_t i;
  if (size == 0)
    return -1;
  for (i = 0; i < size; i++) {
    uint64_t digit = (uint64_t)(text[i] - '0');
    if (!weft_is_digit(text[i]) || n > (INT64_MAX - digit) / 10)
      return -1;
    n = n * 10 + digit;
  }
  return (int64_t)n;
}

static int read_length(struct weft_h1 *h1) {
  const struct weft_fields *fields = &h1->fields;
  size_t i = 0;
  for (;; i++) {
    struct weft_field field;
    int64_t length;
    i = weft_fields_find(fields, NAME("content-length"), i);
    if (i == fields->count)
      return 0;
    field = weft_fields_at(fields, i);
    length = weft_h1_number(field.value, field.value_size);
    if (length < 0)
      return bad_head(h1, "Content-Length is no number, or too large a one");
    if (h1->length >= 0 && length != h1->length)
      return bad_head(h1, "two Content-Lengths that differ");
    if (h1->length >= 0)
      h1->defects |= WEFT_H1_LENGTH_REPEATED;
    h1->length = length;
  }
}

/* The next element of a comma-separated list, without blanks; 0 at its end.
 * Empty elements are skipped, as RFC 9110 has it. */
static int next_element(struct cursor *list, struct weft_h1_text *element) {
  while (list->at < list->end && (weft_is_blank(*list->at) || *list->at == ','))
    list->at++;
  if (list->at == list->end)
    return 0;
  element->data = list->at;
  while (list->at < list->end && *list->at != ',')
    list->at++;
  element->size = (size_t)(list->at - element->data);
  while (weft_is_blank(element->data[element->size - 1]))
    element->size--;
  return 1;
}

static int is_one(const struct weft_h1_text *text, const char *name,
                  size_t size) {
  return text->size == size && weft_is_same(text->data, name, size);
}

static int read_coding(struct weft_h1 *h1, struct said *said,
                       const struct weft_h1_text *coding) {
  if (said->is_chunked)
    return bad_head(h1, "chunked is not the last transfer coding");
  if (is_one(coding, NAME("chunked")))
    said->is_chunked = 1;
  else if (is_one(coding, NAME("identity")))
    h1->defects |= WEFT_H1_IDENTITY;
  else if (is_one(coding, NAME("gzip")) || is_one(coding, NAME("x-gzip")) ||
           is_one(coding, NAME("deflate")) || is_one(coding, NAME("compress")))
    said->is_other = 1;
  else
    return bad_head(h1, "an unknown transfer coding");
  return 0;
}

static int read_codings(struct weft_h1 *h1, struct said *said) {
  const struct weft_fields *fields = &h1->fields;
  size_t i = 0;
  for (;; i++) {
    struct weft_field field;
    struct weft_h1_text coding;
    struct cursor list;
    i = weft_fields_find(fields, NAME("transfer-encoding"), i);
    if (i == fields->count)
      return 0;
    said->has_codings = 1;
    field = weft_fields_at(fields, i);
    list.at = field.value;
    list.end = field.value + field.value_size;
    while (next_element(&list, &coding))
      if (read_coding(h1, said, &coding) != 0)
        return h1->error.code;
  }
}

static void read_connection(struct weft_h1 *h1, struct said *said) {
  const struct weft_fields *fields = &h1->fields;
  size_t i = 0;
  for (;; i++) {
    struct weft_field field;
    struct weft_h1_text option;
    struct cursor list;
    i = weft_fields_find(fields, NAME("connection"), i);
    if (i == fields->count)
      return;
    field = weft_fields_at(fields, i);
    list.at = field.value;
    list.end = field.value + field.value_size;
    while (next_element(&list, &option)) {
      said->is_close |= is_one(&option, NAME("close")) != 0;
      said->is_keep_alive |= is_one(&option, NAME("keep-alive")) != 0;
    }
  }
}

/* Both at once, or a coding that leaves the end open, is how requests and
 * responses are smuggled. */
static int check_codings(struct weft_h1 *h1, const struct said *said) {
  if (!said->has_codings)
    return 0;
  if (h1->length >= 0)
    return bad_head(h1, "both Content-Length and Transfer-Encoding");
  if (!said->is_chunked && (said->is_other || h1->role == WEFT_H1_REQUESTS ||
                            !(h1->defects & WEFT_H1_IDENTITY)))
    return bad_head(h1, "Transfer-Encoding does not end with chunked");
  if (h1->minor == 0)
    return weft_h1_defect(h1, WEFT_H1_OLD_CHUNKED,
                          "Transfer-Encoding in HTTP/1.0");
  return 0;
}

static int check_host(struct weft_h1 *h1) {
  const struct weft_fields *fields = &h1->fields;
  size_t i = weft_fields_find(fields, NAME("host"), 0);
  if (i == fields->count) {
    if (h1->minor > 0)
      h1->defects |= WEFT_H1_NO_HOST;
    return 0;
  }
  if (weft_fields_find(fields, NAME("host"), i + 1) != fields->count)
    return bad_head(h1, "more than one Host");
  return 0;
}

static void frame(struct weft_h1 *h1, const struct said *said) {
  if (said->is_chunked)
    h1->framing = WEFT_H1_CHUNKED;
  else if (h1->length > 0)
    h1->framing = WEFT_H1_LENGTH;
  else if (h1->length == 0 || h1->role == WEFT_H1_REQUESTS)
    h1->framing = WEFT_H1_NONE;
  else
    h1->framing = WEFT_H1_UNTIL_CLOSE;
  h1->is_coded = said->is_other;
  if (h1->framing == WEFT_H1_UNTIL_CLOSE || (h1->defects & WEFT_H1_OLD_CHUNKED))
    h1->keep_alive = 0;
}

static void frame_nothing(struct weft_h1 *h1, int may_say_so) {
  if (!may_say_so && (h1->length > 0 ||
                      weft_fields_find(&h1->fields, NAME("transfer-encoding"),
                                       0) < h1->fields.count)) {
    h1->defects |= WEFT_H1_NO_BODY_HERE;
    h1->keep_alive = 0; /* it may send that body all the same */
  }
  h1->framing = WEFT_H1_NONE;
}

static int is_tunnel(const struct weft_h1 *h1) {
  return h1->role == WEFT_H1_RESPONSES &&
         (h1->status == 101 ||
          ((h1->asked & WEFT_H1_ASKED_CONNECT) && h1->status / 100 == 2));
}

static int decide_tunnel(struct weft_h1 *h1) {
  if (h1->status == 101 && !(h1->asked & WEFT_H1_ASKED_UPGRADE))
    return bad_head(h1, "an upgrade that nobody asked for");
  frame_nothing(h1, 0);
  h1->is_tunnel = 1;
  h1->keep_alive = 0;
  return 0;
}

int weft_h1_decide(struct weft_h1 *h1) {
  struct said said = {0};
  int rc;
  read_connection(h1, &said);
  h1->keep_alive =
      !said.is_close && (h1->minor > 0 || said.is_keep_alive) ? 1 : 0;
  if (h1->role == WEFT_H1_REQUESTS && check_host(h1) != 0)
    return h1->error.code;
  rc = read_length(h1);
  if (is_tunnel(h1) && rc == 0)
    return decide_tunnel(h1);
  if (rc == 0)
    rc = read_codings(h1, &said);
  if (rc == 0)
    rc = check_codings(h1, &said);
  if (rc != 0)
    return rc;
  if (h1->role == WEFT_H1_REQUESTS)
    frame(h1, &said);
  else if (h1->status < 200 || h1->status == 204)
    frame_nothing(h1, 0);
  else if (h1->status == 304 || (h1->asked & WEFT_H1_ASKED_HEAD))
    frame_nothing(h1, 1);
  else
    frame(h1, &said);
  return 0;
}

int weft_h1_is_bad_trailer(const char *name, size_t size) {
  static const char *const bad[] = {
      "content-length",      "transfer-encoding", "host", /* the bad ones */
      "connection",          "trailer",           "authorization",
      "proxy-authorization", "content-encoding",  "content-type",
      "content-range",       "set-cookie",        "location"};
  size_t i;
  for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    if (strlen(bad[i]) == size && weft_is_same(bad[i], name, size))
      return i < 3 ? 2 : 1;
  return 0;
}
