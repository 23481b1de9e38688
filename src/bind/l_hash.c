/* SPDX-License-Identifier: MIT */
/*
 * bind/l_hash.c: digests, base64 and random bytes for Lua.
 *
 * Owns nothing. Must not know what they are good for: authentication,
 * boundaries, files of recordings.
 */
#include "bind/lutil.h"

#include "base/base64.h"
#include "net/tls_hash.h"

/* What is made on the C stack; above that, in a userdata. */
#define SMALL 1024

/* More than any key, nonce or boundary: not a source of test data. */
#define RANDOM_MAX 65536

/* hash(name, data) -> bytes. Raises `type` for an unknown name, `state` where
 * OpenSSL refuses the digest. */
static int l_hash(lua_State *L) {
  size_t size, out_size;
  const char *name = luaL_checkstring(L, 1);
  const char *data = luaL_checklstring(L, 2, &size);
  unsigned char out[WEFT_HASH_MAX];
  int rc = weft_hash(name, data, size, out, &out_size);
  if (rc == UV_EINVAL)
    return weft_raise_kind(L, "type", "unknown digest '%s'", name);
  if (rc == UV_ENOTSUP)
    return weft_raise_kind(L, "state",
                           "OpenSSL does not offer the digest '%s' here", name);
  if (rc != 0)
    return weft_raise(L, rc);
  lua_pushlstring(L, (char *)out, out_size);
  return 1;
}

/* Room for `size` bytes, in `small` if it suffices. [-0, +0..1, e] */
static char *room(lua_State *L, char small[SMALL], size_t size) {
  return size <= SMALL ? small : lua_newuserdata(L, size);
}

/* base64_encode(bytes) -> text */
static int l_base64_encode(lua_State *L) {
  size_t size;
  const char *data = luaL_checklstring(L, 1, &size);
  size_t length = weft_base64_length(size);
  char small[SMALL], *text = room(L, small, length);
  weft_base64_encode(text, data, size);
  lua_pushlstring(L, text, length);
  return 1;
}

/* base64_decode(text) -> bytes; nil if the text is no base64 */
static int l_base64_decode(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  char small[SMALL], *data = room(L, small, length / 4 * 3);
  long size = weft_base64_decode(data, text, length);
  if (size < 0)
    return 0;
  lua_pushlstring(L, data, (size_t)size);
  return 1;
}

/* random_bytes(count) -> bytes from the system's generator, which nobody can
 * guess. Raises `type` for a count that is not from 0 to RANDOM_MAX, `os`. */
static int l_random_bytes(lua_State *L) {
  lua_Number count = weft_check_number(L, 1, "the number of bytes");
  char small[SMALL], *bytes;
  int rc;
  if (!(count >= 0 && count <= RANDOM_MAX))
    return weft_raise_kind(
        L, "type", "the number of bytes must be from 0 to %d", RANDOM_MAX);
  bytes = room(L, small, (size_t)count);
  rc = uv_random(NULL, NULL, bytes, (size_t)count, 0, NULL);
  if (rc != 0)
    return weft_raise(L, rc);
  lua_pushlstring(L, bytes, (size_t)count);
  return 1;
}

static const luaL_Reg functions[] = {
    {"hash", l_hash},
    {"base64_encode", l_base64_encode},
    {"base64_decode", l_base64_decode},
    {"random_bytes", l_random_bytes},
    {NULL, NULL},
};

void weft_open_hash(lua_State *L) {
  weft_set_functions(L, functions, NULL);
}
