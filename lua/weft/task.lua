-- SPDX-License-Identifier: MIT
-- weft.task: the methods of tasks and futures.
--
-- Owns: names, done callbacks, context, and how a task shows itself as text. The
-- state of a task is in src/loop/task.c, an outcome in src/loop/future.c.
-- Must not know: what tasks wait for.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

local raise = errors.raise

---@class weft
local M = {}

---An outcome that arrives once: results, an error, or a cancellation. Made by
---`weft.create_future`, and what every task is too.
---@class weft.Future
local Future = {}

---A function that the loop runs, and its outcome. Made by `weft.create_task`. Only its function
---sets the outcome: `future:set_result` and `future:set_exception` raise `state`.
---@class weft.Task: weft.Future
---@field context table each task made inside starts with a copy of it, one level deep
local Task = {}

---Waits for the outcome; see `weft.await`.
---
---Raises as `weft.await`.
---@async
---@return any ... the results
function Future:await()
  return await.await(self)
end

---True once there is an outcome: results, an error, or a cancellation.
---@return boolean
function Future:done()
  return core.is_done(self)
end

---True if it ended by cancellation.
---@return boolean
function Future:cancelled()
  return core.state(self) == "cancelled"
end

---The results; raises what it raised.
---
---Raises what it raised; `cancelled` if it was cancelled; `state` while there is no outcome.
---@return any ...
function Future:result()
  return await._resolve(self, core.outcome(self))
end

---What it raised, or nil if it returned. A value that is no error object comes wrapped,
---kind `raised`. An error that was looked at is not reported as lost.
---
---Raises `cancelled` if it was cancelled; `state` while there is no outcome.
---@return weft.Error?
function Future:exception()
  if core.state(self) == "cancelled" then
    return await._resolve(self, core.outcome(self))
  end
  local ok, e = core.outcome(self)
  if ok then
    return nil
  end
  errors.attribute(e, self)
  return errors.wrap(e)
end

