-- SPDX-License-Identifier: MIT
-- weft.await: the one file that turns what a wait gives into returns or a raise.
--
-- Owns: await, sleep, and the building of the error by which a cancellation shows.
-- Every function of weft.core that waits yields, and so cannot go on in C (LuaJIT
-- has no lua_yieldk): it returns true and results, or false and the reason.
-- Must not know: locks, queues, groups, or any other user of waits.

local core = require "weft.core"
local errors = require "weft.error"

local core_await, core_sleep = core.await, core.sleep
local is_error, raise = errors.is_error, errors.raise

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

-- A wait has ended without success. `x` is what was awaited, or nil.
local function fail(x, ok, e)
  if ok ~= false then
    raise("state", "the task's coroutine was resumed by hand in the middle of a wait",
      { code = "resumed_by_hand" })
  end
  if e ~= nil then
    if is_error(e, "cancelled") and core.interruption() then
      error(own_cancellation(e), 0)
    end
    errors.note(e, x)
    errors.attribute(e, x)
    error(e, 0)
  end
  if x and core.is_done(x) and not core.interruption() then
    local extra = core.extra(x)
    local message = extra and extra.cancel_message
    raise("cancelled", message and tostring(message) or errors.name_of(x) .. " was cancelled")
  end
  if x and core.kind_of(x) == "future" and not core.is_done(x) and core.interruption() then
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

---Waits for a task or a future and returns its results, or raises what it raised.
---A function is run as a new task. When the waiting task is cancelled, so is what
---it awaits (see `weft.shield`).
---
---Raises `cancelled` if the awaited or the waiting task was cancelled, `state` outside
---a task, for oneself, for a cycle of awaits, and where waiting is impossible.
---@async
---@param x weft.Task | weft.Future | function
---@return any ... the results of x
function M.await(x)
  if type(x) == "userdata" then
    return resolve(x, core_await(x))
  end
  M._checkpoint()
  x = M._ensure(x)
  return resolve(x, core_await(x))
end

---Waits for `delay` seconds, then returns the other arguments. `sleep(0)` lets all
---others that are ready run once.
---@async
---@param delay number seconds
---@param ... any
---@return any ...
function M.sleep(delay, ...)
  local ok = core_sleep(delay)
  if ok ~= true then
    fail(nil, ok)
  end
  return ...
end

---Lets all others that are ready run once: `sleep(0)`.
---@async
function M.yield()
  local ok = core_sleep(0)
  if ok ~= true then
    fail(nil, ok)
  end
end

---Waits for a task, a future or a function (run as a task) and returns its results,
---without passing a cancellation on: if the waiting task is cancelled meanwhile, this
---raises at once and `x` runs on. In a task that is cancelled already it waits in
---peace, which is how clean-up can wait.
---@async
---@param x weft.Task | weft.Future | function
---@return any ... the results of x
function M.shield(x)
  if not core.in_task() then
    M._checkpoint()
  end
  x = M._ensure(x)
  return resolve(x, core.await_shielded(x))
end

return M
