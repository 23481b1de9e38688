-- SPDX-License-Identifier: MIT
-- weft.http.netrc: logins and passwords by host, from a file such as ~/.netrc.
--
-- Owns: the format, and whether a file may be used.
-- Must not know: when a session looks into it.
-- Invariant: no error and no report has a password in it.

local auth = require "weft.http.auth"
local errors = require "weft.error"
local options = require "weft.options"
local weft = require "weft"

local M = {}

-- A file at most, in bytes: thousands of entries.
local FILE_MAX = 1024 * 1024

-- Permission bits of group and others: 0077.
local OTHERS = 63

--- reading ---------------------------------------------------------------------------------

local function refuse(state, why)
  errors.raise("decode", ("%s:%d: %s"):format(state.path, state.line, why),
    { code = "invalid_netrc", path = state.path, line = state.line })
end

-- The text up to the quote that ends a token in quotes.
local function quoted_token(state)
  local parts, at = {}, state.at + 1
  while true do
    local plain, stop = state.text:match('^([^"\\\n]*)()', at)
    parts[#parts + 1] = plain
    local c = state.text:sub(stop, stop)
    if c == '"' then
      state.at = stop + 1
      return table.concat(parts)
    elseif c ~= "\\" or stop >= #state.text then
      refuse(state, "a quoted word does not end")
    end
    parts[#parts + 1], at = state.text:sub(stop + 1, stop + 1), stop + 2
  end
end

-- One that is not in quotes: up to white space; a backslash takes the next character as it is.
local function plain_token(state)
  local parts, at = {}, state.at
  while true do
    local plain, stop = state.text:match("^([^ \t\r\n\\]*)()", at)
    parts[#parts + 1] = plain
    if state.text:sub(stop, stop) ~= "\\" then
      state.at = stop
      return table.concat(parts)
    end
    parts[#parts + 1], at = state.text:sub(stop + 1, stop + 1), stop + 2
  end
end

-- The next word, quotes and backslashes taken off; nil at the end.
local function next_token(state)
  local space, at = state.text:match("^([ \t\r\n]*)()", state.at)
  local _, lines = space:gsub("\n", "")
  state.line, state.at = state.line + lines, at
  if at > #state.text then
    return nil
  end
  return (state.text:sub(at, at) == '"' and quoted_token or plain_token)(state)
end

local function skip_line(state)
  state.at = state.text:find("\n", state.at, true) or #state.text + 1
end

-- A keyword, comments left out; nil at the end.
local function next_keyword(state)
  while true do
    local token = next_token(state)
    if not token or token:sub(1, 1) ~= "#" then
      return token
    end
    skip_line(state)
  end
end

local function next_value(state, keyword)
  return next_token(state) or refuse(state, ("nothing behind '%s'"):format(keyword))
end

-- A macro ends with an empty line or with the text.
local function skip_macro(state)
  next_value(state, "macdef")
  skip_line(state)
  local _, stop = state.text:find("\n[ \t\r]*\n", state.at)
  stop = stop or #state.text
  local _, lines = state.text:sub(state.at, stop):gsub("\n", "")
  state.at, state.line = stop + 1, state.line + lines
end

local FIELDS = { login = "login", user = "login", account = "account", password = "password" }

-- The entries in their order: `host` (nil for the default), `login`, `account`, `password`.
local function read_entries(state)
  local entries, entry = {}, nil
  for keyword in next_keyword, state do
    local field = FIELDS[keyword]
    if keyword == "machine" or keyword == "default" then
      entry = { host = keyword == "machine" and next_value(state, keyword):lower() or nil }
      entries[#entries + 1] = entry
    elseif keyword == "macdef" then
      skip_macro(state)
    elseif field and entry then
      entry[field] = next_value(state, keyword)
    elseif field then
      refuse(state, ("'%s' before any 'machine'"):format(keyword))
    else
      refuse(state, "neither a keyword nor a value")
    end
  end
  return entries
end

--- the object ------------------------------------------------------------------------------

---What a file says.
---@private
---@class weft.http.Netrc
local Netrc = {}
Netrc.__index = Netrc
Netrc.__name = "weft.http.Netrc"

---Who to be for a host: by the first entry that is for it, or that is the default.
---
---Raises `type`, code "invalid_auth", for a login that cannot be sent.
---@private
---@param host string the name, or an address, in brackets or not
---@return weft.http.BasicAuth?
function Netrc:find(host)
  host = options.expect(host, "string", "the host"):lower():gsub("^%[(.*)%]$", "%1")
  for _, entry in ipairs(self._entries) do
    if entry.host == nil or entry.host == host then
      return auth.basic_auth(entry.login or entry.account or "", entry.password or "")
    end
  end
end

function Netrc:__tostring()
  return ("Netrc<%d entries>"):format(#self._entries)
end

-- Whether somebody else who can read it would learn something.
local function has_secret(netrc)
  for _, entry in ipairs(netrc._entries) do
    if entry.password and entry.login ~= "anonymous" then
      return true
    end
  end
  return false
end

---Reads the text of a file.
---
---Raises `decode`, code "invalid_netrc", naming the line.
---@private
---@param text string
---@param path string for errors
---@return weft.http.Netrc
function M.parse(text, path)
  local state = { text = text, path = path, at = 1, line = 1 }
  return setmetatable({ _entries = read_entries(state) }, Netrc)
end

--- the file --------------------------------------------------------------------------------

-- The file's path, and whether that is the usual one; nil for none.
local function find_path()
  local path = os.getenv("NETRC")
  if path and path ~= "" then
    return path, false
  end
  local home = os.getenv("HOME")
  if home and home ~= "" then
    return home .. "/.netrc", true
  end
end

-- Permissions as Python's netrc has them: the usual file must be its owner's alone, if it has
-- passwords. One that was named is named by somebody who knows.
local function check_permissions(netrc, path)
  local mode = weft.fs.stat(path).mode % 4096
  if has_secret(netrc) and mode % (OTHERS + 1) ~= 0 then
    errors.raise("os", ("%s has passwords, and others may use it too (mode %04o)")
      :format(path, mode), { code = "EACCES", path = path })
  end
end

local function load(path, is_usual)
  local netrc = M.parse(weft.fs.read_file(path, FILE_MAX), path)
  if is_usual then
    check_permissions(netrc, path)
  end
  return netrc
end

---Reads the file that the environment variable NETRC names, or else ~/.netrc. A file that is not
---in order is not used: there are no entries then, and the loop's exception handler is told why
---(not, if there simply is no ~/.netrc). ~/.netrc must have no permissions for others if it has
---passwords.
---
---Raises `cancelled`.
---@private
---@async
---@return weft.http.Netrc
function M.load()
  local path, is_usual = find_path()
  if path then
    local ok, result = errors.try(load, path, is_usual)
    if ok then
      return result
    elseif not (is_usual and result.code == "ENOENT") then
      weft.get_running_loop():call_exception_handler({
        message = "the logins in " .. path .. " are not used", exception = errors.wrap(result) })
    end
  end
  return setmetatable({ _entries = {} }, Netrc)
end

---What `load` finds for a host. The file is read each time: who asks more than once keeps what
---`load` returns.
---
---Raises `cancelled`; `type` as `Netrc:find`.
---@private
---@async
---@param host string
---@return weft.http.BasicAuth?
function M.find(host)
  return M.load():find(host)
end

return M
