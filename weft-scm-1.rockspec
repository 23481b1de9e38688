-- The rock of a checkout: `luarocks make`. The Makefile does the work; it takes
-- LuaJIT's headers for Lua 5.1, where LuaRocks would point at PUC Lua's.
-- From the system: libuv and zlib (libuv1-dev, zlib1g-dev on Debian), llhttp
-- (libllhttp, else the sources of node-llhttp) and, where pkg-config finds them,
-- c-ares (libc-ares-dev; without it, names are looked up a few at a time), libidn2
-- (without it, URLs have hosts in ASCII only), libpsl (public suffixes), brotli and
-- zstd (content codings), libxml2 (weft.html, a module of its own).
rockspec_format = "3.0"
package = "weft"
version = "scm-1"
source = {
  url = "git+file://.", -- only for `luarocks make`, which does not fetch it
}
description = {
  summary = "asyncio and an HTTP client for Lua, on libuv",
  license = "MIT",
}
dependencies = {
  "lua >= 5.1, < 5.5", -- as 5.1, LuaJIT 2.1; else 5.4
}
external_dependencies = {
  OPENSSL = { header = "openssl/ssl.h" }, -- 3.0 or later: the Makefile asks pkg-config
}
build = {
  type = "make",
  build_target = "module",
  install_target = "install",
  variables = {
    LUA = "$(LUA)",
    FLAVOUR = "rock",
    CFLAGS = "$(CFLAGS)",
  },
  install_variables = {
    INST_LUADIR = "$(LUADIR)",
    INST_LIBDIR = "$(LIBDIR)",
  },
}
