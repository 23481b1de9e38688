/* SPDX-License-Identifier: MIT */
/*
 * proto/chars.h: the classes of characters of RFC 9110 that more than one file
 * needs; without regard to the locale.
 *
 * Owns nothing. Bytes from 128 up ("obs-text") are text, as the web has them.
 */
#ifndef WEFT_PROTO_CHARS_H
#define WEFT_PROTO_CHARS_H

#include <stddef.h>
#include <stdint.h>

static inline unsigned char weft_lower(unsigned char c) {
  return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

static inline int weft_is_digit(char c) {
  return c >= '0' && c <= '9';
}

static inline int weft_is_blank(char c) {
  return c == ' ' || c == '\t';
}

/* What may stand in a field's value: no control character but the tab. */
static inline int weft_is_text(char c) {
  return ((unsigned char)c >= ' ' && c != 127) || c == '\t';
}

/* What a token may have. */
static inline int weft_is_token(char c) {
  static const unsigned char is_token[256] = {
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* controls */
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, /* !#$%&'*+-. */
      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, /* digits */
      0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* letters */
      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, /* … ^_ */
      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* ` letters */
      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, /* … |~ */
  };
  return is_token[(unsigned char)c];
}

/* Whether `size` bytes are the same but for case. */
static inline int weft_is_same(const char *a, const char *b, size_t size) {
  size_t i;
  for (i = 0; i < size; i++)
    if (weft_lower((unsigned char)a[i]) != weft_lower((unsigned char)b[i]))
      return 0;
  return 1;
}

#endif
