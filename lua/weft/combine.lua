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
local function check_awaitable(x, what)
  if type(x) == "userdata" and core.kind_of(x) or type(x) == "function" then
    return
  end
  local meta = getmetatable(x)
  if type(meta) ~= "table" or meta.__call == nil then
    raise("type", ("%s: a task, a future or a function expected, got %s"):format(what, type(x)))
  end
end

local function check_list(list, n, what)
  options.expect(list, "table", what .. ": the list")
  for i = 1, n do
    check_awaitable(list[i], ("%s: item %d"):format(what, i))
  end
end

-- The tasks of a list, watched by a latch: futures[i] is that of list[i].
local function watch(list, n)
  local futures = {}
  local latch = core.latch(futures)
  for i = 1, n do
    core.latch_add(latch, await._ensure(list[i]), i)
  end
  return latch, futures
end

-- Cancels all that are not done and waits until they are, come what may.
local function cancel_all(latch, futures)
  repeat
    for _, future in pairs(futures) do
      future:cancel()
    end
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
  if value == nil then
    return errors.new("cancelled", errors.name_of(future) .. " was cancelled")
  end
  errors.attribute(value, future)
  return errors.wrap(value)
end

local function gather(list, n, return_exceptions)
  await._checkpoint()
  check_list(list, n, "gather")
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

---Waits for all and returns a table of their (first) results in order, with `n`. The first
---failure is raised at once, and the others run on; with the option `return_exceptions`
---errors stand among the results. Cancelled, it cancels all and raises when they have ended.
---
---Takes tasks, futures and functions (run as tasks), or one list of them and options.
---@async
---@param ... weft.Task | weft.Future | function | table
---@return table results
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

-- Waits on the latch at most `timeout` seconds; false when the time ran out.
local function wait_within(latch, until_, deadline)
  local scope = deadline and core.scope(deadline)
  local ok = core.latch_wait(latch, until_)
  local expired = scope and core.scope_leave(scope)
  if ok ~= true and not (expired and not core.interruption()) then
    core.latch_close(latch)
    await._interrupted(ok)
  end
  return ok
end

local function deadline_of(timeout, what)
  if timeout == nil then
    return nil
  end
  options.number(timeout, what .. ": the timeout")
  return timeout > 0 and core.loop_time(core.running_loop()) + timeout or 0
end

-- Each task once, functions as tasks.
local function distinct(list, n)
  local seen, items = {}, {}
  for i = 1, n do
    local x = list[i]
    if type(x) ~= "userdata" or not seen[x] then
      seen[x] = true
      items[#items + 1] = await._ensure(x)
    end
  end
  return items, #items
end

---Waits until all are done, or the first (`return_when = "FIRST_COMPLETED"`), or one has
---failed (`"FIRST_EXCEPTION"`), or `timeout` seconds have passed. Raises none of their
---errors and cancels nothing.
---@async
---@param list (weft.Task | weft.Future | function)[]
---@param opts {timeout: number?, return_when: string?}?
---@return weft.Task[] done
---@return weft.Task[] pending
function M.wait(list, opts)
  opts = options.check(opts, { timeout = true, return_when = true }, "wait")
  check_list(list, list and #list or 0, "wait")
  if #list == 0 then
    raise("type", "wait: the list is empty")
  end
  local until_ = RETURN_WHEN[opts.return_when or "ALL_COMPLETED"]
  if not until_ then
    raise("type", ("wait: return_when must be one of ALL_COMPLETED, FIRST_COMPLETED, "
      .. "FIRST_EXCEPTION, got %s"):format(tostring(opts.return_when)))
  end
  await._checkpoint()
  local deadline = deadline_of(opts.timeout, "wait")
  local items, n = distinct(list, #list)
  local latch = watch(items, n)
  wait_within(latch, until_, deadline)
  core.latch_close(latch)
  local done, pending = {}, {}
  for i = 1, n do
    local into = core.is_done(items[i]) and done or pending
    into[#into + 1] = items[i]
  end
  return done, pending
end

---Iterates over tasks in the order in which they are done: `for task in as_completed(list)`.
---Each is done when it is given: `task:await()` returns or raises at once.
---
---A step raises `timeout` when `timeout` seconds have passed since the call.
---@async
---@param list (weft.Task | weft.Future | function)[]
---@param opts {timeout: number?}?
---@return fun(): weft.Task?
function M.as_completed(list, opts)
  opts = options.check(opts, { timeout = true }, "as_completed")
  check_list(list, list and #list or 0, "as_completed")
  await._checkpoint()
  local deadline = deadline_of(opts.timeout, "as_completed")
  local latch, futures = watch(distinct(list, #list))
  return function()
    local pending, completed = core.latch_counts(latch)
    if completed == 0 and pending == 0 then
      return nil
    end
    if wait_within(latch, "any", deadline) ~= true then
      core.latch_close(latch)
      raise("timeout", ("as_completed: timed out after %g s"):format(opts.timeout))
    end
    return futures[core.latch_take(latch)]
  end
end

return M
