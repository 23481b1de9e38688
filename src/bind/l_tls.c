/* SPDX-License-Identifier: MIT */
/*
 * bind/l_tls.c: TLS for Lua: contexts, putting the filter on a stream, and what
 * there is to know about one. What the options mean, and files, are
 * lua/weft/tls.lua's.
 *
 * What fails for a reason outside the program returns nil, a code and a text.
 */
#include "bind/l_tls.h"

#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "bind/l_stream.h"
#include "net/tls.h"

struct l_context {
  struct weft_tlsctx *ctx; /* NULL: closed */
};

struct l_shared {
  struct weft_tls_shared *shared;
};

/* --- contexts --------------------------------------------------------------
 */

int l_tls_shared__gc(lua_State *L) {
  struct l_shared *box = lua_touserdata(L, 1);
  if (box->shared != NULL)
    weft_tls_shared_release(box->shared);
  box->shared = NULL;
  return 0;
}

int l_tls_context__gc(lua_State *L) {
  struct l_context *box = lua_touserdata(L, 1);
  if (box->ctx != NULL)
    weft_tlsctx_release(box->ctx);
  box->ctx = NULL;
  return 0;
}

/* What the contexts of this lua_State share: made with the first. */
static struct weft_tls_shared *get_shared(lua_State *L) {
  struct l_shared *box;
  lua_getfield(L, LUA_REGISTRYINDEX, "weft.tls_shared");
  if (lua_isnil(L, -1)) {
    box = lua_newuserdata(L, sizeof(*box)); /* nil box */
    box->shared = NULL;
    luaL_getmetatable(L, "weft.TLSShared");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "weft.tls_shared");
    lua_remove(L, -2);
  }
  box = lua_touserdata(L, -1);
  lua_pop(L, 1); /* the registry keeps it */
  if (box->shared == NULL)
    box->shared = weft_tls_shared_new(&weft_vm_of(L)->mem);
  if (box->shared == NULL)
    luaL_error(L, "not enough memory");
  return box->shared;
}

/* The table keeps the strings that these return. [-0, +0, e] */
static struct weft_tls_bytes get_bytes(lua_State *L, const char *name) {
  struct weft_tls_bytes bytes = {NULL, 0};
  lua_getfield(L, 1, name);
  if (!lua_isnil(L, -1))
    bytes.data = luaL_checklstring(L, -1, &bytes.size);
  if (bytes.size > INT_MAX / 2)
    weft_raise_kind(L, "limit", "%s is too large", name);
  lua_pop(L, 1);
  return bytes;
}

static const char *get_text(lua_State *L, const char *name) {
  struct weft_tls_bytes bytes = get_bytes(L, name);
  if (bytes.data != NULL && memchr(bytes.data, '\0', bytes.size) != NULL)
    weft_raise_kind(L, "type", "%s: there is a zero byte in it", name);
  return bytes.data;
}

static lua_Number get_number(lua_State *L, const char *name) {
  lua_Number number;
  lua_getfield(L, 1, name);
  number = lua_isnil(L, -1) ? 0 : weft_check_number(L, -1, name);
  lua_pop(L, 1);
  return number;
}

static uint8_t get_flag(lua_State *L, const char *name) {
  int flag;
  lua_getfield(L, 1, name);
  flag = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return (uint8_t)flag;
}

static void get_options(lua_State *L, struct weft_tlsctx_options *o) {
  memset(o, 0, sizeof(*o));
  o->verify = (enum weft_tls_verify)get_number(L, "verify");
  o->ca = get_bytes(L, "ca_data");
  o->ca_path = get_text(L, "ca_path");
  o->cert = get_bytes(L, "cert");
  o->key = get_bytes(L, "key");
  o->key_password = get_text(L, "key_password");
  o->client_ca = get_bytes(L, "client_ca_data");
  o->client_ca_path = get_text(L, "client_ca_path");
  o->alpn = get_bytes(L, "alpn");
  o->pins = get_bytes(L, "pins");
  o->ocsp_response = get_bytes(L, "ocsp_response");
  o->ciphers = get_text(L, "ciphers");
  o->ciphersuites = get_text(L, "ciphersuites");
  o->keylog_file = get_text(L, "keylog_file");
  o->server_hostname = get_text(L, "server_hostname");
  o->verify_time = (int64_t)get_number(L, "verify_time");
  o->min_version = (int)get_number(L, "min_version");
  o->max_version = (int)get_number(L, "max_version");
  o->requires_ocsp = get_flag(L, "requires_ocsp");
  o->no_resumption = get_flag(L, "no_resumption");
  o->allows_unclean_close = get_flag(L, "allow_unclean_close");
  o->asks_for_context = get_flag(L, "asks_for_context");
}

