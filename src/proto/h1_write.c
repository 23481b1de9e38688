/* SPDX-License-Identifier: MIT */
/*
 * proto/h1_write.c: requests out; see h1.h. Everything is checked before the
 * first byte is written: nothing that is given can end a field or a head, or
 * say a second framing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "proto/chars.h"
#include "proto/h1_internal.h"

#define NAME(text) text, sizeof(text) - 1
#define NUMBER_MAX 32 /* of a number as text, with its line end */

static char *put(char *to, const char *text, size_t size) {
  if (size > 0)
    memcpy(to, text, size);
  return to + size;
}

static int put_now(struct weft_buffer *out, struct weft_mem *mem,
                   const char *text, size_t size) {
  size_t room;
  char *to = weft_buffer_reserve(out, mem, size, &room);
  if (to == NULL)
    return -ENOMEM;
  put(to, text, size);
  weft_buffer_add(out, size);
  return 0;
}

static int refuse(const char **what, int code, const char *why) {
  *what = why;
  return code;
}

/* ---- Checks -------------------------------------------------------------- */

static int check_line(const struct weft_h1_request *request,
                      const char **what) {
  size_t i;
  if (weft_fields_check_name(request->method.data, request->method.size) != 0)
    return refuse(what, WEFT_EMESSAGE, "the method is no token");
  if (request->target.size == 0)
    return refuse(what, WEFT_EMESSAGE, "the target is empty");
  for (i = 0; i < request->target.size; i++) {
    unsigned char c = (unsigned char)request->target.data[i];
    if (c <= ' ' || c >= 127)
      return refuse(what, WEFT_EMESSAGE,
                    "a character in the target that must be encoded");
  }
  return 0;
}

static int check_framing(const struct weft_h1_request *request,
                         const char **what) {
  const struct weft_fields *fields = request->fields;
  size_t i = weft_fields_find(fields, NAME("content-length"), 0);
  struct weft_field field;
  if (weft_fields_find(fields, NAME("transfer-encoding"), 0) != fields->count)
    return refuse(what, WEFT_EFIELD, "Transfer-Encoding is set by the framing");
  if (request->framing == WEFT_H1_UNTIL_CLOSE || request->length > INT64_MAX)
    return refuse(what, WEFT_EMESSAGE, "no framing that a request can have");
  if (i == fields->count)
    return 0;
  field = weft_fields_at(fields, i);
  if (weft_fields_find(fields, NAME("content-length"), i + 1) != fields->count)
    return refuse(what, WEFT_EFIELD, "more than one Content-Length");
  if (request->framing != WEFT_H1_LENGTH ||
      weft_h1_number(field.value, field.value_size) != (int64_t)request->length)
    return refuse(what, WEFT_EFIELD,
                  "Content-Length is not the length of the body");
  return 0;
}

static int check_host(const struct weft_h1_request *request,
                      const char **what) {
  const struct weft_fields *fields = request->fields;
  size_t i = weft_fields_find(fields, NAME("host"), 0);
  if (i == fields->count ||
      weft_fields_find(fields, NAME("host"), i + 1) != fields->count)
    return refuse(what, WEFT_EFIELD, "a request has one Host");
  return 0;
}

/* Fields that a parser has taken in may have what must not be written. */
static int check_fields(const struct weft_fields *fields, const char **what) {
  size_t i;
  if (!fields->is_received)
    return 0;
  for (i = 0; i < fields->count; i++) {
    struct weft_field field = weft_fields_at(fields, i);
    if (weft_fields_check_name(field.name, field.name_size) != 0)
      return refuse(what, WEFT_EFIELD, "a field's name is no token");
    if (weft_fields_check_value(field.value, field.value_size) != 0)
      return refuse(what, WEFT_EFIELD,
                    "a control character, or a space at an end, in a field");
  }
  return 0;
}

/* ---- Writing ------------------------------------------------------------- */

