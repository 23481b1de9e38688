-- SPDX-License-Identifier: MIT
-- weft.http.guard: closing the connections of a session that nobody closed and nobody has any
-- more.
--
-- Owns: the finalizer.
-- Must not know: what a session is.
-- Invariant: a finalizer runs in the middle of anything: it only asks the loop to close.

local core = require "weft.core"

local M = {}

local newproxy = rawget(_G, "newproxy") -- LuaJIT: tables have no __gc there

local function close(ref)
  local loop = core.running_loop()
  if not ref.transport then
    return
  end
  local transport = ref.transport
  ref.transport = nil
  transport:close()
  if loop and loop:get_debug() then
    loop:call_exception_handler({ message = "unclosed client session: call session:close(), or "
      .. "use session:with(fn)" })
  end
end

local function on_collected(ref)
  local loop = core.running_loop() or ref.loop
  if ref.transport and loop then
    pcall(core.callback, loop, nil, close, ref) -- fails when the loop is closed, as all in it
  end
end

---What is kept with a session, and by nothing else. `transport` must not lead to the session.
---@private
---@param transport table
function M.new(transport)
  local ref = { transport = transport, loop = core.running_loop() }
  local function finalizer()
    on_collected(ref)
  end
  if newproxy then
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = finalizer
    return { ref = ref, proxy = proxy }
  end
  return setmetatable({ ref = ref }, { __gc = finalizer })
end

---The session was closed.
---@private
function M.disarm(guard)
  guard.ref.transport = nil
end

return M
