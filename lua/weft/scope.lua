-- SPDX-License-Identifier: MIT
-- weft.scope: time limits and clean-up that hold for a stretch of a task's code.
--
-- Owns: which error comes out of a scope that expired. What a scope interrupts is
-- decided in src/loop/scope.c.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

---@class weft
local M = {}

local function is_of(e, scope)
  return errors.is_error(e, "cancelled") and e._scope ~= nil and core.scope_is(scope, e._scope)
end

-- On the way out of a scope: its own expiry becomes `timeout`; all else passes.
local function leave(scope, message, ok, ...)
  local expired = core.scope_leave(scope)
  if ok then
    return ...
  end
  local e = ...
  if expired and is_of(e, scope) then
    errors.raise("timeout", message, { cause = e.cause })
  end
  error(e, 0)
end

local function now()
  return core.loop_time(core.running_loop())
end

local function enter(when)
  if not core.in_task() then
    await._checkpoint()
  end
  return core.scope(when)
end

---Calls `fn(...)` and returns its results, unless `seconds` pass first: then the wait that
---`fn` is in, and each later one, is broken off, and `timeout` is raised when `fn` has let
---that through. nil is no limit; zero or less expires at the first wait. If `fn` returns
---all the same, its results count.
---
---Raises `timeout`; or what fn raised.
---@async
---@param seconds number?
---@param fn function
---@param ... any
---@return any ... the results of fn
function M.timeout(seconds, fn, ...)
  options.callable(fn, "the function")
  if seconds == nil then
    return fn(...)
  end
  options.number(seconds, "the timeout")
  local scope = enter(seconds > 0 and now() + seconds or 0)
  return leave(scope, ("timed out after %g s"):format(seconds), errors.guarded(fn, ...))
end

---As `weft.timeout`, with a time of the loop's clock (`loop:time()`).
---@async
---@param when number?
---@param fn function
---@param ... any
---@return any ... the results of fn
function M.timeout_at(when, fn, ...)
  options.callable(fn, "the function")
  if when == nil then
    return fn(...)
  end
  options.number(when, "the time")
  return leave(enter(when), "the deadline has passed", errors.guarded(fn, ...))
end

---The nearest time limit in force here, as a time of the loop's clock, or nil.
---@return number?
function M.current_deadline()
  return core.deadline()
end

-- Cancels x and waits until it has ended, whatever happens meanwhile.
local function end_it(x)
  if core.kind_of(x) == "task" then
    core.cancel(x)
  elseif not core.is_done(x) then
    core.complete(x, "cancelled")
  end
  while not core.is_done(x) do
    core.await_shielded(x)
  end
end

---Waits for a task, a future or a function (run as a task), at most `seconds` (nil: no
---limit). If the time runs out, it is cancelled, and once it has ended `timeout` is raised;
---but what it returned all the same is returned.
---
---Raises `timeout`; else as `weft.await`.
---@async
---@param x weft.Task | weft.Future | function
---@param seconds number?
---@return any ... the results of x
function M.wait_for(x, seconds)
  await._checkpoint()
  if seconds ~= nil then
    options.number(seconds, "the timeout")
  end
  x = await._ensure(x)
  if seconds == nil or seconds > 0 then
    return M.timeout(seconds, await.await, x)
  end
  if not core.is_done(x) then
    end_it(x)
    if core.state(x) ~= "returned" then
      errors.raise("timeout", ("timed out after %g s"):format(seconds))
    end
  end
  return await._resolve(x, core.outcome(x))
end

---@private
M._end_it = end_it

local function cleaned(cleanup, ok, ...)
  local scope = core.in_task() and core.scope(nil, true)
  local clean, e = errors.guarded(cleanup)
  if scope then
    core.scope_leave(scope)
  end
  if not clean then
    if not ok and errors.is_error(e) and e.cause == nil then
      e.cause = (...)
    end
    error(e, 0)
  end
  if ok then
    return ...
  end
  error((...), 0)
end

---Calls `fn()`, then, whatever came of it, `cleanup()`, which no cancellation and no time
---limit from outside can break off. Returns or raises what `fn` did, or what `cleanup`
---raised.
---@async
---@param fn function
---@param cleanup function
---@return any ... the results of fn
function M.finally(fn, cleanup)
  options.callable(fn, "the function")
  options.callable(cleanup, "the clean-up")
  return cleaned(cleanup, errors.guarded(fn))
end

return M
