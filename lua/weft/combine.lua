-- SPDX-License-Identifier: MIT
-- weft.combine: waiting for many tasks at once: gather, wait, as_completed, map.
--
-- Owns: the order and form of their results, and what happens to the others when one
-- fails. The waiting itself is a latch of weft.core (src/loop/latch.c).
-- Must not know: groups, queues.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

local raise = errors.raise

---@class weft
local M = {}

-- Raises `type` for anything that is no task, future or function, before any is started.
local function check_awaitable(x, what, i)
  if type(x) == "userdata" and core.kind_of(x) or type(x) == "function" then
    return
  end
  local meta = getmetatable(x)
  if type(meta) ~= "table" or meta.__call == nil then
    raise("type", ("%s: item %d: a task, a future or a function expected, got %s")
      :format(what, i, type(x)))
  end
end

-- Whether all of the list are tasks and futures, so that nothing will have to be started.
local function check_list(list, n, what)
  local is_started = true
  for i = 1, n do
    check_awaitable(list[i], what, i)
    is_started = is_started and type(list[i]) == "userdata"
  end
  return is_started
end

-- Raises what must be raised before anything is started.
local function check_wait(is_started)
  if is_started then
    await._checkpoint()
  else
    await._before_wait()
  end
end

-- The tasks of a list, watched by a latch: futures[i] is that of list[i]. Functions are
-- started last: a task of another loop is refused before that.
local function watch(list, n)
  local futures = {}
  local latch = core.latch(futures)
  for i = 1, n do
    futures[i] = false -- keeps them in order
    if type(list[i]) == "userdata" then
      core.latch_add(latch, list[i], i)
    end
  end
  for i = 1, n do
    if not futures[i] then
      core.latch_add(latch, core.create_task(list[i]), i)
    end
  end
  return latch, futures
end

-- Cancels all that are not done and waits until they are, come what may. A cancel that comes
-- meanwhile is passed on only to what is not being cancelled: tasks that wait for each other
-- in a cycle would pass it round for ever.
local function cancel_all(latch, futures)
  local again = false
  repeat
    for _, future in pairs(futures) do
      if not again or core.kind_of(future) ~= "task" or core.cancelling(future) == 0 then
        future:cancel()
      end
    end
    again = true
  until core.latch_wait(latch, "all", true) == true
  core.latch_close(latch)
end

---@private
M._cancel_all = cancel_all

--- gather -----------------------------------------------------------------------

local function first_failed(latch, futures)
  while true do
    local future = futures[core.latch_take(latch)]
    if core.state(future) ~= "returned" then
      return future
    end
  end
end

local function result_of(future, return_exceptions)
  local ok, value = core.outcome(future)
  if ok or not return_exceptions then
    return value
  end
  if value == nil and core.state(future) == "cancelled" then
    return errors.new("cancelled", errors.name_of(future) .. " was cancelled")
  end
  errors.attribute(value, future)
  return errors.wrap(value)
end

local function check_not_self(list, n)
  local task = core.current_task()
  for i = 1, n do
    if rawequal(list[i], task) then
      raise("state", ("gather: item %d: a task cannot await itself"):format(i), { code = "ESELF" })
    end
  end
end

local function gather(list, n, return_exceptions)
  check_wait(check_list(list, n, "gather"))
  check_not_self(list, n)
  local latch, futures = watch(list, n)
  local ok = core.latch_wait(latch, return_exceptions and "all" or "failure")
  if ok ~= true then
    cancel_all(latch, futures)
    await._interrupted(ok)
  end
  local _, _, failed = core.latch_counts(latch)
  if failed > 0 and not return_exceptions then
    local future = first_failed(latch, futures)
    core.latch_close(latch)
    await._resolve(future, core.outcome(future))
  end
  core.latch_close(latch)
  local results = { n = n }
  for i = 1, n do
    results[i] = result_of(futures[i], return_exceptions)
  end
  return results
end