---Calls `fn(self)` through the loop, as `loop:call_soon` does, when the outcome is there.
---
---Raises `closed` if the outcome is there and the loop closed.
---@param fn fun(future: weft.Future)
function Future:add_done_callback(fn)
  options.callable(fn, "the callback")
  if core.is_done(self) then
    core.callback(core.loop_of(self), nil, fn, self)
    return
  end
  local extra = core.extra(self, true)
  local callbacks = extra.callbacks or {}
  callbacks[#callbacks + 1] = fn
  extra.callbacks = callbacks
  core.mark(self, "callbacks", true)
end

---Takes a callback back; all occurrences of it.
---@param fn function
---@return integer count how many were there
function Future:remove_done_callback(fn)
  local extra = core.extra(self)
  local callbacks = extra and extra.callbacks
  if not callbacks then
    return 0
  end
  local kept, removed = {}, 0
  for _, callback in ipairs(callbacks) do
    if callback == fn then
      removed = removed + 1
    else
      kept[#kept + 1] = callback
    end
  end
  extra.callbacks = kept
  core.mark(self, "callbacks", #kept > 0)
  return removed
end

---The event loop that it belongs to.
---@return weft.Loop
function Future:get_loop()
  return core.loop_of(self)
end

---Sets the results.
---
---Raises `state` if there is an outcome already; `closed` after the loop was closed.
---@param ... any
function Future:set_result(...)
  core.complete(self, "returned", ...)
end

---Makes the wait for it raise `e`; an error object of kind `cancelled` cancels it.
---
---Raises as `future:set_result`; `type` if `e` is nil.
---@param e any not nil
function Future:set_exception(e)
  if e == nil then
    raise("type", "an error expected, got nil")
  end
  core.complete(self, errors.is_error(e, "cancelled") and "cancelled" or "raised", e)
end

---Cancels it: whoever awaits it gets `cancelled`.
---
---Raises `closed` if there is no outcome and the loop was closed.
---@param message any? the message of the error
---@return boolean cancelled false if there was an outcome already
function Future:cancel(message)
  if core.is_done(self) then
    return false
  end
  if message ~= nil then
    core.extra(self, true).cancel_message = message
  end
  core.complete(self, "cancelled")
  return true
end

for name, method in pairs(Future) do
  Task[name] = method
end

---Asks the task to end: its wait, and each later wait, raises `cancelled`, until the task
---ends or takes it back by `task:uncancel`. A task that has not started never will. What the
---task awaits is cancelled too, and it goes on when that has ended.
---@param message any? the message of the error
---@return boolean requested false if it is done already
function Task:cancel(message)
  if message ~= nil and not core.is_done(self) then
    core.extra(self, true).cancel_message = message
  end
  return core.cancel(self)
end

---How many requests for cancellation were made and not taken back.
---@return integer
function Task:cancelling()
  return core.cancelling(self)
end

---Takes back one request for cancellation.
---@return integer left
function Task:uncancel()
  return core.uncancel(self)
end

---The name: the one given, or "Task-N".
---@return string
function Task:get_name()
  return errors.name_of(self)
end

---Sets the name.
---@param name string
function Task:set_name(name)
  core.extra(self, true).name = tostring(name)
end

---Where a failed task failed and who awaited it, or where a live one is parked; as text.
---@return string?
function Task:traceback()
  return M.traceback(self)
end

local function chain_text(task)
  local co = core.place(task)
  if type(co) ~= "thread" then
    return "not started: " .. errors.defined_at(core.start_of(task))
  end
  local lines = {}
  while co do
    lines[#lines + 1] = debug.traceback(co)
    co = core.resumer(task, co)
  end
  return table.concat(lines, "\nresumed by\n")
end

---The traceback of a task: where it failed, or where it is now. nil when it is done and
---has not failed.
---@param task weft.Task
---@return string?
function M.traceback(task)
  if core.kind_of(task) ~= "task" then
    raise("type", "a task expected, got " .. type(task))
  end
  if core.is_done(task) then
    return errors.failure_text(task)
  end
  return chain_text(task)
end

--- how they show themselves ------------------------------------------------

local STATES = { returned = "finished", raised = "finished", cancelled = "cancelled" }

local function show(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

-- The outcome without counting as looking at it.
local function outcome_text(future)
  local state = core.state(future)
  if state == "raised" then
    return " exception=" .. tostring(core.extra(future)[1])
  elseif state == "returned" then
    local _, value = core.outcome(future)
    return value ~= nil and " result=" .. show(value) or ""
  end
  return ""
end

local function place_of(task)
  local co = core.place(task)
  if type(co) == "thread" then
    while co do
      local place = errors.place(co)
      if place then
        return place
      end
      co = core.resumer(task, co)
    end
  end
  local start = core.start_of(task)
  return start and errors.defined_at(start)
end

---@private
M._place_of = place_of

local function describe(self)
  local class = core.kind_of(self) == "task" and "Task" or "Future"
  local text = ("%s<%s"):format(class, STATES[core.state(self)] or "pending")
  if class == "Task" then
    text = text .. " name=" .. errors.name_of(self)
    local place = not core.is_done(self) and place_of(self)
    if place then
      text = text .. " at " .. place
    end
  end
  return text .. outcome_text(self) .. ">"
end

local function context_of(task)
  local extra = core.extra(task, true)
  if not extra.context then
    extra.context = {}
    core.mark(task, "context", true)
  end
  return extra.context
end

function core.classes.Task.__index(task, key)
  local method = Task[key]
  if method ~= nil then
    return method
  elseif key == "context" then
    return context_of(task)
  end
end

function core.classes.Task.__newindex(task, key, value)
  if key ~= "context" then
    raise("type", ("a task has no field '%s' to set"):format(tostring(key)))
  end
  options.expect(value, "table", "the context")
  core.extra(task, true).context = value
  core.mark(task, "context", true)
end

core.classes.Future.__index = Future
core.classes.Task.__tostring = describe
core.classes.Future.__tostring = describe

--- making -------------------------------------------------------------------

---Starts `fn(...)` as a task of the running loop, at the end of the ready queue. Outside a
---run it belongs to `weft.get_event_loop()` and starts when that runs.
---
---Raises `type` if `fn` cannot be called; `closed` if the loop is closed.
---@param fn async fun(...): ...
---@param ... any
---@return weft.Task
---@diagnostic disable-next-line: assign-type-mismatch
M.create_task = core.create_task

---The same as `weft.create_task`.
---
---Raises as `weft.create_task`.
---@param fn async fun(...): ...
---@param ... any
---@return weft.Task
M.spawn = core.create_task

---A function as a new task; a task or a future as it is.
---
---Raises `type` for anything else; `closed` if the loop is closed.
---@param x weft.Awaitable
---@return weft.Task | weft.Future
function M.ensure_future(x)
  return await._ensure(x)
end

---A future of the running loop, or, outside a run, of `weft.get_event_loop()`.
---
---Raises `closed` if the loop is closed.
---@return weft.Future
function M.create_future()
  return core.future()
end

---The task that is running, or nil outside of tasks (in a callback, say).
---@return weft.Task?
function M.current_task()
  return core.current_task()
end

return M