static int push_error(lua_State *L, const struct weft_tls_error *error) {
  lua_pushnil(L);
  lua_pushstring(L, error->code);
  lua_pushstring(L, error->text);
  return 3;
}

/* tls_context(options) -> context, which carries that table; or nil, code, text
 */
static int l_tls_context_new(lua_State *L) {
  struct weft_tlsctx_options options;
  struct weft_tls_error error;
  struct weft_tls_shared *shared = get_shared(L);
  struct l_context *box;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  get_options(L, &options);
  box = weft_lua_newuserdata(L, sizeof(*box));
  box->ctx = NULL;
  lua_pushvalue(L, WEFT_UPVALUE_CLASS);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, 1);
  weft_lua_settable_of(L, -2);
  weft_tls_error_clear(&error);
  box->ctx = weft_tlsctx_new(shared, &options, &error);
  return box->ctx != NULL ? 1 : push_error(L, &error);
}

static struct l_context *check_box(lua_State *L, int idx) {
  return weft_check_udata(L, idx, "weft.TLSContext");
}

struct weft_tlsctx *weft_check_tls_context(lua_State *L, int idx) {
  struct l_context *box = check_box(L, idx);
  if (box->ctx == NULL)
    weft_raise_kind(L, "closed", "the TLS context is closed");
  return box->ctx;
}

/* tls_context_close(context) */
static int l_tls_context_close(lua_State *L) {
  check_box(L, 1);
  return l_tls_context__gc(L);
}

/* tls_context_table(context) -> the table that it carries */
static int l_tls_context_table(lua_State *L) {
  check_box(L, 1);
  weft_lua_gettable_of(L, 1);
  return 1;
}

/* tls_context_sessions(context) -> how many can be resumed; nil: closed */
static int l_tls_context_sessions(lua_State *L) {
  struct l_context *box = check_box(L, 1);
  if (box->ctx == NULL)
    return 0;
  lua_pushinteger(L, (lua_Integer)weft_tlsctx_sessions(box->ctx));
  return 1;
}

/* --- streams
 * ----------------------------------------------------------------*/

/* stream_start_tls(stream, context, is_server [, host [, port [, alpn]]]) ->
 * true, or nil, code, text: puts TLS on top; stream_connect then makes the
 * handshake. `alpn`: what a client offers, as on the wire, in place of the
 * context's. */
static int l_tls_start(lua_State *L) {
  struct weft_tlsctx *ctx = weft_check_tls_context(L, 2);
  struct l_stream *s = weft_check_stream_op(L, 1, WEFT_OP_CONNECT);
  struct weft_tls_options options = {0};
  struct weft_tls_error error;
  struct weft_filter *tls;
  weft_check_stream_op(L, 1, WEFT_OP_READ);
  weft_check_stream_op(L, 1, WEFT_OP_WRITE);
  options.is_server = (uint8_t)lua_toboolean(L, 3);
  options.host = luaL_optstring(L, 4, NULL);
  options.port = (unsigned)luaL_optinteger(L, 5, 0);
  options.alpn.data = luaL_optlstring(L, 6, NULL, &options.alpn.size);
  if (weft_buffer_size(&s->stream.in) != 0)
    return weft_raise_kind(L, "state",
                           "bytes were received before TLS began, and are "
                           "unread");
  if (s->stream.in_error != 0 || s->stream.out_error != 0)
    return weft_raise_kind(L, "state", "the stream has ended in one direction");
  weft_tls_error_clear(&error);
  tls = weft_tls_new(&weft_vm_of(L)->mem, ctx, &options, &error);
  if (tls == NULL)
    return push_error(L, &error);
  weft_stream_push(&s->stream, tls);
  lua_pushboolean(L, 1);
  return 1;
}

static struct weft_filter *check_tls(lua_State *L) {
  struct l_stream *s = weft_check_stream(L, 1);
  if (s->stream.top == NULL)
    weft_raise(L, WEFT_ESTREAMCLOSED);
  return weft_tls_find(s->stream.top);
}

/* tls_explain(stream) -> text, code of what went wrong; or nothing */
static int l_tls_explain(lua_State *L) {
  struct l_stream *s = weft_check_stream(L, 1);
  const struct weft_tls_error *error =
      s->stream.top != NULL ? weft_tls_error_of(s->stream.top) : NULL;
  if (error == NULL)
    return 0;
  lua_pushstring(L, error->text);
  lua_pushstring(L, error->code);
  return 2;
}

/* tls_asked_name(stream) -> for which name its server's context is to be chosen
 */
static int l_tls_asked_name(lua_State *L) {
  struct weft_filter *tls = check_tls(L);
  lua_pushstring(L, tls != NULL ? weft_tls_asked_name(tls) : "");
  return 1;
}

