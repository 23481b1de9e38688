-- tools/layers.lua: proves that weft's includes and requires point down.
--
-- `luajit tools/layers.lua [ROOT]` lists each dependency that breaks a rule of
-- the tables below as file:line: what, and exits with 1 if there is one. The
-- tables are the rules: to change the architecture is to change them here.
-- Loaded by another program it returns `layers`, for the spec.

local layers = {}

-- ---------------------------------------------------------------- the rules

-- src/LAYER/: the layers and the libraries that its files may include, beside
-- their own layer and libc.
layers.c = {
  base = { layers = {}, libraries = {} },
  proto = { layers = { "base" }, libraries = { "llhttp", "nghttp2", "codings" } },
  net = { layers = { "base" }, libraries = { "uv", "sockets", "cares" } },
  loop = { layers = { "base" }, libraries = { "uv", "lua" } },
  bind = {
    layers = { "base", "proto", "net", "loop" },
    libraries = { "uv", "lua", "sockets", "psl", "idn2" },
  },
  -- A module of its own; of the loop it has compat.h alone.
  html = { layers = { "loop" }, libraries = { "lua", "xml" } },
}

-- Files (patterns of the path below src/) that may include a library which
-- their layer may not.
layers.c_exceptions = {
  { "^net/tls", "openssl" }, -- tls*.c and tlsctx.c: nobody else sees OpenSSL
}

-- Which library a header in angle brackets is from: the first pattern that
-- fits. One that fits none is an error: a new dependency is a decision.
layers.headers = {
  { "^uv%.h$", "uv" },
  { "^lua%a*%.h$", "lua" },
  { "^lauxlib%.h$", "lua" },
  { "^openssl/", "openssl" },
  { "^llhttp", "llhttp" },
  { "^nghttp2/", "nghttp2" },
  { "^zlib%.h$", "codings" },
  { "^brotli/", "codings" },
  { "^zstd", "codings" },
  { "^libxml/", "xml" },
  { "^libpsl%.h$", "psl" },
  { "^idn2%.h$", "idn2" },
  { "^ares", "cares" },
  { "^sys/socket%.h$", "sockets" },
  { "^sys/un%.h$", "sockets" },
  { "^netinet/", "sockets" },
  { "^arpa/", "sockets" },
  { "^net/", "sockets" },
  { "^netdb%.h$", "sockets" },
  { "^poll%.h$", "sockets" },
  { "^sys/", "libc" },
}

for name in ([[
  assert complex ctype dirent dlfcn errno execinfo fcntl fenv float iconv inttypes
  limits locale malloc math pthread pwd sched semaphore setjmp signal spawn
  stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn
  string strings termios threads time uchar unistd wchar wctype
]]):gmatch("%w+") do
  table.insert(layers.headers, { "^" .. name .. "%.h$", "libc" })
end

-- lua/weft/: the modules from the lowest rank to the highest. A module may
-- require those of lower ranks. `name.*` is a package: name and all below it,
-- whose modules may require each other. The most specific entry counts.
layers.lua = {
  { "weft.core", "weft.html_core" }, -- the C modules
  { "weft.peek" },
  { "weft.error" },
  { "weft.options" },
  { "weft.url.*" },
  { "weft.await" },
  { "weft.coroutines" },
  { "weft.task" },
  { "weft.scope" },
  { "weft.combine", "weft.sync", "weft.queue" },
  { "weft.map", "weft.group" },
  { "weft.resolver", "weft.dial" },
  { "weft.datagram" },
  { "weft.stream" },
  { "weft.tls" },
  { "weft.net" },
  { "weft.server" },
  { "weft.inspect", "weft.reports" },
  { "weft.loop" },
  { "weft.file" },
  { "weft.watch" },
  { "weft.fs", "weft.thread", "weft.tty", "weft.process" },
  { "weft.runner" },
  { "weft" },
  { "weft.testing" },
  { "weft.http.*" },
  { "weft.html.*" },
  { "weft.crawl.*" },
  { "weft.host.*" },
}

-- What a module may require beside that.
layers.lua_exceptions = {
  -- weft.http by its short name: required when it is first used, never while weft is loaded.
  weft = { "weft.http" },
}

-- Where every file must begin with a comment of two lines or more that says what
-- it is; its SPDX line does not count.
layers.headed = { "src", "lua", "spec", "examples", "bench", "tools" }

-- Generated from other files, or not weft's: exempt from all of it.
layers.exempt = { "^lua/weft/_meta/" }

-- ------------------------------------------------------------------ reading

local function contains(list, value)
  for _, v in ipairs(list) do
    if v == value then return true end
  end
  return false
end

