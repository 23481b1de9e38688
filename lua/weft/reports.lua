-- SPDX-License-Identifier: MIT
-- weft.reports: what becomes of errors that nobody caught, and of the like: they reach the
-- loop's exception handler.
--
-- Owns: the words of these reports. A function for each kind that src/loop tells (see
-- weft_loop_report); they run outside any task.
-- Must not know: the methods of a loop but for its default handler.

local core = require "weft.core"
local errors = require "weft.error"

local M = {}

-- No tail call: if `fn` yields, it is made to raise at the next instruction of Lua, which
-- must be within the pcall.
local function call(fn, ...)
  fn(...)
  return true
end

-- With the handler that was set, or the default one; an error in the handler does not hide what
-- it was called for.
local function call_exception_handler(loop, context)
  local handler = core.loop_root(loop).exception_handler
  if not handler then
    return loop:default_exception_handler(context)
  end
  local ok, e = pcall(call, handler, loop, context)
  if not ok then
    loop:default_exception_handler({ message = "error in the exception handler",
      exception = errors.wrap(e) })
    loop:default_exception_handler(context)
  end
end

local function report_lost(loop, extra)
  local owner, e = extra.owner, extra[1]
  local is_task = core.kind_of(owner) == "task"
  errors.attribute(e, owner)
  call_exception_handler(loop, {
    message = (is_task and "the error of a task was never retrieved: "
      or "the error of a future was never retrieved: ") .. errors.name_of(owner),
    exception = errors.wrap(e),
    task = is_task and owner or nil,
    future = not is_task and owner or nil,
    traceback = errors.failure_text(owner),
  })
end

function M.callback(loop, handle, e, co)
  local _, _, fn = core.callback_state(handle)
  call_exception_handler(loop, {
    message = "error in a callback defined at " .. errors.defined_at(fn),
    exception = errors.wrap(e), handle = handle, traceback = debug.traceback(co),
  })
end

function M.unretrieved(loop, extra)
  report_lost(loop, extra)
end

function M.lost(loop)
  local root = core.loop_root(loop)
  local lost = root.lost
  root.lost = nil
  for _, extra in ipairs(lost) do
    report_lost(loop, extra)
  end
end

function M.slow(loop, is_task, id, seconds)
  local what = is_task and "Task-" .. id or "a callback"
  for _, task in ipairs(is_task and core.loop_tasks(loop) or {}) do
    if core.id(task) == id then
      what = tostring(task)
    end
  end
  call_exception_handler(loop, { message = ("%s ran for %.3f s without waiting")
    :format(what, seconds), duration = seconds })
end

function M.wakeup(loop)
  local ok, e = pcall(call, core.loop_root(loop).wakeup)
  if not ok then
    call_exception_handler(loop, { message = "error in the function given to on_wakeup",
      exception = errors.wrap(e) })
  end
end

---@private
M.call_exception_handler = call_exception_handler

return M
