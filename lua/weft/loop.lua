-- SPDX-License-Identifier: MIT
-- weft.loop: the methods of event loops.
--
-- Owns: run_until_complete and its deadlock report, the exception handler, signal
-- handlers, the default loop. The turn itself is in src/loop/loop.c.
-- Must not know: run, Ctrl-C, clean-up at exit (weft.runner).

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"
local inspect = require "weft.inspect"
local reports = require "weft.reports"

local raise = errors.raise

---@class weft
local M = {}

---An event loop. Made by `weft.new_event_loop`, and for each run by `weft.run`.
---@class weft.Loop
---@field slow_callback_duration number seconds, 0.1 at first; for `loop:set_debug`
local Loop = {}

---A call that was scheduled, as `loop:call_soon`, `loop:call_later` and `loop:call_at` return
---it.
---@class weft.Handle
local Handle = {}

--- errors nobody caught --------------------------------------------------------

---Sets what is called for errors that nobody caught: `fn(loop, context)`, the context having
---`message` and, where they apply, `exception`, `task`, `future`, `handle`, `traceback`. nil
---restores the default.
---@param fn fun(loop: weft.Loop, context: table)?
function Loop:set_exception_handler(fn)
  if fn ~= nil then
    options.callable(fn, "the exception handler")
  end
  core.loop_root(self).exception_handler = fn
end

---The exception handler that was set, or nil.
---@return (fun(loop: weft.Loop, context: table))?
function Loop:get_exception_handler()
  return core.loop_root(self).exception_handler
end

---Calls the exception handler. An error in it goes to `loop:default_exception_handler`.
---@param context table
function Loop:call_exception_handler(context)
  reports.call_exception_handler(self, options.expect(context, "table", "the context"))
end

