-- SPDX-License-Identifier: MIT
-- weft.http.lines: lines out of pieces that are split anywhere.
--
-- Owns: nothing: what a line leaves of a piece is pushed back.
-- Must not know: where the pieces come from.
-- Invariant: between two steps every byte is in a line that was returned, or pushed back; after a
-- line that is too long there is no further step.

local errors = require "weft.error"
local options = require "weft.options"

local M = {}

-- A line of a log or of JSON lines; a longer one is no text.
local LINE_MAX = 1024 * 1024

local function joined(parts)
  local line = parts[2] and table.concat(parts) or parts[1]
  return line:sub(-1) == "\r" and line:sub(1, -2) or line
end

local function too_long(max)
  return errors.new("limit", ("a line is longer than %d bytes"):format(max),
    { limit = max, phase = "body" })
end

-- The next line; nil at the end.
local function next_line(source, pull, push_back, break_off, max)
  local parts, size = {}, 0
  while true do
    local data, from = pull(source)
    if data == "" then
      return parts[1] and table.concat(parts)
    end
    local at = data:find("\n", from, true)
    size = size + (at or #data + 1) - from
    if size > max + 1 then
      break_off(source, too_long(max))
    end
    parts[#parts + 1] = data:sub(from, at and at - 1)
    if at then
      push_back(source, data, at + 1)
      return joined(parts)
    end
  end
end

---Iterates over the lines of what `pull(source)` returns, until that is "": a piece, and where in
---it to begin.
---@private
---@param source any
---@param pull async fun(source): string, integer
---@param push_back fun(source, bytes: string, at: integer)
---@param break_off fun(source, e: weft.Error) raises the error, after which nothing is pulled
---@param max integer?
---@return async fun(): string?
function M.iterator(source, pull, push_back, break_off, max)
  max = options.count(max == nil and LINE_MAX or max, "the limit", 1)
  return function()
    return next_line(source, pull, push_back, break_off, max)
  end
end

return M
