/* SPDX-License-Identifier: MIT */
/*
 * spec/c/h1_model.h: what a parser made of some bytes, as text, so that two
 * runs can be compared: the same bytes, split in another way, give the same.
 *
 * Every piece is given in a block of its own that is freed after: a sanitizer
 * sees what is read beyond it or kept. Lines of the text:
 *
 *   H 200 [OK] 1.1 length keep     I 103 [Early Hints] 1.1 none keep
 *   H GET [/path] 1.1 none close   f Name=[value]      D data
 *   t Trailer=[value]              E left=3 bare-lf,obs-fold
 *   ! EPROTOCOL 17 what was wrong
 */
#ifndef WEFT_SPEC_H1_MODEL_H
#define WEFT_SPEC_H1_MODEL_H

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/err.h"
#include "check.h"
#include "proto/h1.h"

struct model_input {
  enum weft_h1_role role;
  unsigned asked;
  struct weft_h1_limits limits; /* 0: the default */
  struct weft_fields_limits fields;
  const char *data;
  size_t size;
};

struct model_text {
  char *data;
  size_t size, capacity;
  int is_in_data;
};

static inline void model_bytes(struct model_text *text, const char *data,
                               size_t size) {
  if (text->size + size + 1 > text->capacity) {
    text->capacity = (text->size + size + 1) * 2;
    text->data = realloc(text->data, text->capacity);
    CHECK(text->data != NULL);
  }
  memcpy(text->data + text->size, data, size);
  text->size += size;
  text->data[text->size] = 0;
}

static inline void model_escaped(struct model_text *text, const char *data,
                                 size_t size) {
  size_t i;
  char hex[8];
  for (i = 0; i < size; i++) {
    unsigned char c = (unsigned char)data[i];
    if (c >= ' ' && c < 127 && c != '\\') {
      model_bytes(text, data + i, 1);
    } else {
      snprintf(hex, sizeof(hex), "\\x%02x", c);
      model_bytes(text, hex, 4);
    }
  }
}

__attribute__((format(printf, 2, 3))) static inline void model_printf(
    struct model_text *text, const char *format, ...) {
  char line[300];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  model_bytes(text, line, strlen(line));
}

/* Ends a line of data, which pieces make together. */
static inline void model_line(struct model_text *text) {
  if (text->is_in_data)
    model_bytes(text, "\n", 1);
  text->is_in_data = 0;
}

static inline void model_fields(struct model_text *text, const char *mark,
                                const struct weft_fields *fields) {
  size_t i;
  for (i = 0; i < fields->count; i++) {
    struct weft_field field = weft_fields_at(fields, i);
    CHECK(weft_fields_check_name(field.name, field.name_size) == 0);
    CHECK(weft_fields_check_value(field.value, field.value_size) == 0);
    model_bytes(text, mark, strlen(mark));
    model_escaped(text, field.name, field.name_size);
    model_bytes(text, "=[", 2);
    model_escaped(text, field.value, field.value_size);
    model_bytes(text, "]\n", 2);
  }
}

static inline void model_head(struct model_text *text, const char *mark,
                              const struct weft_h1 *h1) {
  static const char *const framings[] = {"none", "length", "chunked", "close"};
  model_bytes(text, mark, strlen(mark));
  if (h1->role == WEFT_H1_RESPONSES) {
    model_printf(text, "%u [", h1->status);
    model_escaped(text, h1->reason.data, h1->reason.size);
  } else {
    model_escaped(text, h1->method.data, h1->method.size);
    model_bytes(text, " [", 2);
    model_escaped(text, h1->target.data, h1->target.size);
  }
  model_printf(text, "] %u.%u %s %s%s%s\n", h1->major, h1->minor,
               framings[h1->framing], h1->keep_alive ? "keep" : "close",
               h1->is_coded ? " coded" : "", h1->is_tunnel ? " tunnel" : "");
  model_fields(text, "f ", &h1->fields);
}

