-- SPDX-License-Identifier: MIT
-- weft.coroutines: coroutine.resume, wrap and status as they must be inside tasks,
-- so that a generator, or any library's coroutine, may wait.
--
-- Owns: the replacement of these functions (and, on Lua 5.4, of coroutine.close):
-- the only things outside itself that weft changes. Outside a task each calls the
-- function that was there before. The work is in src/loop/coroutine.c.

local core = require "weft.core"
local errors = require "weft.error"

local raw = {
  create = coroutine.create,
  resume = coroutine.resume,
  wrap = coroutine.wrap,
  status = coroutine.status,
  close = rawget(coroutine, "close"),
}
local gate, in_task, is_parked, core_resume = core.gate, core.in_task, core.is_parked, core.resume

local M = { raw = raw }

local function parked_error()
  return errors.new("state", "cannot resume a coroutine that is waiting in a task",
    { code = "parked" })
end

local function resume(co, ...)
  if type(co) == "thread" then
    if is_parked(co) then
      return false, parked_error()
    elseif gate[1] or in_task() then
      return core_resume(co, ...)
    end
  end
  return raw.resume(co, ...)
end

-- As the function that was there: on Lua 5.4 an error closes the coroutine (its stack is
-- kept as text before), and outside tasks the caller's place is put before a string.
local function fail(co, e)
  if raw.close and raw.status(co) == "dead" then
    errors.keep_stack(co)
    local closed, replaced = raw.close(co)
    if not closed then
      e = replaced
    end
  end
  error(e, in_task() and 0 or 2)
end

local function unwrap(co, ok, ...)
  if ok then
    return ...
  end
  return fail(co, (...))
end

local function wrap(fn)
  if type(fn) ~= "function" then
    return raw.wrap(fn) -- which raises
  end
  local co = raw.create(fn)
  return function(...)
    return unwrap(co, resume(co, ...))
  end
end

local function status(co)
  if type(co) == "thread" and is_parked(co) then
    return "normal"
  end
  return raw.status(co)
end

coroutine.resume, coroutine.wrap, coroutine.status = resume, wrap, status

if raw.close then
  -- luacheck: push ignore 143
  function coroutine.close(co)
    if type(co) == "thread" and is_parked(co) then
      error(errors.new("state", "cannot close a coroutine that is waiting in a task",
        { code = "parked" }), 2)
    end
    return raw.close(co)
  end
  -- luacheck: pop
end

return M