-- The number of the line on which the byte `at` of `text` stands.
local function line_of(text, at)
  local _, breaks = text:sub(1, at - 1):gsub("\n", "")
  return breaks + 1
end

-- The includes of a C file: { line =, name =, quoted = }.
local function includes(text)
  local found, line = {}, 0
  for code in (text .. "\n"):gmatch("(.-)\n") do
    line = line + 1
    local open, name = code:match('^%s*#%s*include%s*(["<])([^">]+)')
    if open then
      found[#found + 1] = { line = line, name = name, quoted = open == '"' }
    end
  end
  return found
end

-- Where a long bracket that opens at `at` ends: the position of its last byte
-- and its contents; nil when there is none at `at`.
local function long_bracket(text, at)
  local level, start = text:match("^%[(=*)%[()", at)
  if not level then return nil end
  local from, to = text:find("]" .. level .. "]", start, true)
  return to or #text, text:sub(start, (from or #text + 1) - 1)
end

-- Where the short string that opens at `at` ends, and its contents.
local function short_string(text, at)
  local quote, i = text:sub(at, at), at + 1
  while i <= #text and text:sub(i, i) ~= quote do
    i = i + (text:sub(i, i) == "\\" and 2 or 1)
  end
  return i, text:sub(at + 1, i - 1)
end

-- The tokens of a Lua source, without its comments: { kind =, value =, at = },
-- the kind being "name", "string", or "other" for a single byte.
local function tokens(text)
  local found, at = {}, text:find("%S")
  while at do
    local kind, value, last = "other", text:sub(at, at), at
    if text:find("^%-%-", at) then
      kind, last = nil, long_bracket(text, at + 2) or text:find("\n", at, true) or #text
    elseif value == '"' or value == "'" then
      kind, last, value = "string", short_string(text, at)
    elseif text:find("^%[=*%[", at) then
      kind, last, value = "string", long_bracket(text, at)
    elseif value:find("[%a_]") then
      kind, value = "name", text:match("^[%w_]+", at)
      last = at + #value - 1
    end
    if kind then found[#found + 1] = { kind = kind, value = value, at = at } end
    at = text:find("%S", last + 1)
  end
  return found
end

-- Whether a token is the byte `char` (a string may have the same value).
local function is_byte(token, char)
  return token ~= nil and token.kind == "other" and token.value == char
end

-- The modules that a Lua file requires, by `require "m"`, `require("m")` or
-- `pcall(require, "m")`: { line =, name = }; no name where it is computed.
local function requires(text)
  local found, list = {}, tokens(text)
  for i, token in ipairs(list) do
    local is_field = is_byte(list[i - 1], ".") or is_byte(list[i - 1], ":")
    if token.kind == "name" and token.value == "require" and not is_field then
      local is_call = is_byte(list[i + 1], "(") or is_byte(list[i + 1], ",")
      local argument = list[is_call and i + 2 or i + 1]
      local is_literal = argument and argument.kind == "string"
        and not (is_call and is_byte(list[i + 3], "."))
      if is_literal or is_call then
        local name = is_literal and argument.value or nil
        found[#found + 1] = { line = line_of(text, token.at), name = name }
      end
    end
  end
  return found
end

local COMMENTS = {
  c = { "^/%*.-%*/", "^//[^\n]*" },
  lua = { "^%-%-%[(=*)%[.-%]%1%]", "^%-%-[^\n]*" },
}

-- How many lines of comment a file begins with.
local function head_lines(path, text)
  local patterns = COMMENTS[path:find("%.lua$") and "lua" or "c"]
  local head, rest = {}, text:gsub("^#![^\n]*", "")
  repeat
    rest = rest:gsub("^%s+", "")
    local last = select(2, rest:find(patterns[1])) or select(2, rest:find(patterns[2]))
    head[#head + 1] = rest:sub(1, last or 0)
    rest = rest:sub((last or 0) + 1)
  until not last
  local count = 0
  for line in table.concat(head, "\n"):gmatch("[^\n]+") do
    local says_something = line:find("%w") and not line:find("SPDX-License-Identifier", 1, true)
    if says_something then count = count + 1 end
  end
  return count
end

-- ------------------------------------------------------------------ judging

local function library_of(header)
  for _, entry in ipairs(layers.headers) do
    if header:find(entry[1]) then return entry[2] end
  end
end

local function may_include_library(layer, path, library)
  if library == "libc" or contains(layers.c[layer].libraries, library) then return true end
  for _, entry in ipairs(layers.c_exceptions) do
    if path:find(entry[1]) and library == entry[2] then return true end
  end
  return false
end

-- Why `path` (below src/) may not have this include; nil if it may.
local function judge_include(layer, path, include)
  if include.quoted then
    local target = include.name:match("^([^/]+)/")
    if not target or not layers.c[target] then
      return ('"%s" names no layer: include "layer/file.h"'):format(include.name)
    elseif target ~= layer and not contains(layers.c[layer].layers, target) then
      return ('"%s": %s may not include %s'):format(include.name, layer, target)
    end
    return nil
  end
  local library = library_of(include.name)
  if not library then
    return ("<%s> is of no known library: say which in tools/layers.lua"):format(include.name)
  elseif not may_include_library(layer, path, library) then
    return ("<%s>: %s may not include %s"):format(include.name, path, library)
  end
end

-- The rank of a module and the package by which it is listed, if any.
local function rank_of(module)
  local best, best_length, package = nil, -1, nil
  for rank, names in ipairs(layers.lua) do
    for _, name in ipairs(names) do
      local prefix = name:match("^(.*)%.%*$")
      local fits = name == module
        or prefix and (module == prefix or module:sub(1, #prefix + 1) == prefix .. ".")
      local length = name == module and math.huge or #name
      if fits and length > best_length then best, best_length, package = rank, length, prefix end
    end
  end
  return best, package
end

-- Why `module` may not require this; nil if it may.
local function judge_require(module, required)
  if not required.name then
    return "requires a computed name, which cannot be checked"
  elseif not (required.name .. "."):find("^weft%.") then
    return nil -- not weft's
  elseif contains(layers.lua_exceptions[module] or {}, required.name) then
    return nil
  end
  local rank, package = rank_of(module)
  local other_rank, other_package = rank_of(required.name)
  if not other_rank then
    return ("%s is not listed: say where it belongs in tools/layers.lua"):format(required.name)
  elseif package and package == other_package then
    return nil
  elseif other_rank >= rank then
    return ("%s may not require %s, which is not below it"):format(module, required.name)
  end
end

-- The module that a path stands for: lua/weft/init.lua is weft.
local function module_of(path)
  local name = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
  return name
end

local function check_c(path, text, report)
  local below = path:gsub("^src/", "")
  local layer = below:match("^([^/]+)/")
  if not layer or not layers.c[layer] then
    return report(1, "is in no layer: say where it belongs in tools/layers.lua")
  end
  for _, include in ipairs(includes(text)) do
    local why = judge_include(layer, below, include)
    if why then report(include.line, why) end
  end
end

local function check_lua(path, text, report)
  local module = module_of(path)
  if not rank_of(module) then
    return report(1, module .. " is not listed: say where it belongs in tools/layers.lua")
  end
  for _, required in ipairs(requires(text)) do
    local why = judge_require(module, required)
    if why then report(required.line, why) end
  end
end

-- Checks files given as a table { [path] = text }. Returns a sorted list of
-- { path =, line =, why = }; empty when all is well.
function layers.check(files)
  local found = {}
  for path, text in pairs(files) do
    local function report(line, why)
      found[#found + 1] = { path = path, line = line, why = why }
    end
    if path:find("^src/.*%.[ch]$") then check_c(path, text, report) end
    if path:find("^lua/.*%.lua$") then check_lua(path, text, report) end
    if contains(layers.headed, path:match("^[^/]+")) and head_lines(path, text) < 2 then
      report(1, "begins without a comment of two lines or more on what it is")
    end
  end
  table.sort(found, function(a, b)
    if a.path ~= b.path then return a.path < b.path end
    return a.line < b.line
  end)
  return found
end

-- Reads the .c, .h and .lua files of a checkout as `check` takes them.
function layers.read(root)
  local files = {}
  local quoted = "'" .. root:gsub("'", "'\\''") .. "'"
  local list = assert(io.popen(("cd %s && find %s -name '*.c' -o -name '*.h' -o -name '*.lua' "
    .. "2>/dev/null"):format(quoted, table.concat(layers.headed, " "))))
  for path in list:lines() do
    local exempt = false
    for _, pattern in ipairs(layers.exempt) do exempt = exempt or path:find(pattern) end
    if not exempt then
      local file = assert(io.open(root .. "/" .. path, "rb"))
      files[path] = file:read("*a")
      file:close()
    end
  end
  list:close()
  return files
end

local function main(root)
  local files = layers.read(root or ".")
  if next(files) == nil then
    io.stderr:write("layers: found no sources\n")
    return 2
  end
  local found = layers.check(files)
  for _, one in ipairs(found) do
    io.stderr:write(("%s:%d: %s\n"):format(one.path, one.line, one.why))
  end
  return #found == 0 and 0 or 1
end

if arg and arg[0] and arg[0]:find("layers%.lua$") then os.exit(main((...))) end

return layers
