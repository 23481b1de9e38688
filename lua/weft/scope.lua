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

local TIMED_OUT = "timed out after %g s"

-- Scopes that were left, to be used again: each has a finalizer, which is most of what it costs.
local SPARE_MAX = 64
local spare, spares = {}, 0

-- Nobody has the scope any more.
local function keep(scope)
  if spares < SPARE_MAX then
    spares = spares + 1
    spare[spares] = scope
  end
end

local function is_of(e, scope)
  return errors.is_error(e, "cancelled") and e._scope ~= nil and core.scope_is(scope, e._scope)
end

-- On the way out of a scope: its own expiry becomes `timeout`; all else passes. A cancellation
-- from further out, come during the clean-up, goes before it.
local function leave(scope, message, ok, ...)
  local expired = core.scope_leave(scope)
  if ok then
    keep(scope)
    return ...
  end
  local e = ...
  if expired and is_of(e, scope) then
    await._checkpoint()
    errors.raise("timeout", message, { cause = e.cause })
  end
  error(e, 0)
end

local function now()
  local loop = core.running_loop()
  if not loop then
    await._checkpoint() -- raises: there is no task
  end
  return core.loop_time(loop)
end

local function enter(when)
  local scope
  if spares > 0 then
    scope, spare[spares] = spare[spares], nil
    spares = spares - 1
  end
  return core.scope(when, false, scope)
end

---Calls `fn(...)` and returns its results, unless `seconds` pass first: then the wait that
---`fn` is in, and each later one, is broken off, and `timeout` is raised when `fn` has let
---that through. nil is no limit; zero or less expires at the first wait. If `fn` returns
---all the same, its results count. This waits only where `fn` does.
---
---Raises `timeout`; what `fn` raised; `state` outside a task.
---@async
---@param seconds number?
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function M.timeout(seconds, fn, ...)
  options.callable(fn, "the function")
  if seconds == nil then
    return fn(...)
  end
  options.number(seconds, "the timeout")
  local scope = enter(seconds > 0 and now() + seconds or 0)
  return leave(scope, TIMED_OUT:format(seconds), errors.guarded(fn, ...))
end

---As `weft.timeout`, until a time of the loop's clock (`loop:time()`).
---
---Raises `timeout`; what `fn` raised; `state` outside a task.
---@async
---@param when number? seconds
---@param fn async fun(...): ...
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

-- As `leave`; the error of an expiry is what `expired(a, b, c)` returns.
local function leave_as(scope, expired, a, b, c, ok, ...)
  local is_expired = core.scope_leave(scope)
  if ok then
    keep(scope)
    return ...
  end
  local e = ...
  if is_expired and is_of(e, scope) then
    await._checkpoint()
    local failure = expired(a, b, c)
    failure.cause = e.cause
    error(failure, 0)
  end
  error(e, 0)
end

---As `weft.timeout_at`, for limits that have a name: `expired(a, b, c)` makes the error object.
---A limit that is moved meanwhile passes `watch(scope, a, b, c)`, which is called first.
---@private
---@async
function M._limit(when, expired, a, b, c, watch, fn, ...)
  local scope = enter(when)
  if watch then
    watch(scope, a, b, c)
  end
  return leave_as(scope, expired, a, b, c, errors.guarded(fn, ...))
end

-- The error that comes out of a scope that has expired.
local function failure_of(cause, expired, a, b, c)
  local ok, e = pcall(await._checkpoint)
  if not ok then
    return e -- a cancellation from further out
  end
  e = expired(a, b, c)
  e.cause = cause
  return e
end

---As `_limit`, for a function of two arguments and one result, without raising: whether it
---returned, and the result or the error.
---@private
---@async
function M._limit_try(when, expired, a, b, c, fn, x, y)
  local scope = enter(when)
  local ok, result = errors.guarded(fn, x, y)
  local is_expired = core.scope_leave(scope)
  if ok then
    keep(scope)
  elseif is_expired and is_of(result, scope) then
    result = failure_of(result.cause, expired, a, b, c)
  end
  return ok, result
end

---The nearest time limit in force here, as a time of the loop's clock, or nil.
---@return number? when seconds
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

-- The time was up at once: ends x, and lets what it returned or raised on the way count.
local function ended(x, message)
  end_it(x)
  if core.state(x) == "cancelled" then
    await._checkpoint()
    errors.raise("timeout", message)
  end
  return await._resolve(x, core.outcome(x))
end

---Waits for a task, a future or a function (run as a task), at most `seconds` (nil: no
---limit). If the time runs out, `x` is cancelled, and once it has ended `timeout` is raised;
---but what it returned or raised all the same counts.
---
---Raises `timeout`; else as `weft.await`.
---@async
---@param x weft.Awaitable
---@param seconds number?
---@return any ... the results of x
function M.wait_for(x, seconds)
  await._checkpoint()
  if seconds == nil then
    return await.await(x)
  end
  options.number(seconds, "the timeout")
  if type(x) ~= "userdata" then
    await._before_wait()
  end
  x = await._ensure(x)
  if core.is_done(x) then
    return await._resolve(x, core.outcome(x))
  end
  local scope = enter(seconds > 0 and now() + seconds or 0)
  local message = TIMED_OUT:format(seconds)
  if core.checkpoint() == true then
    return leave(scope, message, errors.guarded(await.await, x))
  end
  core.scope_leave(scope)
  return ended(x, message)
end

local function cleaned(cleanup, ok, ...)
  local scope = core.in_task() and core.scope(nil, true)
  local clean, e = errors.guarded(cleanup)
  if scope then
    core.scope_leave(scope)
  end
  if not clean then
    if not ok and errors.is_error(e) and e.cause == nil and not rawequal(e, (...)) then
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
---raised. This waits only where those two do, and can be called outside tasks too.
---
---Raises what `fn` or `cleanup` raised.
---@async
---@param fn async fun(): ...
---@param cleanup async fun()
---@return any ... the results of fn
function M.finally(fn, cleanup)
  options.callable(fn, "the function")
  options.callable(cleanup, "the clean-up")
  return cleaned(cleanup, errors.guarded(fn))
end

return M
