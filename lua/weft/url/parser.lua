-- SPDX-License-Identifier: MIT
-- weft.url.parser: the URL Standard's basic URL parser, and its serializer.
--
-- Owns: the record of a URL: _scheme, _username, _password, _hostname, _port, _path, _query,
-- _fragment, _is_opaque, each as the Standard has it, serialized. Must not know: how users
-- read and change one (weft.url).
-- Invariant: what a record is serialized to is parsed to an equal record.
--
-- The Standard's machine looks at one character after the other. Here the text is cut at the
-- characters that end a part in whatever state the machine may be in, "#" and "?" first; the
-- comments name the states.

local host = require "weft.url.host"
local percent = require "weft.url.percent"

local M = {}

local byte, find, gmatch, gsub = string.byte, string.find, string.gmatch, string.gsub
local lower, match, sub = string.lower, string.match, string.sub
local concat = table.concat
local encode, SETS = percent._encode, percent._SETS
local parse_host = host.parse

local FRAGMENT, QUERY, SPECIAL_QUERY = SETS.fragment, SETS.query, SETS.special_query
local PATH, USERINFO, C0_CONTROL = SETS.path, SETS.userinfo, SETS.c0_control

-- The special schemes and their default ports; false for none.
local SPECIAL = { http = 80, https = 443, ws = 80, wss = 443, ftp = 21, file = false }
M.SPECIAL = SPECIAL

local MAX_PORT = 65535

local function is_special(scheme)
  return SPECIAL[scheme] ~= nil
end

--- paths -----------------------------------------------------------------------------

local DOTS = {
  ["."] = 1, ["%2e"] = 1,
  [".."] = 2, [".%2e"] = 2, ["%2e."] = 2, ["%2e%2e"] = 2,
}

-- A path, encoded, with "/" only, without its segments of dots.
local function without_dots(path, is_file)
  local out, n, is_open = {}, 0, false
  for segment in gmatch(path, "/([^/]*)") do
    local dots = #segment <= 6 and DOTS[lower(segment)]
    is_open = dots
    if dots == 2 then
      if n > 1 or n == 1 and not (is_file and find(out[1], "^[A-Za-z]:$")) then
        n = n - 1
      end
    elseif not dots then
      if is_file and n == 0 and find(segment, "^[A-Za-z]|$") then
        segment = sub(segment, 1, 1) .. ":"
      end
      n = n + 1
      out[n] = segment
    end
  end
  if is_open then
    n = n + 1
    out[n] = ""
  end
  return "/" .. concat(out, "/", 1, n)
end

-- "path state": the path of a URL that has one in segments; `path` begins with a slash or is
-- empty.
local function parse_path(scheme, path)
  local special = SPECIAL[scheme] ~= nil
  if path == "" then
    return special and "/" or ""
  end
  if special and find(path, "\\", 1, true) then
    path = gsub(path, "\\", "/")
  end
  path = encode(path, PATH)
  local is_file = scheme == "file"
  if find(path, "/.", 1, true) or find(path, "/%2", 1, true)
    or is_file and find(path, "|", 1, true) then
    return without_dots(path, is_file)
  end
  return path
end
M.parse_path = parse_path

-- What a relative path is appended to: the path without its last segment, which is what the
-- Standard calls to shorten it.
local function directory(base)
  local path = base._path
  if base._scheme == "file" and find(path, "^/[A-Za-z]:$") then
    return path
  end
  return match(path, "^(.*)/") or ""
end

--- authorities -------------------------------------------------------------------------

-- "host state": splits "host:port". The first colon that is not between brackets counts; nil
-- for none.
local function find_colon(s)
  local colon = find(s, ":", 1, true)
  if not colon or not find(s, "[", 1, true) then
    return colon
  end
  local inside, at = false, 0
  while true do
    at = find(s, "[%[%]:]", at + 1)
    local c = at and byte(s, at)
    if not at or c == 58 and not inside then
      return at
    end
    inside = c == 91 or inside and c ~= 93
  end
end
M.find_colon = find_colon

-- "port state": nil for none and for the scheme's own; false and why.
local function parse_port(scheme, text)
  if text == "" then
    return nil
  elseif find(text, "[^0-9]") then
    return false, ("'%s' is no port"):format(sub(text, 1, 20))
  end
  local port = tonumber((gsub(text, "^0+", "0")))
  if port > MAX_PORT then
    return false, ("%s is too large"):format(sub(text, 1, 20))
  end
  return port ~= SPECIAL[scheme] and math.floor(port) or nil
end
M.parse_port = parse_port

local function parse_userinfo(u, info)
  local colon = find(info, ":", 1, true)
  u._username = encode(colon and sub(info, 1, colon - 1) or info, USERINFO)
  u._password = colon and encode(sub(info, colon + 1), USERINFO) or ""
