/* SPDX-License-Identifier: MIT */
/*
 * bind/l_text.c: bytes in an encoding to UTF-8, for Lua, and strings of JSON.
 * UTF-8 and UTF-16 are read here, so that errors are counted as browsers count
 * them; encodings of one byte by a table, which libc's iconv fills; all others
 * by iconv itself.
 *
 * Owns: struct l_charset, the userdata. It must not know labels, nor which
 * encoding is what to iconv: that is Lua's (weft.http.encoding).
 *
 * Every decode_*(…, bytes, errors, is_last) returns the text and how many of
 * the bytes are used up; the rest, a character that is cut, is to come again
 * with the bytes that follow, unless is_last. `errors` is 0 to put U+FFFD for
 * what is malformed, 1 to stop there, 2 to leave it out. Stopped, it returns
 * nil and the offset of what is malformed.
 */
#include "bind/lutil.h"

#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>

#define UNDEFINED 0xFFFFu
#define NO_ICONV ((iconv_t)-1)

enum errors { REPLACE, STRICT, IGNORE };
enum step { GOOD, BAD, CUT };

struct l_charset {
  iconv_t cd;                 /* NO_ICONV: a table, or closed */
  uint16_t high[128];         /* of the bytes from 0x80 on; UNDEFINED: none */
  unsigned char is_lead[256]; /* whether another byte belongs to it */
};

struct text {
  lua_State *L;
  luaL_Buffer buffer;
  enum errors errors;
  int has_stopped;
};

/* [-0, +?, m]: from here to the end, the stack's top is the buffer's. */
static void text_init(struct text *text, lua_State *L, int errors) {
  text->L = L;
  text->errors = (enum errors)errors;
  text->has_stopped = 0;
  luaL_buffinit(L, &text->buffer);
}

static void text_put(struct text *text, uint32_t code) {
  luaL_Buffer *b = &text->buffer;
  if (code < 0x80) {
    luaL_addchar(b, (char)code);
    return;
  }
  if (code < 0x800) {
    luaL_addchar(b, (char)(0xC0 | code >> 6));
  } else {
    if (code < 0x10000) {
      luaL_addchar(b, (char)(0xE0 | code >> 12));
    } else {
      luaL_addchar(b, (char)(0xF0 | code >> 18));
      luaL_addchar(b, (char)(0x80 | (code >> 12 & 0x3F)));
    }
    luaL_addchar(b, (char)(0x80 | (code >> 6 & 0x3F)));
  }
  luaL_addchar(b, (char)(0x80 | (code & 0x3F)));
}

/* Something is malformed: whether to go on. */
static int text_bad(struct text *text) {
  if (text->errors == REPLACE)
    text_put(text, 0xFFFD);
  else if (text->errors == STRICT)
    text->has_stopped = 1;
  return !text->has_stopped;
}

/* `at` is how far it came. [-?, +2, m] */
static int text_end(struct text *text, size_t at) {
  luaL_pushresult(&text->buffer);
  if (text->has_stopped) {
    lua_pop(text->L, 1);
    lua_pushnil(text->L);
  }
  lua_pushinteger(text->L, (lua_Integer)at);
  return 2;
}

static const unsigned char *check_bytes(lua_State *L, int idx, size_t *size) {
  return (const unsigned char *)luaL_checklstring(L, idx, size);
}

/* How many bytes from p on are ASCII. */
static size_t ascii_run(const unsigned char *p, size_t size) {
  size_t i = 0;
  uint64_t word;
  for (; i + 8 <= size; i += 8) {
    memcpy(&word, p + i, 8);
    if (word & UINT64_C(0x8080808080808080))
      break;
  }
  while (i < size && p[i] < 0x80)
    i++;
  return i;
}

/* The character at p, of *length bytes; of what is malformed, the bytes that
 * count as one error. */
