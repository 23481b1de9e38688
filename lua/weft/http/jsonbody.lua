-- SPDX-License-Identifier: MIT
-- weft.http.jsonbody: JSON as the body of a request or a response, through lua-cjson.
--
-- Owns: what of a Lua value cjson would not write as it is, and the errors, which show where.
-- Must not know: requests and responses.
-- Invariant: a number that was written and is read again is the same number.

local core = require "weft.core"
local errors = require "weft.error"
local options = require "weft.options"

---@class weft.http
local M = {}

-- Of arrays and objects in each other; what cjson has, too.
local DEPTH_MAX = 1000
-- What of a line is shown in an error, in bytes.
local EXCERPT = 60

local library -- cjson, with settings of weft's own

local function cjson()
  if not library then
    local ok, found = pcall(require, "cjson")
    if not ok then
      errors.raise("state", "JSON needs the Lua library cjson (lua-cjson), which is not installed",
        { code = "no_cjson" })
    end
    library = found.new()
    library.encode_keep_buffer(false)
    library.decode_invalid_numbers(false)
  end
  return library
end

---What stands for `null` in the JSON of requests and responses: lua-cjson's `null`.
---
---Raises `state` (code "no_cjson") if lua-cjson is not installed.
---@return lightuserdata
function M.json_null()
  return cjson().null
end

--- writing ------------------------------------------------------------------------

-- The tables that are arrays though nothing is in them.
local arrays = setmetatable({}, { __mode = "k" })

---Marks a table as an array, so that it is `[]` in the JSON of a request even while it is empty;
---other empty tables are `{}`.
---
---    session:post(url, { json = { tags = http.json_array() } })
---
---Raises `type`.
---@param list table? default: a new one
---@return table list the same
function M.json_array(list)
  list = options.expect(list == nil and {} or list, "table", "the array")
  arrays[list] = true
  return list
end

-- A number as text if cjson would round it; else nil.
local function exact(number)
  if tonumber(("%.14g"):format(number)) == number or number ~= number
    or number == math.huge or number == -math.huge then
    return nil
  elseif math.type and math.type(number) == "integer" then
    return ("%d"):format(number)
  end
  for digits = 15, 17 do
    local text = ("%%.%dg"):format(digits):format(number)
    if tonumber(text) == number then
      return text
    end
  end
end