end

-- "authority state", for s[from...], which ends with the first slash. Returns true and where
-- the path begins; nil, the part at fault, and why.
local function parse_authority(u, s, from)
  local special = is_special(u._scheme)
  local stop = find(s, special and "[/\\]" or "/", from) or #s + 1
  local authority = sub(s, from, stop - 1)
  local info, rest = nil, authority
  if find(authority, "@", 1, true) then
    info, rest = match(authority, "^(.*)@(.*)$")
  end
  local colon = find_colon(rest)
  local name = colon and sub(rest, 1, colon - 1) or rest
  if name == "" and (special or info or colon) then
    return nil, "host", "is missing"
  end
  local why
  u._hostname, why = parse_host(name, not special)
  if not u._hostname then
    return nil, "host", why, name
  end
  if colon then
    u._port, why = parse_port(u._scheme, sub(rest, colon + 1))
    if u._port == false then
      return nil, "port", why
    end
  end
  if info then
    parse_userinfo(u, info)
  end
  return true, stop
end

local function with_authority(u, s, from)
  local ok, stop, why, what = parse_authority(u, s, from)
  if not ok then
    return nil, stop, why, what
  end
  u._path = parse_path(u._scheme, sub(s, stop))
  return u
end

--- what follows the scheme ---------------------------------------------------------------

local function take_authority(u, from)
  u._username, u._password = from._username, from._password
  u._hostname, u._port = from._hostname, from._port
end

