-- SPDX-License-Identifier: MIT
-- weft.http.cookiefile: cookies as the text of a file, JSON or Netscape's cookies.txt.
--
-- Owns: the two formats, and what is refused on the way in.
-- Must not know: jars, or how a file is read and written.
-- Invariant: what `read` returns can be sent in a header: no controls, no semicolons.

local errors = require "weft.error"
local setcookie = require "weft.http.setcookie"

local M = {}

local FIELDS = { name = "string", value = "string", domain = "string", path = "string",
  expires = "number", created = "number", accessed = "number", host_only = "boolean",
  secure = "boolean", http_only = "boolean", same_site = "string" }
local NEEDED = { "name", "value", "domain", "path" }

local function refuse(where, why)
  errors.raise("decode", ("%s: %s"):format(where, why), { code = "invalid_cookie_file" })
end

-- What is wrong with a cookie that was read; nil if nothing is.
local function fault(cookie)
  for _, name in ipairs(NEEDED) do
    if cookie[name] == nil then
      return ("no %s"):format(name)
    end
  end
  for name, kind in pairs(FIELDS) do
    local value = cookie[name]
    if value ~= nil and type(value) ~= kind then
      return ("the %s is not a %s"):format(name, kind)
    elseif kind == "string" and value and (value:find(setcookie.CONTROL) or value:find(";")) then
      return ("the %s has a character that no cookie may have"):format(name)
    elseif kind == "number" and value and (value ~= value or math.abs(value) > 2 ^ 53) then
      return ("the %s is no time"):format(name)
    end
  end
  if cookie.name:find("=") then
    return "the name has a ="
  elseif #cookie.name + #cookie.value > setcookie.PAIR_MAX then
    return "it is too long"
  elseif cookie.path:sub(1, 1) ~= "/" then
    return "the path does not begin with /"
  end
end

local function checked(cookie, where)
  local why = fault(cookie)
  if why then
    refuse(where, why)
  end
  return cookie
end

--- JSON ---------------------------------------------------------------------------

local VERSION = 1

local function json_library()
  local ok, cjson = pcall(require, "cjson")
  if not ok then
    errors.raise("state", "cookies as JSON need the Lua library cjson (lua-cjson), which is "
      .. "not installed", { code = "no_cjson" })
  end
  return cjson.new() -- with settings of its own
end

-- One cookie in a line, so that a changed file shows what changed.
local function write_json(cookies)
  local cjson, lines = json_library(), {}
  cjson.encode_number_precision(14)
  for i, cookie in ipairs(cookies) do
    local kept = {}
    for name in pairs(FIELDS) do
      kept[name] = cookie[name]
    end
    lines[i] = cjson.encode(kept)
  end
  return ('{"version":%d,"cookies":[\n%s\n]}\n'):format(VERSION, table.concat(lines, ",\n")),
    #lines
end

local function read_json(text, where)
  local cjson = json_library()
  local ok, document = pcall(cjson.decode, text)
  if not ok then
    refuse(where, tostring(document))
  elseif type(document) ~= "table" or type(document.cookies) ~= "table" then
    refuse(where, "it has no list `cookies`")
  elseif document.version ~= VERSION then
    refuse(where, "its version is not known")
  end
  local cookies = {}
  for i, entry in ipairs(document.cookies) do
    local place = ("%s: cookie %d"):format(where, i)
    if type(entry) ~= "table" then
      refuse(place, "it is no object")
    end
    local cookie = {}
    for name in pairs(FIELDS) do
      local value = entry[name]
      cookie[name] = value ~= cjson.null and value or nil
    end
    cookies[i] = checked(cookie, place)
  end
  return cookies
end

--- cookies.txt --------------------------------------------------------------------

local HEAD = "# Netscape HTTP Cookie File\n"
local HTTP_ONLY = "#HttpOnly_"

-- Its fields are apart by TABs and its times whole seconds; a cookie for all hosts has no
-- place in it.
local function netscape_line(cookie)
  if cookie.domain == "" or (cookie.domain .. cookie.path .. cookie.name):find("\t") then
    return nil
  end
  local domain = (cookie.host_only and "" or ".") .. cookie.domain
  return table.concat({ (cookie.http_only and HTTP_ONLY or "") .. domain,
    cookie.host_only and "FALSE" or "TRUE", cookie.path, cookie.secure and "TRUE" or "FALSE",
    ("%.0f"):format(math.max(math.floor(cookie.expires or 0), 0)), cookie.name, cookie.value },
    "\t")
end

local function write_netscape(cookies)
  local lines = {}
  for _, cookie in ipairs(cookies) do
    lines[#lines + 1] = netscape_line(cookie)
  end
  return HEAD .. table.concat(lines, "\n") .. (lines[1] and "\n" or ""), #lines
end

-- The cookie in a line; the value may be missing, and may have TABs.
local function read_netscape_line(line, where)
  local http_only = line:sub(1, #HTTP_ONLY) == HTTP_ONLY
  local fields = http_only and line:sub(#HTTP_ONLY + 1) or line
  local domain, all, path, secure, expires, name, value =
    fields:match("^([^\t]+)\t(%u+)\t([^\t]*)\t(%u+)\t(%-?%d+)\t([^\t]*)\t?(.*)$")
  if not domain then
    refuse(where, "it has not the seven fields of a cookie")
  end
  return { name = name, value = value, domain = domain:gsub("^%.", ""):lower(), path = path,
    host_only = all ~= "TRUE" or nil, secure = secure == "TRUE" or nil,
    http_only = http_only or nil,
    expires = tonumber(expires) ~= 0 and tonumber(expires) or nil }
end

local function read_netscape(text, where)
  local cookies, number = {}, 0
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local is_comment = line:sub(1, 1) == "#" and line:sub(1, #HTTP_ONLY) ~= HTTP_ONLY
    if line:find("%S") and not is_comment then
      local place = ("%s:%d"):format(where, number)
      cookies[#cookies + 1] = checked(read_netscape_line(line, place), place)
    end
  end
  return cookies
end

--- both ---------------------------------------------------------------------------

local FORMATS = {
  json = { read = read_json, write = write_json },
  netscape = { read = read_netscape, write = write_netscape },
}

---The format that is asked for, else the one that goes with the path: "netscape" for ".txt",
---"json" for all others.
---@private
function M.format(name, path)
  local format = name or path:lower():find("%.txt$") and "netscape" or "json"
  if not FORMATS[format] then
    errors.raise("type", ("there is no format '%s' for cookies: json, netscape")
      :format(tostring(format)))
  end
  return format
end

---The text of a file with these cookies, and how many are in it.
---@private
function M.write(format, cookies)
  return FORMATS[format].write(cookies)
end

---The cookies in the text of a file; raises `decode` if it is not in the format. `where` is
---the file's name.
---@private
function M.read(format, text, where)
  return FORMATS[format].read(text, where)
end

return M
