-- SPDX-License-Identifier: MIT
-- weft.http.mime: MIME types, as Content-Type has them, read as browsers do (WHATWG's MIME
-- Sniffing Standard).
--
-- Owns: the syntax.
-- Must not know: what a type is good for.

local options = require "weft.options"

local TOKEN = "^[%w!#$%%&'*+%-.^_`|~]+$"
-- What a parameter may have. Bytes from 0x80 on stand for themselves.
local VALUE = "^[\t\32-\126\128-\255]*$"
-- U+FFFD in UTF-8: somebody has read it before, and lost what was there.
local LOST = "\239\191\189"

---A MIME type.
---@class weft.http.MimeType
---@field type string in lower case: "text"
---@field subtype string in lower case: "html"
---@field essence string both: "text/html"
---@field parameters table<string, string> names are in lower case
local MimeType = {}
MimeType.__index = MimeType
MimeType.__name = "weft.http.MimeType"

local function quoted(value)
  if value:find(TOKEN) then
    return value
  end
  return '"' .. value:gsub('["\\]', "\\%0") .. '"'
end

---The type as text, parameters in the order in which they came.
---@return string
function MimeType:serialize()
  local parts = { self.essence }
  for _, name in ipairs(self._names) do
    if self.parameters[name] then
      parts[#parts + 1] = name .. "=" .. quoted(self.parameters[name])
    end
  end
  return table.concat(parts, ";")
end

MimeType.__tostring = MimeType.serialize

---True for HTML, XHTML and all that is XML.
---@return boolean
function MimeType:is_markup()
  return self.essence == "text/html" or self.essence == "text/xml"
    or self.essence == "application/xml" or self.subtype:sub(-4) == "+xml"
end

local function trimmed(text)
  return (text:gsub("^[\t\n\r ]+", ""):gsub("[\t\n\r ]+$", ""))
end

-- The quoted string behind the quote at `at`, and where it ends; it may end with the text.
local function read_quoted(text, at)
  local parts = {}
  at = at + 1
  while true do
    local plain, stop = text:match('^([^"\\]*)()', at)
    parts[#parts + 1], at = plain, stop
    if text:sub(at, at) ~= "\\" then
      return table.concat(parts), at + 1
    elseif at == #text then
      return table.concat(parts) .. "\\", at + 1
    end
    parts[#parts + 1], at = text:sub(at + 1, at + 1), at + 2
  end
end

-- The parameter at `at`, behind a semicolon, and where the next semicolon may be.
local function read_parameter(text, at)
  local name, stop = text:match("^[\t\n\r ]*([^;=]*)()", at)
  if text:sub(stop, stop) ~= "=" then
    return nil, nil, stop
  end
  local value
  if text:sub(stop + 1, stop + 1) == '"' then
    value, stop = read_quoted(text, stop + 1)
    stop = text:find(";", stop, true) or #text + 1
  else
    value, stop = text:match("^([^;]*)()", stop + 1)
    value = value:gsub("[\t\n\r ]+$", "")
    value = value ~= "" and value or nil
  end
  return name:lower(), value, stop
end

---@class weft.http
local M = { MimeType = MimeType }

---Reads a MIME type, such as the value of a Content-Type field.
---@param text string
---@return weft.http.MimeType? mime nil if it is none
function M.parse_mime(text)
  text = trimmed(options.expect(text, "string", "the MIME type"))
  local kind, subtype, at = text:match("^([^/;]*)/([^;]*)()")
  subtype = subtype and subtype:gsub("[\t\n\r ]+$", "")
  if not kind or not kind:find(TOKEN) or not subtype:find(TOKEN) then
    return nil
  end
  kind, subtype = kind:lower(), subtype:lower()
  local mime = setmetatable({ type = kind, subtype = subtype, essence = kind .. "/" .. subtype,
    parameters = {}, _names = {} }, MimeType)
  while at <= #text do
    local name, value
    name, value, at = read_parameter(text, at + 1)
    if name and value and name:find(TOKEN) and value:find(VALUE)
      and not value:find(LOST, 1, true) and not mime.parameters[name] then
      mime.parameters[name] = value
      table.insert(mime._names, name)
    end
  end
  return mime
end

return M
