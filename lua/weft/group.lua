-- SPDX-License-Identifier: MIT
-- weft.group: structured concurrency: tasks that end before the function that made them.
--
-- Owns: the children of a task_group, their failures, and which error comes out.
-- Must not know: what the children do.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

---@class weft
local M = {}

---The group that `weft.task_group` passes to its function.
---@class weft.TaskGroup
local TaskGroup = {}
TaskGroup.__index = TaskGroup

-- Notes a failure. An error object that is there already came to this task from that one,
-- which it awaited.
local function add_failure(self, child, e)
  if type(e) ~= "table" or not self._seen[e] then
    self._failures[#self._failures + 1] = { value = e, task = child }
  end
  if e ~= nil and e == e then -- a nil or a NaN is no key
    self._seen[e] = true
  end
end

-- The same for the function's own failure, which stands first. Only a task of the group can
-- have failed with the very same before, be it a string.
local function add_own_failure(self, e)
  if not errors.is_error(e, "cancelled") and (e == nil or not self._seen[e]) then
    table.insert(self._failures, 1, { value = e })
  end
end

-- Lets go of the children that are done, so that a long-lived group does not grow.
local function reap(self)
  local index = core.latch_take(self._latch)
  while index do
    local child = self._children[index]
    self._children[index] = nil
    if core.state(child) == "raised" then
      local _, e = core.outcome(child)
      errors.attribute(e, child)
      add_failure(self, child, e)
    end
    index = core.latch_take(self._latch)
  end
end

-- `again`: those that are being cancelled are left in peace. If they wait for the group's own
-- task, the two would else cancel each other for ever.
local function cancel_children(self, again)
  for _, child in pairs(self._children) do
    if not again or core.cancelling(child) == 0 then
      core.cancel(child)
    end
  end
end

-- The first failure: breaks off the body's wait and cancels the siblings.
local function abort(self)
  if not self._aborting then
    self._aborting = true
    core.scope_reschedule(self._scope, 0)
    cancel_children(self)
  end
end

local function child_ended(self, ok, ...)
  if ok then
    return ...
  end
  local e = ...
  if not errors.is_error(e, "cancelled") then
    abort(self)
  end
  error(e, 0)
end

local function run_child(self, fn, ...)
  return child_ended(self, errors.guarded(fn, ...))
end

---Starts `fn(...)` as a task that the group waits for.
---
---Raises `state` once the group has ended (code "group_ended"), or is ending because of a
---failure or a cancellation (code "group_ending").
---@param fn async fun(...): ...
---@param ... any
---@return weft.Task
function TaskGroup:create_task(fn, ...)
  options.callable(fn, "the function")
  if self._ended then
    errors.raise("state", "the task group has ended", { code = "group_ended" })
  elseif self._aborting then
    errors.raise("state", "the task group is ending", { code = "group_ending" })
  end
  reap(self)
  self._count = self._count + 1
  local child = core.create_task(run_child, self, fn, ...)
  core.latch_add(self._latch, child, self._count)
  return child
end

function TaskGroup:__tostring()
  local n = 0
  for _ in pairs(self._children) do
    n = n + 1
  end
  return ("TaskGroup<%s tasks=%d>"):format(
    self._ended and "ended" or self._aborting and "ending" or "open", n)
end

-- Waits for all children, those made meanwhile too. A cancellation goes on to them. Returns
-- whether there was one.
local function join(self)
  local ok, is_cancelled
  repeat
    ok = core.latch_wait(self._latch, "all", is_cancelled)
    if ok ~= true then
      cancel_children(self, is_cancelled)
      is_cancelled, self._aborting = true, true
    end
  until ok == true and core.latch_counts(self._latch) == 0
  reap(self)
  return is_cancelled
end

local function raise_failures(failures)
  if #failures == 1 then
    local failure = failures[1]
    if failure.task then
      errors.note(failure.value, failure.task)
    end
    error(failure.value, 0)
  end
  local list = {}
  for i, failure in ipairs(failures) do
    list[i] = errors.wrap(failure.value)
  end
  errors.raise("group", #list .. " tasks of the group failed", { errors = list })
end

local function finish(self, ok, ...)
  if not ok then
    abort(self)
  end
  core.scope_leave(self._scope)
  local is_cancelled = join(self)
  self._ended = true
  core.latch_close(self._latch)
  if not ok then
    add_own_failure(self, (...))
  end
  if #self._failures > 0 then
    raise_failures(self._failures)
  end
  if not ok or is_cancelled then
    await._checkpoint()
  end
  if not ok then
    error((...), 0)
  end
  return ...
end

---Calls `fn(group)`; tasks made by `task_group:create_task` end before it returns. The first
---failure, of a task or of `fn`, cancels the others and breaks off the wait in which `fn` is;
---when all have ended, one failure is raised as it is, several as one error of kind `group`.
---Returns what `fn` returned.
---
---Raises the failure, or `group`; `cancelled`; `state` outside a task.
---
---```lua
---local sum = weft.task_group(function(group)
---  local a = group:create_task(weft.sleep, 1, 20)
---  local b = group:create_task(weft.sleep, 2, 22)
---  return a:await() + b:await()
---end)
---print(sum) --> 42
---```
---@async
---@param fn async fun(group: weft.TaskGroup): ...
---@return any ... the results of fn
function M.task_group(fn)
  options.callable(fn, "the function")
  await._before_wait()
  local children = {}
  local self = setmetatable({
    _children = children, _latch = core.latch(children), _failures = {}, _seen = {},
    _count = 0, _scope = core.scope(), _aborting = false, _ended = false,
  }, TaskGroup)
  return finish(self, errors.guarded(fn, self))
end

return M
