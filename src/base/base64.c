/* SPDX-License-Identifier: MIT */
/*
 * base/base64.c: three bytes to four characters of six bits each, and back.
 *
 * See base64.h. Decoding is strict, so that a text cannot be spelt in two ways.
 */
#include "base/base64.h"

#include <limits.h>
#include <stdint.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t weft_base64_length(size_t size) {
  size_t groups = size / 3 + (size % 3 != 0);
  return groups <= LONG_MAX / 4 ? groups * 4 : SIZE_MAX;
}

void weft_base64_encode(char *text, const char *data, size_t size) {
  const unsigned char *in = (const unsigned char *)data;
  while (size > 0) {
    unsigned group = (unsigned)in[0] << 16;
    if (size > 1)
      group |= (unsigned)in[1] << 8;
    if (size > 2)
      group |= in[2];
    text[0] = alphabet[group >> 18];
    text[1] = alphabet[group >> 12 & 63];
    text[2] = size > 1 ? alphabet[group >> 6 & 63] : '=';
    text[3] = size > 2 ? alphabet[group & 63] : '=';
    text += 4;
    in += 3;
    size -= size < 3 ? size : 3;
  }
}

/* The six bits of a character; -1 if it has none. */
static int bits_of(char c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The first `count` (2 to 4) characters of a group; -1 if one is none. */
static long group_of(const char *text, int count) {
  long group = 0;
  int i;
  for (i = 0; i < 4; i++) {
    int bits = i < count ? bits_of(text[i]) : 0;
    if (bits < 0)
      return -1;
    group = group << 6 | bits;
  }
  return group;
}

long weft_base64_decode(char *data, const char *text, size_t length) {
  char *out = data;
  size_t at;
  if (length % 4 != 0)
    return -1;
  for (at = 0; at < length; at += 4) {
    int is_last = at + 4 == length;
    int count = !is_last || text[at + 3] != '=' ? 4
                : text[at + 2] != '='           ? 3
                                                : 2;
    long group = group_of(text + at, count);
    if (group < 0 || (count == 3 && (group & 0xFF) != 0) ||
        (count == 2 && (group & 0xFFFF) != 0))
      return -1;
    *out++ = (char)(group >> 16 & 0xFF);
    if (count > 2)
      *out++ = (char)(group >> 8 & 0xFF);
    if (count > 3)
      *out++ = (char)(group & 0xFF);
  }
  return (long)(out - data);
}
