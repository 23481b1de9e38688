-- SPDX-License-Identifier: MIT
-- weft.http.fields: header fields: what requests and responses carry beside their bodies.
--
-- Owns: what fields can be made of, and the words of the errors. The bytes are kept and checked
-- in src/proto/fields.c.
-- Must not know: what any field means.

local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"

local getmetatable, type = getmetatable, type
local at, get, set_field, add_field = core.fields_at, core.fields_get, core.fields_set,
  core.fields_add

local M = {}

---Header fields: an ordered list of names and values, in which a name may occur more than once.
---Names are compared without regard to case and keep their spelling. `headers["content-type"]` is
---`headers:get("content-type")`; `headers[name] = value` is `headers:set(name, value)`, and nil
---removes. (A field that is called like a method is reached by `get`.)
---@class weft.http.Headers
---@field [string] string
local Headers = {}

local Class = core.classes.Fields

--- errors ---------------------------------------------------------------------------

local CONTROLS = { ["\r"] = "a carriage return", ["\n"] = "a line feed", ["\0"] = "a NUL" }

local function shown(name)
  return #name <= 64 and ("%q"):format(name):gsub("\\\n", "\\n") or #name .. " bytes"
end

local function invalid(message, name)
  errors.raise("type", message, { code = "invalid_header", name = name })
end

-- What is wrong with a name or a value that was refused.
local function refuse(name, value, code)
  if core.error_of(code) == "ELIMIT" then
    errors.raise("limit", ("header %s: too many header fields, or too large ones")
      :format(shown(name)), { code = "too_many_headers", name = name })
  end
  if name == "" then
    invalid("a header's name is empty", name)
  end
  local bad = name:match("[^%w!#$%%&'*+%-.^_`|~]")
  if bad then
    invalid(("header name %s: %s cannot stand in a name"):format(shown(name), CONTROLS[bad]
      or ("%q"):format(bad)), name)
  end
  bad = value:match("[%z\1-\8\10-\31\127]") or "?"
  invalid(("header %s: %s in its value"):format(shown(name), CONTROLS[bad]
    or ("the control character 0x%02X"):format(bad:byte())), name)
end

-- A name and a value as strings.
local function checked(name, value)
  if type(name) ~= "string" then
    invalid("a header's name must be a string, got " .. type(name))
  end
  if type(value) == "number" then
    return value % 1 == 0 and math.abs(value) < 2 ^ 53 and ("%d"):format(value)
      or ("%.14g"):format(value)
  elseif type(value) ~= "string" then
    invalid(("header %s: its value must be a string or a number, got %s"):format(shown(name),
      type(value)), name)
  end
  return value
end

--- methods --------------------------------------------------------------------------

---The first value of a name; nil if there is none.
---@param name string
---@return string?
function Headers:get(name)
  options.expect(name, "string", "the header's name")
  return get(self, name)
end

---All values of a name, in order.
---@param name string
---@return string[]
function Headers:getall(name)
  options.expect(name, "string", "the header's name")
  return core.fields_getall(self, name)
end

---True if there is a field of the name.
---@param name string
---@return boolean
function Headers:has(name)
  options.expect(name, "string", "the header's name")
  return get(self, name) ~= nil
end

---Makes it the only field of its name, in the place of the first such, or at the end; in this
---spelling. Spaces
---around the value are left out.
---
---Raises `type` (code "invalid_header") for what cannot be sent; `limit` beyond 256 fields,
---32 KiB in one, or 128 KiB in all.
---@param name string
---@param value string|number
function Headers:set(name, value)
  value = checked(name, value)
  local code = set_field(self, name, value)
  if code then
    refuse(name, value, code)
  end
end

---Adds a field at the end.
---
---Raises as `headers:set`.
---@param name string
---@param value string|number
function Headers:add(name, value)
  value = checked(name, value)
  local code = add_field(self, name, value)
  if code then
    refuse(name, value, code)
  end
end

---Removes all fields of a name.
---@param name string
---@return integer count how many there were
function Headers:remove(name)
  options.expect(name, "string", "the header's name")
  return core.fields_remove(self, name)
end

---The number of fields.
---@return integer
function Headers:count()
  return core.fields_count(self)
end

---Iterates over the fields in order: `for name, value in headers:iter()`. Names are as they were
---spelt. They should not be changed meanwhile.
---@return fun(): string?, string?
function Headers:iter()
  local i = 0
  return function()
    i = i + 1
    return at(self, i)
  end
end

---A copy, which can be changed without changing this.
---@return weft.http.Headers
function Headers:copy()
  return core.fields_copy(self)
end

function Class:__index(key)
  local method = Headers[key]
  if method ~= nil then
    return method
  elseif type(key) == "string" then
    return get(self, key)
  end
  return nil
end

function Class:__newindex(name, value)
  if value == nil then
    Headers.remove(self, name)
  else
    Headers.set(self, name, value)
  end
end

function Class:__tostring()
  local lines = {}
  for name, value in self:iter() do
    lines[#lines + 1] = name .. ": " .. value
  end
  return table.concat(lines, "\n")
end

--- making ---------------------------------------------------------------------------

---True for header fields.
---@private
function M.is(x)
  return type(x) == "userdata" and getmetatable(x) == Class
end

local function add_all(fields, name, value)
  if type(value) ~= "table" then
    return Headers.add(fields, name, value)
  end
  for _, one in ipairs(value) do
    Headers.add(fields, name, one)
  end
end

local function add_pairs(fields, list)
  for i, pair in ipairs(list) do
    if type(pair) ~= "table" then
      invalid(("headers: item %d of the list must be a pair {name, value}, got %s"):format(i,
        type(pair)))
    end
    Headers.add(fields, pair[1], pair[2])
  end
end

local function add_map(fields, map)
  local names = {}
  for name in pairs(map) do
    if type(name) ~= "string" then
      invalid("a header's name must be a string, got " .. type(name))
    end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    add_all(fields, name, map[name])
  end
end

---Makes header fields: empty, or a copy of others, or of a table of names and values (strings,
---numbers, or lists of them; in order of the names), or of a list of pairs `{name, value}`.
---
---Raises as `headers:set`.
---@private
---@param source (weft.http.Headers | table)?
---@return weft.http.Headers
function M.new(source)
  if source == nil then
    return core.fields_new()
  elseif M.is(source) then
    return core.fields_copy(source)
  end
  options.expect(source, "table", "the headers")
  local fields = core.fields_new()
  if source[1] ~= nil then
    add_pairs(fields, source)
  else
    add_map(fields, source)
  end
  return fields
end

return M