-- "relative state", "relative slash state"; `s` is what there is before "?" and "#".
local function parse_relative(u, s, base)
  local special = is_special(u._scheme)
  local authority = find(s, special and "^[/\\][/\\]" or "^//")
  if authority then
    return with_authority(u, s, special and find(s, "[^/\\]", 3) or #s > 2 and 3 or #s + 1)
  end
  take_authority(u, base)
  if s == "" then
    u._path = base._path
    u._query = u._query or base._query
  elseif find(s, special and "^[/\\]" or "^/") then
    u._path = parse_path(u._scheme, s)
  else
    u._path = parse_path(u._scheme, directory(base) .. "/" .. s)
  end
  return u
end

local function begins_with_drive(s)
  return find(s, "^[A-Za-z][:|]$") or find(s, "^[A-Za-z][:|][/\\]")
end

-- "file host state"; `s` begins with two slashes.
local function parse_file_host(u, s)
  local stop = find(s, "[/\\]", 3) or #s + 1
  local name = sub(s, 3, stop - 1)
  if find(name, "^[A-Za-z][:|]$") then
    u._path = parse_path("file", "/" .. sub(s, 3))
    return u
  end
  if name ~= "" then
    local parsed, why = parse_host(name, false)
    if not parsed then
      return nil, "host", why, name
    end
    u._hostname = parsed == "localhost" and "" or parsed
  end
  u._path = parse_path("file", sub(s, stop))
  return u
end

-- "file state", "file slash state"; `base` is a file URL or nil.
local function parse_file(u, s, base)
  u._hostname = ""
  if find(s, "^[/\\][/\\]") then
    return parse_file_host(u, s)
  end
  u._hostname = base and base._hostname or ""
  if find(s, "^[/\\]") then
    local drive = base and not begins_with_drive(sub(s, 2))
      and (match(base._path, "^(/[A-Za-z]:)/") or match(base._path, "^/[A-Za-z]:$"))
    u._path = parse_path("file", (drive or "") .. s)
  elseif base and s == "" then
    u._path = base._path
    u._query = u._query or base._query
  elseif base and not begins_with_drive(s) then
    u._path = parse_path("file", directory(base) .. "/" .. s)
  else
    u._path = parse_path("file", "/" .. s)
  end
  return u
end

-- "opaque path state".
local function parse_opaque(u, s, is_followed)
  if is_followed and byte(s, -1) == 32 then
    s = sub(s, 1, -2) .. "%20"
  end
  u._is_opaque = true
  u._path = encode(s, C0_CONTROL)
  return u
end

-- "scheme state" and what that leads to, for s[colon + 1...].
local function parse_absolute(u, s, base, is_followed)
  local scheme, rest = u._scheme, sub(s, #u._scheme + 2)
  if base and base._scheme ~= scheme then
    base = nil
  end
  if scheme == "file" then
    return parse_file(u, rest, base)
  elseif is_special(scheme) then
    if base and not find(rest, "^[/\\][/\\]") then
      return parse_relative(u, rest, base)
    end
    return with_authority(u, rest, find(rest, "[^/\\]") or #rest + 1)
  elseif find(rest, "^//") then
    return with_authority(u, rest, 3)
  elseif byte(rest) == 47 then
    u._path = parse_path(scheme, rest)
    return u
  end
  return parse_opaque(u, rest, is_followed)
end

-- "no scheme state".
local function parse_without_scheme(u, s, base, is_followed)
  if not base then
    return nil, "scheme", "is missing, and there is no base URL"
  elseif base._is_opaque and (s ~= "" or u._query or not is_followed) then
    return nil, "scheme", ("is missing, and nothing is relative to the base URL, a '%s:'")
      :format(base._scheme)
  end
  u._scheme, u._is_opaque = base._scheme, base._is_opaque
  if base._is_opaque then
    u._path, u._query = base._path, base._query
    return u
  elseif base._scheme == "file" then
    return parse_file(u, s, base)
  end
  return parse_relative(u, s, base)
end

--- the whole -----------------------------------------------------------------------------

-- Without controls and spaces at both ends, and without tabs and newlines anywhere.
local function trimmed(s)
  if find(s, "[^!-\255]") then
    local first, last = find(s, "[!-\255]"), #s
    if not first then
      return ""
    end
    while byte(s, last) <= 32 do
      last = last - 1
    end
    s = sub(s, first, last)
    if find(s, "[\t\n\r]") then
      s = gsub(s, "[\t\n\r]", "")
    end
  end
  return s
end

-- What is in the set of queries or that of fragments, or is not part of a URL: most have none
-- of these, and one look tells so.
local NOT_PLAIN = "[^!#-&(-;=?-_a-~]"

-- "query state". Other encodings than UTF-8 are for special schemes, and not for WebSockets.
local function parse_query(scheme, text, encoding)
  local set = SPECIAL[scheme] ~= nil and SPECIAL_QUERY or QUERY
  if encoding and SPECIAL[scheme] ~= nil and scheme ~= "ws" and scheme ~= "wss" then
    return percent._encode_as(text, set, encoding)
  end
  return encode(text, set)
end

function M.parse_query(scheme, text)
  return parse_query(scheme, (gsub(text, "[\t\n\r]", "")))
end

function M.parse_fragment(text)
  return encode((gsub(text, "[\t\n\r]", "")), FRAGMENT)
end

function M.parse_credential(text)
  return encode(text, USERINFO)
end

-- A record with room for all its fields, which is much faster than one that grows.
local function new_record()
  local u = { _scheme = "", _username = "", _password = "", _hostname = "", _port = 0,
    _path = "", _query = "", _fragment = "", _is_opaque = false, _href = "" }
  u._hostname, u._port, u._query, u._fragment, u._href = nil, nil, nil, nil, nil
  return u
end

---The record of a URL; or nil, the part at fault, why, and the text at fault if
---the part is not the whole of it.
---@private
---@param input string
---@param base table? a record
---@param encoding string? of the query; UTF-8 for nil
function M.parse(input, base, encoding)
  local u = new_record()
  local is_plain = not find(input, NOT_PLAIN)
  local s = is_plain and input or trimmed(input)
  local query, fragment
  local at = find(s, "#", 1, true)
  if at then
    fragment = sub(s, at + 1)
    s = sub(s, 1, at - 1)
  end
  at = find(s, "?", 1, true)
  if at then
    query = sub(s, at + 1)
    s = sub(s, 1, at - 1)
  end
  u._query = query
  local scheme = match(s, "^([A-Za-z][A-Za-z0-9+.%-]*):")
  local ok, part, why, what
  if scheme then
    u._scheme = lower(scheme)
    ok, part, why, what = parse_absolute(u, s, base, query or fragment)
  else
    ok, part, why, what = parse_without_scheme(u, s, base, fragment)
  end
  if not ok then
    return nil, part, why, what
  end
  if query and not is_plain then
    u._query, why = parse_query(u._scheme, query, encoding)
    if not u._query then
      return nil, "query", why
    end
  end
  u._fragment = fragment and (is_plain and fragment or encode(fragment, FRAGMENT))
  return u
end

---The text of a record.
---@private
---@param u table
---@param without_fragment boolean?
---@return string
function M.serialize(u, without_fragment)
  local path, name, query = u._path, u._hostname, u._query
  local fragment = not without_fragment and u._fragment
  local front = u._scheme .. ":"
  if name then
    front = front .. "//"
    if u._username ~= "" or u._password ~= "" then
      front = front .. u._username .. (u._password ~= "" and ":" .. u._password or "") .. "@"
    end
    path = name .. (u._port and ":" .. u._port or "") .. path
  elseif not u._is_opaque and find(path, "^//") then
    path = "/." .. path -- or the path would read as a host
  end
  if query then
    path = path .. "?" .. query
  end
  return fragment and front .. path .. "#" .. fragment or front .. path
end

return M
