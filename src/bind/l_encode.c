/* SPDX-License-Identifier: MIT */
/*
 * bind/l_encode.c: text in other encodings than UTF-8, by iconv: what a browser
 * does with the query of a link in a page that is not in UTF-8.
 *
 * Owns nothing. Must not know URLs, nor the Encoding Standard's names. Nothing
 * here raises between iconv_open and iconv_close.
 */
#include "bind/lutil.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>

/* What there is to encode, what came of it so far, and what the encoding lacks:
 * code points, and where they belong in the output. */
struct job {
  iconv_t cd;
  char *in;
  size_t in_left;
  char *start;
  char *out;
  size_t out_left;
  struct gap {
    size_t at;
    lua_Integer point;
  } * gaps;
  size_t gap_count;
};

/* An escape sequence before each character and one after the last is the most
 * that an encoding of the web makes of one byte of UTF-8. */
#define MOST_PER_BYTE 8
#define MOST_AT_END 16

/* The length of the character that begins with this byte. */
static size_t size_of(const char *p) {
  unsigned char first = (unsigned char)*p;
  return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* The code point at p, which is UTF-8 and has so many bytes. */
static lua_Integer point_at(const char *p, size_t size) {
  const unsigned char *u = (const unsigned char *)p;
  switch (size) {
  case 1:
    return u[0];
  case 2:
    return (u[0] & 0x1F) << 6 | (u[1] & 0x3F);
  case 3:
    return (u[0] & 0x0F) << 12 | (u[1] & 0x3F) << 6 | (u[2] & 0x3F);
  default:
    return (u[0] & 0x07) << 18 | (u[1] & 0x3F) << 12 | (u[2] & 0x3F) << 6 |
           (u[3] & 0x3F);
  }
}

/* 0, or -1: not UTF-8, or more output than expected. */
static int encode(struct job *job) {
  while (job->in_left > 0) {
    size_t size;
    struct gap *gap = &job->gaps[job->gap_count];
    if (iconv(job->cd, &job->in, &job->in_left, &job->out, &job->out_left) !=
        (size_t)-1)
      break;
    if (errno != EILSEQ)
      return -1;
    size = size_of(job->in);
    if (size > job->in_left) /* cut: what is behind is not the text's */
      return -1;
    gap->point = point_at(job->in, size);
    gap->at = (size_t)(job->out - job->start);
    job->gap_count++;
    job->in += size;
    job->in_left -= size;
  }
  return iconv(job->cd, NULL, NULL, &job->out, &job->out_left) == (size_t)-1
             ? -1
             : 0;
}

/* The list of strings and code points. [-0, +1, m] */
static void push_pieces(lua_State *L, const struct job *job) {
  size_t from = 0, i;
  int n = 0;
  lua_createtable(L, (int)job->gap_count * 2 + 1, 0);
  for (i = 0; i < job->gap_count; i++) {
    const struct gap *gap = &job->gaps[i];
    lua_pushlstring(L, job->start + from, gap->at - from);
    lua_rawseti(L, -2, ++n);
    lua_pushinteger(L, gap->point);
    lua_rawseti(L, -2, ++n);
    from = gap->at;
  }
  lua_pushlstring(L, job->start + from, (size_t)(job->out - job->start) - from);
  lua_rawseti(L, -2, ++n);
}

/* text_encode(text in UTF-8, iconv's name of an encoding) -> list of strings,
 * and of numbers: the code points that the encoding lacks; nil: no such
 * encoding, or the text is not UTF-8 */
static int l_text_encode(lua_State *L) {
  struct job job;
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  const char *name = luaL_checkstring(L, 2);
  int rc;
  lua_settop(L, 2);
  memset(&job, 0, sizeof(job));
  job.out_left = size * MOST_PER_BYTE + MOST_AT_END;
  job.start = job.out = lua_newuserdata(L, job.out_left);
  job.gaps = lua_newuserdata(L, (size + 1) * sizeof(*job.gaps));
  job.in = (char *)(uintptr_t)text; /* iconv does not change it */
  job.in_left = size;
  job.cd = iconv_open(name, "UTF-8");
  if (job.cd == (iconv_t)-1)
    return 0;
  rc = encode(&job);
  iconv_close(job.cd);
  if (rc != 0)
    return 0;
  push_pieces(L, &job);
  return 1;
}

static const luaL_Reg functions[] = {
    {"text_encode", l_text_encode},
    {NULL, NULL},
};

void weft_open_encode(lua_State *L) {
  weft_set_functions(L, functions, NULL);
}