---Waits for all and returns a table of the first result of each, in order, and their number in
---`n`. The first failure is raised at once, and the others run on; with the option
---`return_exceptions` errors stand among the results, as error objects. Cancelled, it cancels
---all and raises when they have ended.
---
---Takes tasks, futures and functions (run as tasks), or one list of them and a table of
---options: `gather(list, {return_exceptions = true})`.
---
---Raises the first failure; `cancelled`; `state` outside a task and for oneself; `type` for
---what cannot be awaited, before any function is started.
---@async
---@param ... weft.Awaitable | weft.Awaitable[] | {return_exceptions: boolean?}
---@return {[integer]: any, n: integer} results
function M.gather(...)
  local first, opts = ...
  if type(first) ~= "table" or getmetatable(first) ~= nil then
    return gather({ ... }, select("#", ...), false)
  end
  opts = options.check(opts, { return_exceptions = true }, "gather")
  return gather(first, first.n or #first, opts.return_exceptions)
end

--- wait -------------------------------------------------------------------------

local RETURN_WHEN = { ALL_COMPLETED = "all", FIRST_COMPLETED = "any", FIRST_EXCEPTION = "raised" }

-- Waits on the latch, until the deadline at most. Returns as latch_wait, and whether the time
-- ran out. Whatever happens, the scope is left: it would strike a later wait.
local function wait_within(latch, until_, deadline)
  local scope = deadline and core.scope(deadline)
  local waited, ok = pcall(core.latch_wait, latch, until_)
  local expired = scope and core.scope_leave(scope)
  if not waited then
    error(ok, 0)
  end
  return ok, expired
end

-- Raises what broke off such a wait, unless it was the deadline.
local function check_interrupted(ok, expired)
  if ok ~= true and expired then
    await._checkpoint()
  elseif ok ~= true then
    await._interrupted(ok)
  end
end

local function deadline_of(timeout, what)
  if timeout == nil then
    return nil
  end
  options.number(timeout, what .. ": the timeout")
  return timeout > 0 and core.loop_time(core.running_loop()) + timeout or 0
end

-- Each task once.
local function distinct(list, n)
  local seen, items = {}, {}
  for i = 1, n do
    local x = list[i]
    if type(x) ~= "userdata" or not seen[x] then
      seen[x] = true
      items[#items + 1] = x
    end
  end
  return items, #items
end

---Waits until all are done, or, with the option `return_when`, the first is
---(`"FIRST_COMPLETED"`) or one has failed (`"FIRST_EXCEPTION"`; a cancelled one has not), at most
---`timeout` seconds. Raises none of their errors and cancels nothing. Both results are in the
---order of the list.
---
---Raises `cancelled`; `state` outside a task; `type` for an empty list and for what cannot be
---awaited, before any function is started.
---
---```lua
---local slow, fast = weft.create_task(weft.sleep, 5), weft.create_task(weft.sleep, 1)
---local done, pending = weft.wait({ slow, fast }, { return_when = "FIRST_COMPLETED" })
---print(#done, done[1] == fast, pending[1] == slow) --> 1 true true
---```
---@async
---@param list weft.Awaitable[]
---@param opts {timeout: number?, return_when: string?}? `timeout` in seconds
---@return (weft.Task | weft.Future)[] done
---@return (weft.Task | weft.Future)[] pending
function M.wait(list, opts)
  opts = options.check(opts, { timeout = true, return_when = true }, "wait")
  options.expect(list, "table", "wait: the list")
  local is_started = check_list(list, #list, "wait")
  if #list == 0 then
    raise("type", "wait: the list is empty")
  end
  local until_ = RETURN_WHEN[opts.return_when or "ALL_COMPLETED"]
  if not until_ then
    raise("type", ("wait: return_when must be one of ALL_COMPLETED, FIRST_COMPLETED, "
      .. "FIRST_EXCEPTION, got %s"):format(tostring(opts.return_when)))
  end
  check_wait(is_started)
  local deadline = deadline_of(opts.timeout, "wait")
  local latch, futures = watch(distinct(list, #list))
  local ok, expired = wait_within(latch, until_, deadline)
  core.latch_close(latch)
  check_interrupted(ok, expired)
  local done, pending = {}, {}
  for _, future in ipairs(futures) do
    local into = core.is_done(future) and done or pending
    into[#into + 1] = future
  end
  return done, pending
end

---Iterates over tasks in the order in which they are done. Each is done when it is given:
---`task:await()` returns or raises at once. A step of the iteration waits.
---
---Raises `cancelled`; `state` outside a task; `type` for what cannot be awaited. A step raises
---`timeout` when `timeout` seconds have passed since the call.
---
---```lua
---local tasks = { weft.create_task(weft.sleep, 2, "b"), weft.create_task(weft.sleep, 1, "a") }
---for task in weft.as_completed(tasks, { timeout = 10 }) do
---  print(task:await())
---end
--- --> a
--- --> b
---```
---@async
---@param list weft.Awaitable[]
---@param opts {timeout: number?}? `timeout` in seconds
---@return async fun(): (weft.Task | weft.Future)?
function M.as_completed(list, opts)
  opts = options.check(opts, { timeout = true }, "as_completed")
  options.expect(list, "table", "as_completed: the list")
  check_list(list, #list, "as_completed")
  await._checkpoint()
  local deadline = deadline_of(opts.timeout, "as_completed")
  local latch, futures = watch(distinct(list, #list))
  return function()
    await._checkpoint()
    local pending, completed = core.latch_counts(latch)
    if completed == 0 and pending > 0 then
      local ok, expired = wait_within(latch, "any", deadline)
      check_interrupted(ok, expired)
      if ok ~= true then
        core.latch_close(latch)
        raise("timeout", ("as_completed: timed out after %g s"):format(opts.timeout))
      end
    end
    local index = core.latch_take(latch)
    return index and futures[index]
  end
end

return M
