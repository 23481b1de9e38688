-- SPDX-License-Identifier: MIT
-- weft.url.query: application/x-www-form-urlencoded: queries and forms as Lua tables.
--
-- Owns: the two forms that a table of parameters may have. Must not know: URLs.
-- Invariant: a list of pairs that was encoded is decoded to an equal one.

local errors = require "weft.error"
local options = require "weft.options"
local percent = require "weft.url.percent"

---@class weft.url
local M = {}

local find, gmatch, gsub, sub = string.find, string.gmatch, string.gsub, string.sub
local decode, utf8_text = percent._decode, percent._utf8_text
local FORM = percent._SETS.form

-- A name or value as text: numbers that are whole without a fraction on every Lua.
local function text_of(value, what)
  local kind = type(value)
  if kind == "number" and value == math.floor(value) and math.abs(value) < 2 ^ 53 then
    return ("%d"):format(value)
  elseif kind == "string" or kind == "number" then
    return tostring(value)
  elseif kind == "boolean" then
    return value and "true" or "false"
  end
  local text = kind == "table" and (getmetatable(value) or {}).__tostring and tostring(value)
  if not text then
    errors.raise("type", ("%s must be a string, a number or a boolean, got %s")
      :format(what, kind))
  end
  return text
end

local function encoded(text)
  if find(text, FORM) then
    return (gsub(percent._encode(text, FORM), "%%20", "+"))
  end
  return text
end

local function add(out, name, value)
  local text = text_of(value, ("the parameter '%s'"):format(name))
  out[#out + 1] = encoded(name) .. "=" .. encoded(text)
end

local function add_pairs(out, list)
  for i, pair in ipairs(list) do
    if type(pair) ~= "table" or pair[1] == nil or pair[2] == nil then
      errors.raise("type", ("parameter %d must be a pair {name, value}"):format(i))
    end
    add(out, text_of(pair[1], "a parameter's name"), pair[2])
  end
end

local function add_names(out, map)
  local names = {}
  for name in pairs(map) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = map[name]
    if type(value) == "table" and not (getmetatable(value) or {}).__tostring then
      for _, one in ipairs(value) do
        add(out, name, one)
      end
    else
      add(out, name, value)
    end
  end
end

---Parameters as the text of a query, or of a form: "a=1&b=two+words". The table is either a
---list of pairs, `{ { "a", 1 }, { "b", "x" } }`, which keeps its order, or names with values,
---`{ a = 1, b = { "x", "y" } }`, where a list repeats the name, in the order of the names.
---Values are strings, numbers, booleans, and objects that have a `__tostring`.
---
---Raises `type` for any other value, and for a table that is both.
---@param params table
---@return string
function M.encode_query(params)
  options.expect(params, "table", "the parameters")
  local out, is_list = {}, params[1] ~= nil
  for key in pairs(params) do
    if (type(key) == "number") ~= is_list or not is_list and type(key) ~= "string" then
      errors.raise("type", "the parameters must be either a list of pairs or names with values")
    end
  end
  if is_list then
    add_pairs(out, params)
  else
    add_names(out, params)
  end
  return table.concat(out, "&")
end

local function plain(text)
  if find(text, "+", 1, true) then
    text = gsub(text, "+", " ")
  end
  return utf8_text(decode(text))
end

local Params = {}

-- By name: a string, or a list of them where the name is there more than once; it is made at
-- the first use.
function Params.__index(list, name)
  if type(name) ~= "string" then
    return nil
  end
  local map = {}
  for _, pair in ipairs(list) do
    local key, value = pair[1], pair[2]
    local before = map[key]
    if type(before) == "table" then
      before[#before + 1] = value
    else
      map[key] = before and { before, value } or value
    end
  end
  setmetatable(list, { __index = map })
  return map[name]
end

---What `weft.url.encode_query` encodes: a list of pairs `{ name, value }` in order, which can
---be asked by name, too: `params.a` is the value, or, where the name is there several times, a
---list of them. A "+" is a space, and what is not UTF-8 becomes U+FFFD.
---@param query string without its "?"
---@return table params
function M.decode_query(query)
  options.expect(query, "string", "the query")
  local list, n = {}, 0
  for piece in gmatch(query, "[^&]+") do
    local at = find(piece, "=", 1, true)
    local name, value = at and sub(piece, 1, at - 1) or piece, at and sub(piece, at + 1) or ""
    n = n + 1
    list[n] = { plain(name), plain(value) }
  end
  return setmetatable(list, Params)
end

--- canonical ---------------------------------------------------------------------------------

-- A byte of which %XX is only another spelling.
local UNRESERVED = "^[0-9A-Za-z._~-]$"

local function normal(digits)
  if #digits < 2 then
    return "%25" .. digits
  end
  local c = string.char(tonumber(digits, 16))
  return find(c, UNRESERVED) and c or "%" .. digits:upper()
end

-- One spelling of %XX: in upper case, and for no unreserved character; "%" alone is %25.
function M._normal(text)
  return (gsub(text, "%%([0-9A-Fa-f]?[0-9A-Fa-f]?)", normal))
end

-- Whether a parameter is dropped: by name, or by its beginning where that ends with "*".
local function is_dropped(name, drop)
  for _, wanted in ipairs(drop) do
    if wanted == name or sub(wanted, -1) == "*" and sub(name, 1, #wanted - 1) == sub(wanted, 1, -2)
    then
      return true
    end
  end
  return false
end

-- The query with its parameters in one spelling, sorted; nil for none.
function M._canonical(query, drop)
  local pieces = {}
  for piece in gmatch(query, "[^&]+") do
    piece = gsub(M._normal(piece), "%%20", "+")
    if not is_dropped(plain(piece:match("^[^=]*")), drop) then
      pieces[#pieces + 1] = piece
    end
  end
  table.sort(pieces)
  return pieces[1] and table.concat(pieces, "&") or nil
end

return M
