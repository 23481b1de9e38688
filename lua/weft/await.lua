-- SPDX-License-Identifier: MIT
-- weft.await: the one file that turns what a wait gives into returns or a raise.
--
-- Owns: await, sleep, and the building of the error by which a cancellation shows.
-- Every function of weft.core that waits yields, and so cannot go on in C (LuaJIT
-- has no lua_yieldk): it returns true and results, or false and the reason.
-- Must not know: locks, queues, groups, or any other user of waits.

local core = require "weft.core"
local errors = require "weft.error"
local has_returned_nothing = require "weft.peek"

local core_await, core_sleep, gate = core.await, core.sleep, core.gate
local is_error, raise = errors.is_error, errors.raise

---What can be awaited. A function is run as a new task.
---@alias weft.Awaitable weft.Task | weft.Future | async fun(): ...

---@class weft
local M = {}

-- The error of the running task's own interruption: a cancel or a timeout.
local function own_cancellation(cause)
  local what = core.interruption()
  local task = core.current_task()
  local extra = task and core.extra(task)
  local message = extra and extra.cancel_message
  if what == "cancel" or what == nil then
    message = message and tostring(message) or "the task was cancelled"
    what = nil
  else
    message = "a time limit has passed"
  end
  return errors.new("cancelled", message, { cause = cause, _scope = what })
end

-- What was awaited has failed with `e`.
local function raise_failure(x, e)
  if is_error(e, "cancelled") and core.interruption() then
    error(own_cancellation(e), 0)
  end
  errors.note(e, x)
  errors.attribute(e, x)
  error(e, 0)
end

local function raise_cancelled(x)
  local extra = core.extra(x)
  local message = extra and extra.cancel_message
  raise("cancelled", message and tostring(message) or errors.name_of(x) .. " was cancelled")
end

-- A wait has ended without success. `x` is what was awaited, or nil. It may have got its
-- outcome after the wait was broken off and before its task ran again: then that counts.
local function fail(x, ok, e)
  if ok ~= false then
    raise("state", "the task's coroutine was resumed by hand in the middle of a wait",
      { code = "ERESUMED" })
  end
  local state = x and core.state(x)
  if state == "returned" then
    return select(2, core.outcome(x))
  elseif state == "raised" or e ~= nil then
    raise_failure(x, select(2, core.outcome(x)))
  elseif state == "cancelled" and not core.interruption() then
    raise_cancelled(x)
  elseif state == "pending" and core.kind_of(x) == "future" then
    core.complete(x, "cancelled")
  end
  error(own_cancellation(), 0)
end

local function resolve(x, ok, ...)
  if ok == true then
    return ...
  end
  return fail(x, ok, ...)
end

---Makes returns or a raise of the outcome that weft.core gave for `x`.
---@private
M._resolve = resolve

---Raises what interrupted a wait that weft.core refused or broke off.
---@private
M._interrupted = function(ok)
  return fail(nil, ok)
end

---Raises the cancellation of the running task, if there is one. Fast paths that
---do not suspend call it when `core.gate[1]` is not true.
---@private
function M._checkpoint()
  local ok = core.checkpoint()
  if ok ~= true then
    return fail(nil, ok)
  end
end

---The same for a function that is going to suspend, before it changes anything: raises
---`state` too where that is impossible.
---@private
function M._before_wait()
  local ok = core.can_park()
  if ok ~= true then
    return fail(nil, ok)
  end
end

---A function as a new task, a task or future as it is.
---@private
function M._ensure(x)
  if type(x) == "userdata" and core.kind_of(x) then
    return x
  end
  if type(x) ~= "function" then
    local meta = getmetatable(x)
    if type(meta) ~= "table" or meta.__call == nil then
      raise("type", "a task, a future or a function expected, got " .. type(x))
    end
  end
  return core.create_task(x)
end

---Waits for a task or a future and returns its results, or raises what it raised. A function
---is run as a new task. When the waiting task is cancelled, so is what it awaits (see
---`weft.shield`).
---
---Raises what `x` raised; `cancelled` if the awaited or the waiting task was cancelled;
---`state` outside a task, for oneself, for a cycle of awaits, for what belongs to another
---loop, and where waiting is impossible.
---@async
---@param x weft.Awaitable
---@return any ... the results of x
function M.await(x)
  if type(x) ~= "userdata" then
    M._before_wait()
    x = M._ensure(x)
  elseif not gate[1] then
    M._checkpoint()
  elseif has_returned_nothing(x) then
    return
  end
  return resolve(x, core_await(x))
end

-- Apart from `sleep`, because LuaJIT does not compile what follows a wait in a function
-- with variable arguments.
local function nap(delay)
  local ok = core_sleep(delay)
  if ok ~= true then
    fail(nil, ok)
  end
end

---Waits for `delay` seconds, then returns the other arguments. `sleep(0)` lets all others that
---are ready run once.
---
---Raises `cancelled`; `state` outside a task; `type` for NaN.
---@async
---@param delay number seconds; less than 0 is 0
---@param ... any
---@return any ... the other arguments
function M.sleep(delay, ...)
  if select("#", ...) == 0 then
    return nap(delay)
  end
  nap(delay)
  return ...
end

---Lets all others that are ready run once: `sleep(0)`.
---
---Raises `cancelled`; `state` outside a task.
---@async
function M.yield()
  return nap(0)
end

-- A wait whose interruption does not concern x.
local function resolve_shielded(x, ok, ...)
  if ok ~= true and not core.is_done(x) then
    return fail(nil, ok)
  end
  return resolve(x, ok, ...)
end

---Waits for a task, a future or a function (run as a task) and returns its results, without
---passing a cancellation on: if the waiting task is cancelled meanwhile, this raises at once
---and `x` runs on. In a task that is cancelled already it waits in peace, which is how
---clean-up can wait.
---
---Raises what `x` raised; `cancelled` if the waiting task is cancelled meanwhile; `state` as
---`weft.await`.
---
---```lua
---local saving = weft.create_task(function()
---  weft.sleep(2)
---  print("saved")
---end)
---local ok, e = weft.try(weft.timeout, 1, weft.shield, saving)
---print(ok, e) --> nil timeout: timed out after 1 s
---saving:await() --> saved
---```
---@async
---@param x weft.Awaitable
---@return any ... the results of x
function M.shield(x)
  if type(x) ~= "userdata" then
    core.can_park(true)
    x = M._ensure(x)
  end
  return resolve_shielded(x, core.await_shielded(x))
end

return M