-- Stands in the place of a text that cjson cannot write. Nobody can guess the mark.
local function stand_in(state, text)
  state.mark = state.mark or core.base64_encode(core.random_bytes(18)):gsub("/", "-")
  state[#state + 1] = text
  return ("%s:%d:"):format(state.mark, #state)
end

local prepared

local function prepared_table(value, state, depth)
  if arrays[value] and next(value) == nil then
    return stand_in(state, "[]")
  elseif depth > DEPTH_MAX then
    errors.raise("type", ("json: tables in each other more than %d deep, or in a circle")
      :format(DEPTH_MAX), { code = "invalid_json" })
  end
  local copy
  for key, item in pairs(value) do
    local new = prepared(item, state, depth + 1)
    if not rawequal(new, item) then
      if not copy then
        copy = {}
        for k, v in pairs(value) do
          copy[k] = v
        end
      end
      copy[key] = new
    end
  end
  return copy or value
end

-- The value with stand-ins in it where they are needed: a copy as far as it differs.
function prepared(value, state, depth)
  local kind = type(value)
  if kind == "table" then
    return prepared_table(value, state, depth)
  elseif kind == "number" then
    local text = exact(value)
    return text and stand_in(state, text) or value
  end
  return value
end

---A value as JSON.
---
---Raises `type` (code "invalid_json") for what JSON has not: functions, NaN, arrays with large
---holes, tables in a circle; `state` (code "no_cjson").
---@private
---@param value any
---@return string
function M.encode(value)
  local encoder, state = cjson(), {}
  local ok, text = pcall(encoder.encode, prepared(value, state, 1))
  if not ok then
    errors.raise("type", "json: " .. tostring(text), { code = "invalid_json" })
  elseif state.mark then
    text = text:gsub('"' .. state.mark:gsub("%p", "%%%0") .. ':(%d+):"', function(number)
      return state[tonumber(number)]
    end)
  end
  return text
end

--- reading ------------------------------------------------------------------------

local function place_of(text, at)
  local before = text:sub(1, at - 1)
  local _, breaks = before:gsub("\n", "")
  local line_start = #before - #before:match("[^\n]*$") + 1
  return breaks + 1, at - line_start + 1, line_start
end

-- A continuation byte of UTF-8.
local CONTINUATION = "^[\128-\191]"

-- The text around a place, and below it a caret that points there.
local function excerpt(text, at, line_start)
  local from, to = math.max(line_start, at - EXCERPT / 2), at + EXCERPT / 2
  to = math.min(to, (text:find("\n", at, true) or #text + 1) - 1)
  while from > line_start and text:find(CONTINUATION, from) do
    from = from - 1
  end
  while to < #text and text:find(CONTINUATION, to + 1) do
    to = to + 1
  end
  local shown = (from > line_start and "…" or "") .. text:sub(from, to):gsub("%c", " ")
  local ahead = text:sub(from, at - 1):gsub("[\128-\191]", "")
  return ("%s\n%s^"):format(shown, (" "):rep(#ahead + (from > line_start and 1 or 0)))
end

local function refuse(text, message, where)
  local why, at = message:match("^(.-) at character (%d+)$")
  local fields = { code = "invalid_json", url = where }
  local from = where and (" from " .. where) or ""
  if not why then
    errors.raise("decode", ("the JSON%s cannot be read: %s"):format(from, message), fields)
  elseif not text:find("[^ \t\r\n]") then
    errors.raise("decode", ("there is no JSON%s, but an empty text"):format(from), fields)
  end
  fields.at = math.min(tonumber(at), #text + 1)
  local line_start
  fields.line, fields.column, line_start = place_of(text, fields.at)
  fields.excerpt = excerpt(text, fields.at, line_start)
  why = why:gsub("T_(%u+)", function(name) return name:lower() end):gsub("^%u", string.lower)
  errors.raise("decode", ("the JSON%s is malformed at line %d, column %d: %s\n%s"):format(from,
    fields.line, fields.column, why, fields.excerpt), fields)
end

-- Takes the nulls out of the tables.
local function without_nulls(value, null)
  if value == null then
    return nil
  elseif type(value) == "table" then
    for key, item in pairs(value) do
      value[key] = without_nulls(item, null)
    end
  end
  return value
end

-- What a server may say instead of what was expected, as aiohttp has it; text/json is an old name.
local function is_expected(actual, expected)
  actual = (actual or ""):lower():match("^[^; \t]*")
  if expected == "application/json" then
    return actual == expected or actual == "text/json"
      or actual:find("^%w+/[%w.+-]+%+json$") ~= nil
  end
  return actual == expected:lower()
end

local DECODE_OPTIONS = { url = true, content_type = true, actual_type = true, max_depth = true,
  null = true, invalid_numbers = true }

local function check_type(opts)
  local expected = opts.content_type
  if expected and not is_expected(opts.actual_type, expected) then
    errors.raise("decode", ("%s was expected%s, not %s"):format(expected,
      opts.url and " from " .. opts.url or "", opts.actual_type or "a body of no type"),
      { code = "content_type", url = opts.url, content_type = opts.actual_type })
  end
end

---JSON as a value. Arrays are lists, `null` is `http.json_null()`, numbers are those of Lua.
---Options: `content_type`, what the body must be ("application/json" stands for "text/json" and all
---that end with "+json", too), `actual_type`, what it is said to be; `null = "nil"` leaves out
---what is null; `invalid_numbers = true` takes NaN and Infinity, as some servers send;
---`max_depth`, of arrays and objects in each other (default 1,000); `url`, for the error.
---
---Raises `decode`: with the code "invalid_json", and `line`, `column`, `at` (bytes, from 1) and
---`excerpt` where the place is known; with "content_type" for another type. `state` (code
---"no_cjson").
---@private
---@param text string UTF-8
---@param opts table?
---@return any
function M.decode(text, opts)
  options.expect(text, "string", "the JSON")
  opts = options.check(opts, DECODE_OPTIONS, "json")
  if opts.null ~= nil and opts.null ~= "nil" and opts.null ~= "keep" then
    errors.raise("type", "json: null must be \"keep\" or \"nil\"")
  end
  check_type(opts)
  local decoder = cjson()
  decoder.decode_max_depth(options.count(opts.max_depth or DEPTH_MAX, "max_depth", 1))
  decoder.decode_invalid_numbers(opts.invalid_numbers == true)
  if text:sub(1, 3) == "\239\187\191" then
    text = text:sub(4)
  end
  local ok, value = pcall(decoder.decode, text)
  if not ok then
    refuse(text, tostring(value), opts.url)
  elseif opts.null == "nil" then
    return without_nulls(value, decoder.null)
  end
  return value
end

return M
