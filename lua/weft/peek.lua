-- SPDX-License-Identifier: MIT
-- weft.peek: seeing from compiled code that a task is done and has no results.
--
-- Owns: nothing; an accelerator of `await`, for LuaJIT alone. A call into C costs a trace
-- about 35 ns, a look into the task's memory 2. The places of the two fields come from
-- weft.core, which knows the struct.
-- Must not know: anything else about tasks.

local core = require "weft.core"

local found, ffi = pcall(require, "ffi")
if not (found and rawget(_G, "jit")) then
  -- Elsewhere the call into C is the fast way.
  return function()
    return false
  end
end

local band, cast = require("bit").band, ffi.cast
local byte_pointer = ffi.typeof("uint8_t *")
local flags_pointer = ffi.typeof("uint16_t *")
local getmetatable = getmetatable
local Task = core.classes.Task
local layout = core.layout
local STATE_AT, RETURNED = layout.state, layout.returned
local FLAGS_AT, VALUE_MASK = layout.flags, layout.value_mask -- no value is 0

---True if `x`, a userdata, is a task that has returned without results.
---@private
return function(x)
  if getmetatable(x) ~= Task then
    return false
  end
  local bytes = cast(byte_pointer, x)
  return bytes[STATE_AT] == RETURNED
    and band(cast(flags_pointer, bytes + FLAGS_AT)[0], VALUE_MASK) == 0
end