static enum step utf8_step(const unsigned char *p, size_t size,
                           size_t *length) {
  unsigned char low = 0x80, high = 0xBF, first = p[0];
  size_t need = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  *length = 1;
  if (first >= 0x80 && (first < 0xC2 || first > 0xF4))
    return BAD;
  if (first == 0xE0)
    low = 0xA0;
  else if (first == 0xED)
    high = 0x9F;
  else if (first == 0xF0)
    low = 0x90;
  else if (first == 0xF4)
    high = 0x8F;
  for (; *length <= need; ++*length, low = 0x80, high = 0xBF) {
    if (*length == size)
      return CUT;
    if (p[*length] < low || p[*length] > high)
      return BAD;
  }
  return GOOD;
}

/* How many bytes from p on are well-formed UTF-8. */
static size_t utf8_run(const unsigned char *p, size_t size) {
  size_t at = 0, length;
  while (at < size) {
    at += ascii_run(p + at, size - at);
    if (at == size || utf8_step(p + at, size - at, &length) != GOOD)
      break;
    at += length;
  }
  return at;
}

/* decode_utf8(bytes, errors, is_last) */
static int l_text_utf8(lua_State *L) {
  size_t size, length, at;
  const unsigned char *p = check_bytes(L, 1, &size);
  int errors = (int)luaL_checkinteger(L, 2), is_last = lua_toboolean(L, 3);
  struct text text;
  at = utf8_run(p, size);
  if (at == size) { /* all is well: no copy */
    lua_pushvalue(L, 1);
    lua_pushinteger(L, (lua_Integer)size);
    return 2;
  }
  text_init(&text, L, errors);
  luaL_addlstring(&text.buffer, (const char *)p, at);
  while (at < size) {
    size_t run;
    if (utf8_step(p + at, size - at, &length) == CUT && !is_last)
      break;
    if (!text_bad(&text))
      break;
    at += length;
    run = utf8_run(p + at, size - at);
    luaL_addlstring(&text.buffer, (const char *)p + at, run);
    at += run;
  }
  return text_end(&text, at);
}

static enum step utf16_step(const unsigned char *p, size_t size, int is_big,
                            size_t *length, uint32_t *code) {
  uint32_t second;
  *length = size < 2 ? size : 2;
  if (size < 2)
    return CUT;
  *code = (uint32_t)p[!is_big] << 8 | p[is_big];
  if (*code < 0xD800 || *code > 0xDFFF)
    return GOOD;
  if (*code >= 0xDC00)
    return BAD;
  if (size < 4) {
    *length = size;
    return CUT;
  }
  second = (uint32_t)p[2 + !is_big] << 8 | p[2 + is_big];
  if (second < 0xDC00 || second > 0xDFFF)
    return BAD;
  *length = 4;
  *code = 0x10000 + ((*code - 0xD800) << 10) + (second - 0xDC00);
  return GOOD;
}

/* decode_utf16(is_big_endian, bytes, errors, is_last) */
static int l_text_utf16(lua_State *L) {
  size_t size, length, at = 0;
  int is_big = lua_toboolean(L, 1);
  const unsigned char *p = check_bytes(L, 2, &size);
  int errors = (int)luaL_checkinteger(L, 3), is_last = lua_toboolean(L, 4);
  struct text text;
  text_init(&text, L, errors);
  while (at < size) {
    uint32_t code = 0;
    enum step step = utf16_step(p + at, size - at, is_big, &length, &code);
    if (step == CUT && !is_last)
      break;
    if (step == GOOD)
      text_put(&text, code);
    else if (!text_bad(&text))
      break;
    at += length;
  }
  return text_end(&text, at);
}

/* ------------------------------------------------------------- charsets */

int l_charset__gc(lua_State *L) {
  struct l_charset *charset = lua_touserdata(L, 1);
  if (charset->cd != NO_ICONV)
    iconv_close(charset->cd);
  charset->cd = NO_ICONV;
  return 0;
}

/* [-0, +1, m] */
static struct l_charset *push_charset(lua_State *L) {
  struct l_charset *charset = weft_lua_newuserdata(L, sizeof(*charset));
  memset(charset, 0, sizeof(*charset));
  memset(charset->high, 0xFF, sizeof(charset->high));
  charset->cd = NO_ICONV;
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  return charset;
}

/* What iconv makes of a single byte; UNDEFINED if nothing, or more than one
 * character. Controls that it leaves out stand for themselves, as on the web.
 */
