-- SPDX-License-Identifier: MIT
-- weft.options: checking of arguments and option tables.
--
-- Owns: the error for an unknown option, which names the nearest known one.
-- Must not know: any particular function's options.

local errors = require "weft.error"

local M = {}

-- Levenshtein's distance between two short words.
local function distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal
    diagonal, row[0] = row[0], i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j],
        math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

---The word in the set nearest to `word`.
---@private
function M.nearest(word, set)
  local best, best_distance
  for known in pairs(set) do
    local d = distance(word, known)
    if not best or d < best_distance or d == best_distance and known < best then
      best, best_distance = known, d
    end
  end
  return best
end

---Raises `type` unless all keys of `opts` are in the set `known`.
---@private
---@param opts table?
---@param known table<string, any>
---@param what string the function's name
---@return table opts an empty table for nil
function M.check(opts, known, what)
  if opts == nil then
    return {}
  end
  if type(opts) ~= "table" then
    errors.raise("type", ("%s: the options must be a table, got %s"):format(what, type(opts)))
  end
  for key in pairs(opts) do
    if known[key] == nil then
      errors.raise("type", ("%s: unknown option '%s' (did you mean '%s'?)")
        :format(what, tostring(key), M.nearest(tostring(key), known)), { code = "unknown_option" })
    end
  end
  return opts
end

---Raises `type` unless `value` has the type named.
---@private
function M.expect(value, wanted, what)
  if type(value) ~= wanted then
    errors.raise("type", ("%s must be a %s, got %s"):format(what, wanted, type(value)))
  end
  return value
end

---Raises `type` unless `value` can be called.
---@private
function M.callable(value, what)
  if type(value) ~= "function" then
    local meta = getmetatable(value)
    if type(meta) ~= "table" or meta.__call == nil then
      errors.raise("type", ("%s must be a function, got %s"):format(what, type(value)))
    end
  end
  return value
end

---Raises `type` unless `value` is a number of at least `least`, not NaN.
---@private
function M.number(value, what, least)
  if type(value) ~= "number" or value ~= value then
    errors.raise("type", ("%s must be a number, got %s"):format(what,
      value ~= value and "NaN" or type(value)))
  end
  if least and value < least then
    errors.raise("type", ("%s must be at least %s, got %s"):format(what, least, value))
  end
  return value
end

---Raises `type` unless `value` is a whole number of at least `least`.
---@private
function M.count(value, what, least)
  M.number(value, what, least)
  if value ~= math.floor(value) then
    errors.raise("type", ("%s must be a whole number, got %s"):format(what, value))
  end
  return value
end

return M