---What happens without an exception handler: the context goes to stderr.
---@param context table
function Loop:default_exception_handler(context) -- luacheck: no self
  local lines = { "weft: " .. tostring(context.message) }
  if context.exception ~= nil then
    lines[#lines + 1] = tostring(context.exception)
  end
  if context.traceback then
    lines[#lines + 1] = context.traceback
  end
  io.stderr:write(table.concat(lines, "\n"), "\n")
end

--- running -----------------------------------------------------------------------

local function deadlock(loop)
  local lines = {}
  for _, task in ipairs(core.loop_tasks(loop)) do
    lines[#lines + 1] = inspect._describe(task)
  end
  local text = #lines == 0 and "there is no task, and nothing can wake the loop"
    or #lines == 1 and "the only task waits and nothing can wake it: "
    or ("all %d tasks wait and nothing can wake them: "):format(#lines)
  raise("state", "deadlock: " .. text .. table.concat(lines, "; "), { code = "deadlock" })
end

---Runs the loop until a task, a future or a function (run as a task) is done; returns its
---results or raises what it raised.
---
---Raises what `x` raised; `cancelled` if it was cancelled; `state` if a loop runs already, if
---`x` belongs to another one, with the code "stopped" if `stop` was called before the end, and
---with the code "deadlock" if every task waits and nothing can wake one; `closed`.
---@param x weft.Awaitable
---@return any ... the results of x
function Loop:run_until_complete(x)
  core.loop_check(self)
  if type(x) ~= "userdata" or not core.kind_of(x) then
    x = core.loop_create_task(self, x)
  elseif core.loop_of(x) ~= self then
    raise("state", "the task or future belongs to another event loop")
  end
  local how = core.loop_run(self, x, false)
  if how == "idle" then
    deadlock(self)
  elseif how == "stopped" then
    raise("state", "the event loop was stopped before the end", { code = "stopped" })
  end
  return await._resolve(x, core.outcome(x))
end

---Runs the loop until `loop:stop` is called.
---
---Raises `state` if a loop runs already; `closed`.
function Loop:run_forever()
  core.loop_run(self, nil, true)
end

---Ends `loop:run_forever` (and `loop:run_until_complete`, which raises then) after the current
---turn; called before them, after the first turn.
---
---Raises `closed`.
function Loop:stop()
  core.loop_stop(self)
end

-- What was asked for before: see M._at_close.
local function call_at_close(self, root)
  local list = root.at_close or {}
  root.at_close = nil
  for _, fn in ipairs(list) do
    local ok, e = pcall(fn)
    if not ok then
      reports.call_exception_handler(self, { exception = e,
        message = "error in what was to be closed with the loop" })
    end
  end
end

---Calls `fn()` before the loop is closed, outside of any task: for what belongs to a loop.
---@private
---@param loop weft.Loop
---@param fn fun()
function M._at_close(loop, fn)
  local root = core.loop_root(loop)
  root.at_close = root.at_close or {}
  table.insert(root.at_close, fn)
end

---Closes the loop and all that it owns. Tasks that have not ended never will, which is
---reported to the exception handler, as are errors that nobody looked at. Idempotent.
---
---Raises `state` while the loop runs.
function Loop:close()
  local state = core.loop_state(self)
  if state == "open" then
    for _, task in ipairs(core.loop_tasks(self)) do
      reports.call_exception_handler(self, { task = task,
        message = "the loop was closed before a task had ended: " .. inspect._describe(task) })
    end
    local root = core.loop_root(self)
    call_at_close(self, root)
    if root.lost then
      reports.lost(self)
    end
    local failures = {}
    for failure in pairs(core.loop_unretrieved(self)) do
      failures[#failures + 1] = failure
    end
    for _, failure in ipairs(failures) do
      core.failure_report(failure)
    end
    root.signals = nil
  end
  core.loop_close(self)
end

---True while it runs, also during a turn that a host asked for.
---@return boolean
function Loop:is_running()
  return core.loop_state(self) == "running"
end

---True after `loop:close`.
---@return boolean
function Loop:is_closed()
  return core.loop_state(self) == "closed"
end

---The loop's clock: seconds, monotonic, from an arbitrary start.
---@return number seconds
function Loop:time()
  return core.loop_time(self)
end

--- scheduling ----------------------------------------------------------------------

---Calls `fn(...)` in the next turn, behind what is ready already. It runs outside any task:
---it cannot wait, and an error in it goes to the exception handler.
---
---Raises `closed`.
---@param fn fun(...)
---@param ... any
---@return weft.Handle
function Loop:call_soon(fn, ...)
  return core.callback(self, nil, options.callable(fn, "the callback"), ...)
end

---Calls `fn(...)` as `loop:call_soon` does, after `delay` seconds.
---
---Raises `closed`.
---@param delay number seconds; less than 0 is 0
---@param fn fun(...)
---@param ... any
---@return weft.Handle
function Loop:call_later(delay, fn, ...)
  options.number(delay, "the delay")
  return core.callback(self, core.loop_time(self) + math.max(delay, 0),
    options.callable(fn, "the callback"), ...)
end

---Calls `fn(...)` as `loop:call_soon` does, at a time of the loop's clock.
---
---Raises `closed`.
---@param when number seconds, as `loop:time()`
---@param fn fun(...)
---@param ... any
---@return weft.Handle
function Loop:call_at(when, fn, ...)
  return core.callback(self, options.number(when, "the time"),
    options.callable(fn, "the callback"), ...)
end

---Starts `fn(...)` as a task of this loop.
---
---Raises `type` if `fn` cannot be called; `closed`.
---@param fn async fun(...): ...
---@param ... any
---@return weft.Task
function Loop:create_task(fn, ...)
  return core.loop_create_task(self, fn, ...)
end

---A future of this loop.
---
---Raises `closed`.
---@return weft.Future
function Loop:create_future()
  return core.future(self)
end

---Takes the call back. Idempotent.
function Handle:cancel()
  core.callback_cancel(self)
end

---True if it was taken back before it ran.
---@return boolean
function Handle:cancelled()
  return core.callback_state(self) == "cancelled"
end

---The time at which it is due, by the loop's clock; nil for `loop:call_soon`.
---@return number? seconds
function Handle:when()
  local _, when = core.callback_state(self)
  return when
end

core.classes.Callback.__index = Handle

function core.classes.Callback.__tostring(self)
  local state, when, fn = core.callback_state(self)
  return ("Handle<%s%s at %s>"):format(state, when and (" when=%.3f"):format(when) or "",
    errors.defined_at(fn))
end

--- debug mode ------------------------------------------------------------------------

---Debug mode: tasks remember where they were made, and a task or callback that runs longer than
---`loop.slow_callback_duration` without waiting is reported to the exception handler.
---
---Raises `closed`.
---@param flag boolean
function Loop:set_debug(flag)
  core.loop_set(self, "debug", flag)
end

---True in debug mode.
---@return boolean
function Loop:get_debug()
  return core.loop_get(self, "debug")
end

--- signals ----------------------------------------------------------------------------

local SIGNALS = core.signals

---The number of a signal given by name ("SIGINT") or by number.
---@private
function M._signal_number(name)
  if type(name) == "number" then
    return options.count(name, "the number of a signal", 1)
  end
  local number = SIGNALS[name]
  if not number then
    raise("type", ("unknown signal '%s' (did you mean '%s'?)"):format(tostring(name),
      options.nearest(tostring(name), SIGNALS)))
  end
  return number
end

---@private
function M._has_signal_handler(loop, number)
  local signals = core.loop_root(loop).signals
  return signals ~= nil and signals[number] ~= nil
end

---Calls `fn(...)` through the loop whenever the process gets the signal, in place of the
---signal's effect. One handler for each signal; the latest counts.
---
---Raises `type` for an unknown name; `os` for a signal that cannot be handled; `closed`.
---@param name string | integer "SIGTERM", say
---@param fn fun(...)
---@param ... any
function Loop:add_signal_handler(name, fn, ...)
  local number = M._signal_number(name)
  options.callable(fn, "the signal handler")
  local root = core.loop_root(self)
  local signal = core.signal(self, number, false, false, fn, ...)
  self:remove_signal_handler(number)
  root.signals = root.signals or {}
  root.signals[number] = signal
end

---Removes the handler of a signal, which has its default effect again.
---
---Raises `type` for an unknown name.
---@param name string | integer
---@return boolean removed whether there was a handler
function Loop:remove_signal_handler(name)
  local number = M._signal_number(name)
  local signals = core.loop_root(self).signals
  local signal = signals and signals[number]
  if not signal then
    return false
  end
  signals[number] = nil
  core.signal_close(signal)
  return true
end

--- guest mode --------------------------------------------------------------------------

---A descriptor that is readable when the loop has I/O to do, for a host that owns the
---thread. It belongs to the loop: only watch it.
---
---Raises `closed`.
---@return integer
function Loop:fileno()
  return core.loop_fileno(self)
end

---Seconds until `loop:run_once` has something to do: 0 for now, nil for not until the
---descriptor is readable.
---
---Raises `closed`.
---@return number? seconds
function Loop:next_timeout()
  return core.loop_next_timeout(self)
end

---One turn: runs what is ready, then looks for I/O and timers; waits for them only if
---`block` is true and nothing is ready. Raises no error of a task or callback.
---
---Raises `state` from inside a turn; `closed`.
---@param block boolean?
---@return boolean alive whether there is more to do; see `loop:alive`
function Loop:run_once(block)
  core.loop_check(self)
  if core.loop_alive(self) or core.loop_next_timeout(self) == 0 then -- 0: a stop, say
    core.loop_turn(self, block and core.loop_can_wake(self))
  end
  return core.loop_alive(self)
end

---True while there are unfinished tasks, timers or handles.
---@return boolean
function Loop:alive()
  return core.loop_alive(self)
end

---Sets what is called when work is added from outside a turn, so that the host asks
---`loop:next_timeout` again; nil takes it back.
---
---Raises `closed`.
---@param fn fun()?
function Loop:on_wakeup(fn)
  if fn ~= nil then
    options.callable(fn, "the function")
  end
  core.loop_root(self).wakeup = fn
  core.loop_set(self, "wakeup", fn ~= nil)
end

---Counts: live `tasks`, `timers`, `handles`, pooled `threads`, tasks and futures `created`,
---`steps` run.
---@return table<string, integer>
function Loop:statistics()
  return core.loop_statistics(self)
end

--- the class ------------------------------------------------------------------------------

local class = core.classes.Loop

function class.__index(self, key)
  local method = Loop[key]
  if method ~= nil then
    return method
  elseif key == "slow_callback_duration" then
    return core.loop_get(self, "slow")
  end
end

function class.__newindex(self, key, value)
  if key ~= "slow_callback_duration" then
    raise("type", ("an event loop has no field '%s' to set"):format(tostring(key)))
  end
  core.loop_set(self, "slow", options.number(value, "slow_callback_duration"))
end

function class.__tostring(self)
  return ("Loop<%s tasks=%d>"):format(core.loop_state(self), core.loop_statistics(self).tasks)
end

class.__close = Loop.close

---Makes an event loop.
---@return weft.Loop
function M.new_event_loop()
  local loop = core.loop_new()
  core.loop_set(loop, "report", function(what, ...)
    return reports[what](loop, ...)
  end)
  return loop
end

local default

---The running loop, or else the one set by `weft.set_event_loop`, or else one made on first
---use (or when the last one was closed, or is a parent process's).
---@return weft.Loop
function M.get_event_loop()
  local running = core.running_loop()
  if running then
    return running
  end
  local state = default and core.loop_state(default)
  if state ~= "open" and state ~= "running" then
    default = M.new_event_loop()
  end
  return default
end

---Sets what `weft.get_event_loop` gives outside a run; nil: a new one when asked for.
---@param loop weft.Loop?
function M.set_event_loop(loop)
  if loop ~= nil then
    core.loop_state(loop)
  end
  default = loop
end

---The loop that is in a turn.
---
---Raises `state` if none is.
---@return weft.Loop
function M.get_running_loop()
  return core.running_loop() or raise("state", "no event loop is running")
end

core.set_default_loop(M.get_event_loop)

return M