static uint16_t high_of(iconv_t cd, unsigned char byte) {
  unsigned char out[8];
  char *from = (char *)&byte, *to = (char *)out;
  size_t left = 1, room = sizeof(out);
  int is_good;
  iconv(cd, NULL, NULL, NULL, NULL);
  is_good = iconv(cd, &from, &left, &to, &room) != (size_t)-1 &&
            iconv(cd, NULL, NULL, &to, &room) != (size_t)-1;
  if (is_good && room == sizeof(out) - 2)
    return (uint16_t)(out[0] << 8 | out[1]);
  return byte < 0xA0 ? byte : UNDEFINED;
}

/* The characters that the caller knows better: { [byte] = code }. */
static void patch_table(lua_State *L, int idx, struct l_charset *charset) {
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_Integer byte = lua_tointeger(L, -2);
    if (byte >= 0x80 && byte <= 0xFF)
      charset->high[byte - 0x80] = (uint16_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
}

/* charset_table(name or nil, { [byte] = code }) -> charset for decode_table;
 * nil if iconv does not know the name */
static int l_charset_table(lua_State *L) {
  const char *name = luaL_optstring(L, 1, NULL);
  struct l_charset *charset;
  int byte;
  luaL_checktype(L, 2, LUA_TTABLE);
  charset = push_charset(L);
  if (name != NULL) {
    charset->cd = iconv_open("UTF-16BE", name);
    if (charset->cd == NO_ICONV)
      return 0;
    for (byte = 0x80; byte <= 0xFF; byte++)
      charset->high[byte - 0x80] = high_of(charset->cd, (unsigned char)byte);
    iconv_close(charset->cd);
    charset->cd = NO_ICONV;
  }
  patch_table(L, 2, charset);
  return 1;
}

/* decode_table(charset, bytes, errors) */
static int l_text_table(lua_State *L) {
  struct l_charset *charset = weft_check_self(L, "charset");
  size_t size, at = 0;
  const unsigned char *p = check_bytes(L, 2, &size);
  int errors = (int)luaL_checkinteger(L, 3);
  struct text text;
  text_init(&text, L, errors);
  while (at < size) {
    size_t run = ascii_run(p + at, size - at);
    luaL_addlstring(&text.buffer, (const char *)p + at, run);
    at += run;
    for (; at < size && p[at] >= 0x80; at++) {
      uint16_t code = charset->high[p[at] - 0x80];
      if (code != UNDEFINED)
        text_put(&text, code);
      else if (!text_bad(&text))
        return text_end(&text, at);
    }
  }
  return text_end(&text, at);
}

/* charset_open(name, leads, { [byte] = code }) -> charset for decode_iconv; nil
 * if iconv does not know the name. `leads` are pairs of bytes: from, to. The
 * table is for bytes that iconv does not know. */
static int l_charset_open(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  size_t size, i;
  const unsigned char *leads = check_bytes(L, 2, &size);
  struct l_charset *charset;
  luaL_checktype(L, 3, LUA_TTABLE);
  charset = push_charset(L);
  charset->cd = iconv_open("UTF-8", name);
  if (charset->cd == NO_ICONV)
    return 0;
  for (i = 0; i + 1 < size; i += 2)
    memset(charset->is_lead + leads[i], 1, (size_t)leads[i + 1] - leads[i] + 1);
  patch_table(L, 3, charset);
  return 1;
}

/* How many bytes at p, which iconv refused, count as one error: what follows a
 * lead byte goes with it unless it is ASCII, which may be markup. */
static size_t bad_length(const struct l_charset *charset,
                         const unsigned char *p, size_t size) {
  return charset->is_lead[p[0]] && size > 1 && p[1] >= 0x80 ? 2 : 1;
}

/* Takes what iconv refused; whether to go on. How much that is must not depend
 * on how the bytes were split: a lead byte waits for the next one. */
static int skip_bad(struct text *text, const struct l_charset *charset,
                    char **from, size_t *left, int is_last) {
  const unsigned char *p = (const unsigned char *)*from;
  size_t length = 1;
  if (!is_last && *left == 1 && charset->is_lead[p[0]])
    return 0;
  if (p[0] >= 0x80 && charset->high[p[0] - 0x80] != UNDEFINED) {
    text_put(text, charset->high[p[0] - 0x80]);
  } else {
    length = bad_length(charset, p, *left);
    if (!text_bad(text))
      return 0;
  }
  *from += length;
  *left -= length;
  return 1;
}

/* decode_iconv(charset, bytes, errors, is_last) */
static int l_text_iconv(lua_State *L) {
  struct l_charset *charset = weft_check_self(L, "charset");
  size_t size, left;
  char *from = (char *)check_bytes(L, 2, &size);
  int errors = (int)luaL_checkinteger(L, 3), is_last = lua_toboolean(L, 4);
  struct text text;
  int goes_on = charset->cd != NO_ICONV;
  text_init(&text, L, errors);
  left = size;
  while (goes_on) {
    char out[2048], *to = out;
    size_t room = sizeof(out);
    int flushes = left == 0, problem = 0;
    if (flushes && !is_last)
      break;
    if (iconv(charset->cd, flushes ? NULL : &from, flushes ? NULL : &left, &to,
              &room) == (size_t)-1)
      problem = errno;
    luaL_addlstring(&text.buffer, out, (size_t)(to - out));
    if (flushes)
      goes_on = problem == E2BIG;
    else if (problem == EILSEQ)
      goes_on = skip_bad(&text, charset, &from, &left, is_last);
    else if (problem != EINVAL)
      goes_on = problem == 0 || problem == E2BIG;
    else if ((goes_on = is_last && text_bad(&text)) != 0)
      left = 0; /* what is cut at the end is one error */
  }
  return text_end(&text, size - left);
}

/* ---- JSON ---- */

/* How many bytes from p on stand for themselves in a string. */
static size_t plain_run(const unsigned char *p, size_t size) {
  size_t i = 0;
  while (i < size && p[i] >= 0x20 && p[i] < 0x7F && p[i] != '"' && p[i] != '\\')
    i++;
  return i;
}

static void add_escaped(luaL_Buffer *b, unsigned char c) {
  static const char escapes[] = "\"\"\\\\\nn\rr\tt";
  const char *s = escapes;
  char code[8];
  while (*s != '\0' && (unsigned char)*s != c)
    s += 2;
  if (*s != '\0')
    snprintf(code, sizeof(code), "\\%c", s[1]);
  else
    snprintf(code, sizeof(code), "\\u%04x", c);
  luaL_addstring(b, code);
}

/* Puts the character at p, which is not ASCII; how many bytes it took. */
static size_t add_character(struct text *text, const unsigned char *p,
                            size_t size) {
  size_t length;
  if (utf8_step(p, size, &length) == GOOD)
    luaL_addlstring(&text->buffer, (const char *)p, length);
  else
    text_bad(text);
  return length;
}

/* json_string(bytes in UTF-8) -> a string of JSON, in quotes; what is malformed
 * becomes U+FFFD */
static int l_text_json_string(lua_State *L) {
  size_t size, at = 0;
  const unsigned char *p = check_bytes(L, 1, &size);
  struct text text;
  text_init(&text, L, REPLACE);
  luaL_addchar(&text.buffer, '"');
  while (at < size) {
    size_t run = plain_run(p + at, size - at);
    luaL_addlstring(&text.buffer, (const char *)p + at, run);
    at += run;
    if (at < size && p[at] < 0x80)
      add_escaped(&text.buffer, p[at++]);
    else if (at < size)
      at += add_character(&text, p + at, size - at);
  }
  luaL_addchar(&text.buffer, '"');
  luaL_pushresult(&text.buffer);
  return 1;
}

static const luaL_Reg functions[] = {
    {"decode_utf8", l_text_utf8},        {"decode_utf16", l_text_utf16},
    {"decode_table", l_text_table},      {"decode_iconv", l_text_iconv},
    {"charset_table", l_charset_table},  {"charset_open", l_charset_open},
    {"json_string", l_text_json_string}, {NULL, NULL},
};

void weft_open_text(lua_State *L) {
  weft_set_functions(L, functions, "weft.Charset");
}