static inline void model_end(struct model_text *text, const struct weft_h1 *h1,
                             size_t left) {
  const char *comma = " ";
  unsigned bit;
  model_line(text);
  model_fields(text, "t ", &h1->trailers);
  model_printf(text, "E left=%zu", left);
  for (bit = 0; weft_h1_defect_name(bit) != NULL; bit++) {
    if (!(h1->defects >> bit & 1))
      continue;
    model_printf(text, "%s%s", comma, weft_h1_defect_name(bit));
    comma = ",";
  }
  model_bytes(text, "\n", 1);
}

static inline void model_error(struct model_text *text,
                               const struct weft_h1 *h1) {
  const char *name = weft_err_name(h1->error.code);
  CHECK(h1->error.code < 0 && h1->error.what != NULL);
  model_line(text);
  model_printf(text, "! %s %llu %s\n", name != NULL ? name : "?",
               (unsigned long long)h1->error.at, h1->error.what);
}

/* One piece: 0 when there is nothing to do with more, or how much of it was
 * left over by a message after which another may follow. */
static inline int model_feed(struct weft_h1 *h1, struct model_text *text,
                             const char *data, size_t size, size_t behind,
                             size_t *used) {
  struct weft_h1_event event;
  for (;;) {
    ptrdiff_t n = weft_h1_feed(h1, data + *used, size - *used, &event);
    if (n < 0) {
      CHECK(n == h1->error.code);
      model_error(text, h1);
      return 0;
    }
    CHECK((size_t)n <= size - *used);
    CHECK(h1->fields.count <= h1->fields.limits.count);
    CHECK(h1->fields.live <= h1->limits.head);
    *used += (size_t)n;
    switch (event.type) {
    case WEFT_H1_MORE:
      CHECK(*used == size);
      return 1;
    case WEFT_H1_INFORMATIONAL:
      model_head(text, "I ", h1);
      break;
    case WEFT_H1_HEAD:
      model_head(text, "H ", h1);
      break;
    case WEFT_H1_DATA:
      CHECK(event.size > 0 && event.data >= data &&
            event.data + event.size <= data + size);
      if (!text->is_in_data)
        model_bytes(text, "D ", 2);
      text->is_in_data = 1;
      model_escaped(text, event.data, event.size);
      break;
    default:
      model_end(text, h1, size - *used + behind);
      if (!h1->keep_alive || h1->role == WEFT_H1_RESPONSES ||
          size - *used + behind == 0)
        return 0;
      weft_h1_begin(h1, h1->asked);
    }
  }
}

/* What becomes of the input in pieces of the sizes that `next` gives (from the
 * offset and `state`). The text is the caller's, to be freed. */
static inline char *model_parse(const struct model_input *input,
                                size_t (*next)(void *state, size_t at),
                                void *state) {
  struct weft_mem mem = {0};
  struct model_text text = {0};
  struct weft_h1 h1;
  size_t at = 0, size, used;
  int goes_on = 1;
  weft_h1_init(&h1, input->role, &mem);
  if (input->limits.head > 0)
    h1.limits = input->limits;
  if (input->fields.count > 0)
    h1.fields.limits = input->fields;
  weft_h1_begin(&h1, input->asked);
  model_bytes(&text, "", 0);
  while (goes_on && at < input->size) {
    char *piece;
    size = next(state, at);
    size = size < input->size - at ? size : input->size - at;
    piece = malloc(size > 0 ? size : 1);
    CHECK(piece != NULL);
    memcpy(piece, input->data + at, size);
    used = 0;
    goes_on =
        model_feed(&h1, &text, piece, size, input->size - at - size, &used);
    free(piece);
    at += size;
  }
  if (goes_on) {
    if (weft_h1_finish(&h1) == 0)
      model_end(&text, &h1, 0);
    else
      model_error(&text, &h1);
  }
  weft_h1_deinit(&h1);
  CHECK(mem.blocks == 0 && mem.bytes == 0);
  return text.data;
}

/* Two pieces, the first of *state bytes; and pieces of *state bytes each. */
static inline size_t model_once(void *state, size_t at) {
  size_t *first = state;
  return at == 0 && *first > 0 ? *first : (size_t)-1;
}

static inline size_t model_each(void *state, size_t at) {
  (void)at;
  return *(size_t *)state;
}

#endif
