-- SPDX-License-Identifier: MIT
-- weft.crawl.json: values as a line of JSON, fields in the order that was asked for.
--
-- Owns: the text. Needs no library, as what a crawl writes must not depend on one. Must not know:
-- where it goes. Invariant: the text is valid JSON, in UTF-8, without a line end.

local encoding = require "weft.http.encoding"
local errors = require "weft.error"

local M = {}

-- Of tables in each other: more is a cycle.
local DEPTH_MAX = 100

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(c)
  return ESCAPES[c] or ("\\u%04x"):format(c:byte())
end

local function invalid(what)
  errors.raise("type", what .. " cannot be written as JSON", { code = "invalid_json" })
end

-- What is not UTF-8 becomes U+FFFD.
local function string_of(s)
  if s:find("[\128-\255]") then
    s = encoding.decode(s, "utf-8")
  end
  return '"' .. s:gsub('[%z\1-\31"\\\127]', escape) .. '"'
end

local function number_of(n)
  if n ~= n or n == math.huge or n == -math.huge then
    invalid(tostring(n))
  elseif n == math.floor(n) and math.abs(n) < 2 ^ 53 then
    return ("%.0f"):format(n)
  end
  return (("%.14g"):format(n):gsub(",", "."))
end

local value_of

-- The elements of a list, or nil if the table is none. An empty table is a list.
local function list_of(t, depth)
  local count, parts = #t, {}
  for key in pairs(t) do
    if type(key) ~= "number" or key < 1 or key > count or key ~= math.floor(key) then
      return nil
    end
  end
  for i = 1, count do
    parts[i] = value_of(t[i], depth)
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function object_of(t, depth)
  local keys, parts = {}, {}
  for key in pairs(t) do
    if type(key) ~= "string" then
      invalid("a table with a key of type " .. type(key))
    end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    parts[i] = string_of(key) .. ":" .. value_of(t[key], depth)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function value_of(value, depth)
  local kind = type(value)
  if kind == "string" then
    return string_of(value)
  elseif kind == "number" then
    return number_of(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind == "nil" then
    return "null"
  elseif kind ~= "table" then
    invalid("a " .. kind)
  elseif depth >= DEPTH_MAX then
    invalid("a table that is deeper than " .. DEPTH_MAX)
  end
  return list_of(value, depth + 1) or object_of(value, depth + 1)
end

---A value as JSON: a list for a table with the keys 1 to n (an empty one too), an object for one
---with strings, sorted. With `fields`, a list of names, those are all that is written of the
---table, in that order; what is nil is null.
---
---Raises `type`, code "invalid_json".
---@private
---@param value any
---@param fields string[]?
---@return string
function M.encode(value, fields)
  if not fields then
    return value_of(value, 0)
  end
  local parts = {}
  for i, name in ipairs(fields) do
    parts[i] = string_of(name) .. ":" .. value_of(value[name], 1)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

return M