/* tls_choose(stream [, context]) -> true, or nil, code */
static int l_tls_choose(lua_State *L) {
  struct weft_filter *tls = check_tls(L);
  struct weft_tlsctx *ctx =
      lua_isnoneornil(L, 2) ? NULL : weft_check_tls_context(L, 2);
  int rc = tls != NULL ? weft_tls_choose(tls, ctx) : 0;
  if (rc == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushinteger(L, rc);
  return 2;
}

/* --- information ------------------------------------------------------------
 */

/* [-0, +0, m] */
static void set_text(lua_State *L, const char *name, const char *text) {
  if (text == NULL)
    return;
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, int flag) {
  lua_pushboolean(L, flag);
  lua_setfield(L, -2, name);
}

static void set_field(lua_State *L, struct weft_filter *tls, const char *name,
                      enum weft_tls_field field) {
  size_t size = weft_tls_peer_field(tls, field, NULL, 0);
  char *text;
  if (size == 0)
    return;
  text = lua_newuserdata(L, size);
  if (weft_tls_peer_field(tls, field, text, size) == size) {
    lua_pushlstring(L, text, size);
    lua_setfield(L, -3, name);
  }
  lua_pop(L, 1);
}

static const char *const fields[WEFT_TLS_FIELDS] = {
    [WEFT_TLS_SUBJECT] = "subject",
    [WEFT_TLS_ISSUER] = "issuer",
    [WEFT_TLS_SERIAL] = "serial",
    [WEFT_TLS_NAMES] = "names",
    [WEFT_TLS_NOT_BEFORE] = "not_before",
    [WEFT_TLS_NOT_AFTER] = "not_after",
    [WEFT_TLS_FINGERPRINT] = "fingerprint",
    [WEFT_TLS_PEM] = "pem",
    [WEFT_TLS_CHAIN] = "chain",
};

/* Whether the peer's certificate has the fingerprint at an index. */
static int is_known(lua_State *L, struct weft_filter *tls, int idx) {
  char own[128];
  size_t size, n;
  const char *known = lua_tolstring(L, idx, &size);
  if (known == NULL)
    return 0;
  n = weft_tls_peer_field(tls, WEFT_TLS_FINGERPRINT, own, sizeof(own));
  return n == size && n <= sizeof(own) && memcmp(own, known, n) == 0;
}

/* tls_info(stream, fingerprint) -> table, nil without TLS; its `peer`: table of
 * strings, or true if its certificate has that fingerprint */
static int l_tls_info(lua_State *L) {
  struct weft_filter *tls = check_tls(L);
  struct weft_tls_info info;
  int i;
  if (tls == NULL)
    return 0;
  weft_tls_get_info(tls, &info);
  lua_newtable(L);
  set_text(L, "version", info.version);
  set_text(L, "cipher", info.cipher);
  set_text(L, "server_name", info.server_name);
  set_text(L, "ocsp", info.ocsp);
  if (info.alpn.data != NULL) {
    lua_pushlstring(L, info.alpn.data, info.alpn.size);
    lua_setfield(L, -2, "alpn");
  }
  set_flag(L, "resumed", info.is_resumed);
  set_flag(L, "verified", info.is_verified);
  if (!info.has_peer)
    return 1;
  if (is_known(L, tls, 2)) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "peer");
    return 1;
  }
  lua_newtable(L);
  for (i = 0; i < WEFT_TLS_FIELDS; i++)
    set_field(L, tls, fields[i], (enum weft_tls_field)i);
  lua_setfield(L, -2, "peer");
  return 1;
}

/* tls_alpn(stream) -> the protocol that was agreed on; nil for none */
static int l_tls_alpn(lua_State *L) {
  struct weft_filter *tls = check_tls(L);
  struct weft_tls_info info;
  if (tls == NULL)
    return 0;
  weft_tls_get_info(tls, &info);
  if (info.alpn.data == NULL)
    return 0;
  lua_pushlstring(L, info.alpn.data, info.alpn.size);
  return 1;
}

/* tls_library() -> "OpenSSL 3.0.22 …" */
static int l_tls_library(lua_State *L) {
  lua_pushstring(L, weft_tls_library());
  return 1;
}

static const luaL_Reg functions[] = {
    {"tls_context", l_tls_context_new},
    {"tls_context_close", l_tls_context_close},
    {"tls_context_table", l_tls_context_table},
    {"tls_context_sessions", l_tls_context_sessions},
    {"stream_start_tls", l_tls_start},
    {"tls_explain", l_tls_explain},
    {"tls_asked_name", l_tls_asked_name},
    {"tls_choose", l_tls_choose},
    {"tls_info", l_tls_info},
    {"tls_alpn", l_tls_alpn},
    {"tls_library", l_tls_library},
    {NULL, NULL},
};

void weft_open_tls(lua_State *L) {
  weft_set_functions(L, functions, "weft.TLSContext");
}
