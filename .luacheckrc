-- luacheck's configuration: `make check-lua`. No warning is tolerated; where
-- one is wrong, the line says so with `-- luacheck: ignore`.

-- What both LuaJIT and Lua 5.4 have, and beside it what code may ask for by
-- name as long as it does without (`local unpack = table.unpack or unpack`).
std = "min"
read_globals = {
  "jit", "loadstring", "setfenv", "getfenv", "unpack", "utf8", "warn",
  coroutine = { fields = { "close", "isyieldable" } },
  debug = { fields = { "upvalueid", "upvaluejoin" } },
  math = { fields = { "tointeger", "type", "maxinteger", "mininteger" } },
  string = { fields = { "pack", "unpack", "packsize" } },
  package = { fields = { "searchpath" } },
  table = { fields = { "move", "pack", "unpack" } },
}

max_line_length = 100
max_code_line_length = 100
exclude_files = {
  "build", "lua_modules", ".luarocks",
  "lua/weft/_meta", -- generated
}

-- The three functions that weft replaces; nothing else patches a library.
files["lua/weft/coroutines.lua"].globals = {
  coroutine = { fields = { "resume", "wrap", "status" } },
}

-- Specs are run by busted, and patch what they have to look behind.
files["spec"] = {
  std = "min+busted",
}
