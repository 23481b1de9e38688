-- SPDX-License-Identifier: MIT
-- weft.crawl.json: values as a line of JSON, fields in the order that was asked for.
--
-- Owns: the text. Needs no library, as what a crawl writes must not depend on one. Must not know:
-- where it goes. Invariant: the text is valid JSON, in UTF-8, without a line end.

local core = require "weft.core"
local errors = require "weft.error"

local M = {}

-- Of tables in each other: more is a cycle.
local DEPTH_MAX = 100

-- Of a text; what is not UTF-8 becomes U+FFFD.
local string_of = core.json_string

local function invalid(what)
  errors.raise("type", what .. " cannot be written as JSON", { code = "invalid_json" })
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

-- Whether the keys are 1 to n. An empty table is a list.
local function is_list(t)
  if type(next(t)) == "string" then
    return false
  end
  local count = #t
  for key in pairs(t) do
    if type(key) ~= "number" or key < 1 or key > count or key ~= math.floor(key) then
      return false
    end
  end
  return true
end

local function list_of(t, depth)
  local parts = {}
  for i = 1, #t do
    parts[i] = value_of(t[i], depth)
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

-- Names of fields with what follows them: records have the same ones again and again.
local NAMES_MAX, NAME_LENGTH = 256, 64
local names, name_count = {}, 0

local function name_of(key)
  local name = names[key]
  if not name and #key > NAME_LENGTH then
    return string_of(key) .. ":"
  elseif not name then
    if name_count >= NAMES_MAX then
      names, name_count = {}, 0
    end
    name = string_of(key) .. ":"
    names[key], name_count = name, name_count + 1
  end
  return name
end

-- Of the few keys that a record has: table.sort takes longer than all the rest.
local FEW = 16

local function sort(keys, count)
  if count > FEW then
    return table.sort(keys)
  end
  for i = 2, count do
    local key, at = keys[i], i
    while at > 1 and keys[at - 1] > key do
      keys[at], at = keys[at - 1], at - 1
    end
    keys[at] = key
  end
end

local function object_of(t, depth)
  local keys, count = {}, 0
  for key in pairs(t) do
    if type(key) ~= "string" then
      invalid("a table with a key of type " .. type(key))
    end
    count = count + 1
    keys[count] = key
  end
  sort(keys, count)
  for i = 1, count do
    local key = keys[i]
    keys[i] = name_of(key) .. value_of(t[key], depth)
  end
  return "{" .. table.concat(keys, ",") .. "}"
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
  return (is_list(value) and list_of or object_of)(value, depth + 1)
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
    parts[i] = name_of(name) .. value_of(value[name], 1)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

return M
