-- SPDX-License-Identifier: MIT
-- weft.runner: a run from start to end: a fresh loop, a main task, Ctrl-C, clean-up.
--
-- Owns: the order in which a run is wound up. Everything in it is done with the public
-- methods of loops and tasks.

local core = require "weft.core"
local errors = require "weft.error"
local loops = require "weft.loop"
local options = require "weft.options"

---@class weft
local M = {}

---Runs functions in one loop, which it makes and closes. Made by `weft.runner`. Its loop, and
---with it timers, futures and queues, stays from one run to the next.
---@class weft.Runner
local Runner = {}
Runner.__index = Runner

local OPTIONS = { debug = true, loop_factory = true, handle_sigint = true }

local function check_open(self)
  if self._closed then
    errors.raise("closed", "the runner is closed")
  end
end

---The runner's loop, made on first use.
---
---Raises `closed`.
---@return weft.Loop
function Runner:get_loop()
  check_open(self)
  if not self._loop then
    self._loop = self._factory()
    if self._debug ~= nil then
      self._loop:set_debug(self._debug)
    end
  end
  return self._loop
end

-- Cancels the tasks that are left, waits until they have ended, and reports those that
-- failed on the way.
local function wind_up(loop)
  local tasks = core.loop_tasks(loop)
  while #tasks > 0 do
    for _, task in ipairs(tasks) do
      task:cancel()
    end
    local how
    for _, task in ipairs(tasks) do
      if not core.is_done(task) then
        how = core.loop_run(loop, task, false)
        if how == "idle" then
          return -- deadlocked in its clean-up: closing the loop reports it
        end
      end
    end
    for _, task in ipairs(tasks) do
      if core.is_done(task) and core.state(task) == "raised" then
        loop:call_exception_handler({ message = "error in a task while the run was ending: "
          .. errors.name_of(task), exception = task:exception(), task = task,
          traceback = errors.failure_text(task) })
      end
    end
    tasks = core.loop_tasks(loop)
  end
end

local SIGINT = core.signals.SIGINT

-- The first Ctrl-C cancels the main task; by then the signal has its default effect again,
-- so that a second one ends the process even if a task never waits. A handler that the
-- program added in the meantime comes in its place.
local function on_interrupt(self, main)
  if loops._has_signal_handler(self._loop, SIGINT) then
    self._signal = core.signal(self._loop, SIGINT, true, true, on_interrupt, self, main)
    return
  end
  self._interrupted = true
  main:cancel("interrupted")
end

local function finish(self, main, ok, ...)
  if self._signal then
    core.signal_close(self._signal)
    self._signal = nil
  end
  if self._interrupted and core.is_done(main) and core.state(main) == "cancelled" then
    error(errors.new("interrupt", "interrupted", { cause = (...) }), 0)
  end
  if not ok then
    error((...), 0)
  end
  return ...
end

---Runs `fn(...)` as the main task and returns or raises what it did. Ctrl-C cancels it, and
---when it has ended by that, `interrupt` is raised.
---
---Raises what `fn` raised; `interrupt`; `state` inside a running loop, and, with the code
---"deadlock", if every task waits and nothing can wake one; `closed`.
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function Runner:run(fn, ...)
  check_open(self)
  options.callable(fn, "the function")
  local loop = self:get_loop()
  core.loop_check(loop)
  local main = loop:create_task(fn, ...)
  main:set_name("main")
  self._main, self._interrupted = main, false
  if self._handle_sigint then
    self._signal = core.signal(loop, SIGINT, true, true, on_interrupt, self, main)
  end
  return finish(self, main, pcall(loop.run_until_complete, loop, main))
end

---Cancels the tasks that are left, waits for them, and closes the loop. Idempotent.
---
---Raises `state` inside a running loop.
function Runner:close()
  if self._closed then
    return
  end
  if self._loop and not self._loop:is_closed() then
    core.loop_check(self._loop)
  end
  self._closed = true
  if self._loop then
    local ok, e = pcall(wind_up, self._loop)
    self._loop:close()
    if not ok then
      error(e, 0)
    end
  end
end

Runner.__close = Runner.close

function Runner:__tostring()
  return ("Runner<%s>"):format(self._closed and "closed" or "open")
end

---Makes a runner. Options: `debug` (as `loop:set_debug`), `loop_factory` (what makes the
---loop), `handle_sigint` (default true: Ctrl-C cancels the main task).
---@param opts {debug: boolean?, loop_factory: (fun(): weft.Loop)?, handle_sigint: boolean?}?
---@return weft.Runner
function M.runner(opts)
  opts = options.check(opts, OPTIONS, "runner")
  return setmetatable({
    _debug = opts.debug, _factory = opts.loop_factory or loops.new_event_loop,
    _handle_sigint = opts.handle_sigint ~= false, _closed = false,
  }, Runner)
end

local function closed(runner, ok, ...)
  runner:close()
  if not ok then
    error((...), 0)
  end
  return ...
end

local function run_in(runner, fn, ...)
  options.callable(fn, "the function")
  if core.running_loop() then
    errors.raise("state", "weft.run cannot be called from inside a running event loop",
      { code = "ENESTED" })
  end
  return closed(runner, pcall(runner.run, runner, fn, ...))
end

---Runs `fn(...)` in a fresh loop as its main task; on the way out the tasks that are left are
---cancelled and awaited, and the loop is closed. Returns or raises what `fn` did.
---
---Raises what `fn` raised; `interrupt` after Ctrl-C; `state` inside a running loop, and, with
---the code "deadlock", if every task waits and nothing can wake one.
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function M.run(fn, ...)
  return run_in(M.runner(), fn, ...)
end

-- The error of a script and where it was raised: an error object knows, for any other
-- value the main task does.
local function report(runner, e)
  local traceback
  if errors.is_error(e) then
    traceback = e.traceback
  elseif runner._main then
    traceback = errors.failure_text(runner._main)
  end
  io.stderr:write(tostring(e), "\n", traceback or "", traceback and "\n" or "")
end

---For scripts: runs `fn(...)` as `weft.run` does, then ends the process: with status 0; 1
---after an error, with its traceback on stderr; 130 after Ctrl-C. Does not return.
---@param fn async fun(...): ...
---@param ... any
function M.main(fn, ...)
  local runner = M.runner()
  local ok, e = pcall(run_in, runner, fn, ...)
  if ok then
    os.exit(0, true)
  elseif errors.is_error(e, "interrupt") then
    os.exit(130, true)
  end
  report(runner, e)
  os.exit(1, true)
end

return M