static size_t size_of(const struct weft_fields *fields) {
  return fields->live + fields->count * 4; /* ": " and CRLF */
}

/* Content-Length is left out: the framing says it. */
static char *put_fields(char *to, const struct weft_fields *fields) {
  size_t i;
  for (i = 0; i < fields->count; i++) {
    struct weft_field field = weft_fields_at(fields, i);
    if (field.name_size == 14 && weft_is_same(field.name, "content-length", 14))
      continue;
    to = put(to, field.name, field.name_size);
    to = put(to, ": ", 2);
    to = put(to, field.value, field.value_size);
    to = put(to, "\r\n", 2);
  }
  return to;
}

static char *put_framing(char *to, const struct weft_h1_request *request) {
  char text[NUMBER_MAX];
  int n;
  if (request->framing == WEFT_H1_CHUNKED)
    return put(to, NAME("Transfer-Encoding: chunked\r\n"));
  if (request->framing != WEFT_H1_LENGTH)
    return to;
  n = snprintf(text, sizeof(text), "%llu\r\n",
               (unsigned long long)request->length);
  to = put(to, NAME("Content-Length: "));
  return put(to, text, (size_t)n);
}

int weft_h1_write_head(struct weft_buffer *out, struct weft_mem *mem,
                       const struct weft_h1_request *request,
                       const char **what) {
  size_t size = request->method.size + request->target.size + 64 + NUMBER_MAX +
                size_of(request->fields);
  size_t room;
  char *to, *start;
  int rc = check_line(request, what);
  if (rc == 0)
    rc = check_fields(request->fields, what);
  if (rc == 0)
    rc = check_framing(request, what);
  if (rc == 0)
    rc = check_host(request, what);
  if (rc != 0)
    return rc;
  start = to = weft_buffer_reserve(out, mem, size, &room);
  if (to == NULL)
    return refuse(what, -ENOMEM, "out of memory");
  to = put(to, request->method.data, request->method.size);
  to = put(to, " ", 1);
  to = put(to, request->target.data, request->target.size);
  to = put(to, NAME(" HTTP/1.1\r\n"));
  to = put_fields(to, request->fields);
  to = put_framing(to, request);
  to = put(to, "\r\n", 2);
  weft_buffer_add(out, (size_t)(to - start));
  return 0;
}

int weft_h1_write_chunk_head(struct weft_buffer *out, struct weft_mem *mem,
                             size_t size) {
  char text[NUMBER_MAX];
  int n = snprintf(text, sizeof(text), "%zx\r\n", size);
  if (size == 0) /* it would be the end */
    return WEFT_EMESSAGE;
  return put_now(out, mem, text, (size_t)n);
}

int weft_h1_write_chunk_tail(struct weft_buffer *out, struct weft_mem *mem) {
  return put_now(out, mem, "\r\n", 2);
}

static int check_trailers(const struct weft_fields *trailers,
                          const char **what) {
  size_t i;
  for (i = 0; i < trailers->count; i++) {
    struct weft_field field = weft_fields_at(trailers, i);
    if (weft_h1_is_bad_trailer(field.name, field.name_size))
      return refuse(what, WEFT_EFIELD, "a field that cannot be a trailer");
  }
  return check_fields(trailers, what);
}

int weft_h1_write_end(struct weft_buffer *out, struct weft_mem *mem,
                      const struct weft_fields *trailers, const char **what) {
  size_t room;
  char *start, *to;
  if (trailers == NULL)
    return put_now(out, mem, NAME("0\r\n\r\n"));
  if (check_trailers(trailers, what) != 0)
    return WEFT_EFIELD;
  start = to = weft_buffer_reserve(out, mem, size_of(trailers) + 5, &room);
  if (to == NULL)
    return refuse(what, -ENOMEM, "out of memory");
  to = put(to, "0\r\n", 3);
  to = put_fields(to, trailers);
  to = put(to, "\r\n", 2);
  weft_buffer_add(out, (size_t)(to - start));
  return 0;
}
