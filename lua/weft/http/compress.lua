-- SPDX-License-Identifier: MIT
-- weft.http.compress: the body of a request in gzip or deflate.
--
-- Owns: how much is compressed at once.
-- Must not know: where a body comes from.
-- Invariant: no step holds up the loop for longer than a slice takes.

local await = require "weft.await"
local core = require "weft.core"
local errors = require "weft.error"

local M = {}

-- Compressed in one go, some 10 ms of work. More is streamed.
M.WHOLE_MAX = 524288

-- What a step of a stream compresses.
local SLICE = 65536
-- Slices that may give nothing, as they compress so well, before the others get their turn.
local SLICES_MAX = 8

---The name of a coding that was asked for: true is deflate, as in aiohttp.
---
---Raises `type` for one that is not known.
---@private
---@param option boolean|string|nil
---@return string? coding nil for none
function M.coding(option)
  if not option then
    return nil
  elseif option == true then
    return "deflate"
  elseif option ~= "gzip" and option ~= "deflate" then
    errors.raise("type", ("compress must be true, \"gzip\" or \"deflate\", got %s"):format(
      type(option) == "string" and ("%q"):format(option) or type(option)))
  end
  return option
end

---Compresses at once.
---@private
---@param coding "gzip"|"deflate"
---@param data string
---@return string
function M.string(coding, data)
  return core.deflate(core.deflater(coding), data, true)
end

-- A source that gives what another one gives in slices.
local function sliced(source)
  local data, at = "", 1
  return function()
    while at > #data do
      data, at = source(), 1
      if data == nil then
        data = ""
        return nil
      end
    end
    local slice = #data <= SLICE and data or data:sub(at, at + SLICE - 1)
    at = at + #slice
    return slice
  end
end

---A source that gives, compressed, what another one gives.
---@private
---@param coding "gzip"|"deflate"
---@param source fun(): string?
---@return async fun(): string?
function M.source(coding, source)
  local read, deflater, has_ended = sliced(source), core.deflater(coding), false
  return function()
    local slices = 0
    while not has_ended do
      local slice = read()
      has_ended = slice == nil
      local data = core.deflate(deflater, slice or "", has_ended)
      if data ~= "" then
        return data
      end
      slices = slices + 1
      if slices % SLICES_MAX == 0 then
        await.yield()
      end
    end
  end
end

return M
