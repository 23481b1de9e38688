-- SPDX-License-Identifier: MIT
-- weft.testing: tools for testing programs written with weft, and weft itself: a clock
-- that need not be waited for, connections in memory, leak checks, cancellation at every
-- wait.
--
-- Owns: nothing beyond a call. Uses weft's public names and the switches of weft.core
-- that are there for it.

local weft = require "weft"
local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"
local streams = require "weft.stream"

---Tools for testing programs written with weft.
---@class weft.testing
local M = {}

local function virtual_loop()
  local loop = weft.new_event_loop()
  core.loop_set(loop, "virtual", true)
  return loop
end

local function closed(runner, ok, ...)
  runner:close()
  if not ok then
    error((...), 0)
  end
  return ...
end

---Runs `fn(...)` as `weft.run` does, in a loop with a clock of its own that jumps to the next
---timer as soon as every task waits and no I/O is under way: hours of sleep take no time.
---`loop:time()` and all time limits follow it.
---
---Raises as `weft.run`.
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function M.virtual_clock(fn, ...)
  local runner = weft.runner { loop_factory = virtual_loop }
  return closed(runner, pcall(runner.run, runner, fn, ...))
end

---Waits until all other tasks wait for something, and no callback is left to be called.
---
---Raises `cancelled`; `state` outside a task.
---@async
function M.wait_all_parked()
  local loop = weft.get_running_loop()
  local quiet = 0
  while quiet < 2 do
    weft.sleep(0)
    quiet = core.loop_is_quiet(loop) and quiet + 1 or 0
  end
end

---Runs blocks of code, in whichever tasks they are, in the order of their numbers. Made by
---`weft.testing.sequencer`.
---
---```lua
---local seq = require("weft.testing").sequencer()
---weft.gather(function()
---  seq(2, print, "second")
---end, function()
---  seq(1, print, "first")
---  seq(3, print, "third")
---end)
--- --> first
--- --> second
--- --> third
---```
---@class weft.testing.Sequencer
local Sequencer = {}
Sequencer.__index = Sequencer

---Waits until the blocks 1 to n-1 have ended, then calls `fn(...)` (or returns at once, the
---block being over); returns its results.
---
---Raises what `fn` raised; `cancelled`; `state` outside a task, if a block of that number was
---there already, or an earlier one failed.
---@async
---@param n integer 1 or more
---@param fn (async fun(...): ...)?
---@param ... any
---@return any ... the results of fn
function Sequencer:__call(n, fn, ...)
  options.count(n, "the number of the block", 1)
  if self._claimed[n] then
    errors.raise("state", ("sequencer: block %d is there already"):format(n))
  end
  await._checkpoint()
  self._claimed[n] = true
  local ok, e = errors.guarded(self._wait_for, self, n)
  if not ok then
    self:_break(n)
    error(e, 0)
  end
  return self:_leave(n, errors.guarded(fn or function() end, ...))
end

function Sequencer:_event(n)
  self._events[n] = self._events[n] or weft.event()
  return self._events[n]
end

-- `_broken` is the first block that failed: those before it can still come.
function Sequencer:_wait_for(n)
  while self._next < n and not (self._broken and self._broken < n) do
    self:_event(self._next):wait()
  end
  if self._broken and self._broken < n then
    errors.raise("state", ("sequencer: block %d cannot come, an earlier one failed"):format(n))
  end
end

-- Lets everyone look again whether its block can still come.
function Sequencer:_break(n)
  self._broken = math.min(self._broken or n, n)
  local events = self._events
  self._events = {}
  for _, event in pairs(events) do
    event:set()
  end
end

function Sequencer:_leave(n, ok, ...)
  self._next = n + 1
  self:_event(n):set()
  if not ok then
    self:_break(n)
    error((...), 0)
  end
  return ...
end

---Makes a sequencer: `seq(1, fn)`, `seq(2, fn)`, … in whichever tasks run in that order.
---@return weft.testing.Sequencer
function M.sequencer()
  return setmetatable({ _next = 1, _events = {}, _claimed = {} }, Sequencer)
end

--- pairs ------------------------------------------------------------------------

-- What a direction holds by default: as much as a socket of the system does, roughly.
local PAIR_CAPACITY = 64 * 1024

-- A bound, so that a slip does not take all memory.
local PAIR_CAPACITY_MAX = 1024 * 1024 * 1024

-- How many sizes a function gives at most.
local SPLITS_MAX = 4096

local WAY_OPTIONS = { capacity = true, delay = true, splits = true }
local PAIR_OPTIONS = { capacity = true, delay = true, splits = true, a = true, b = true }

-- The sizes of the pieces as a list; nil for no splits.
local function split_sizes(splits)
  local list = splits
  if type(splits) == "function" then
    list = {}
    for i = 1, SPLITS_MAX do
      local size = splits(i)
      if size == nil then
        break
      end
      list[i] = size
    end
  elseif splits ~= nil then
    options.expect(splits, "table", "pair: splits")
  end
  for i, size in ipairs(list or {}) do
    options.count(size, ("pair: size %d of the splits"):format(i), 1)
    if size > PAIR_CAPACITY_MAX then
      errors.raise("type", ("pair: size %d of the splits must be at most %d, got %s"):format(i,
        PAIR_CAPACITY_MAX, size))
    end
  end
  return list
end

local function way_options(all, own, what)
  own = options.check(own, WAY_OPTIONS, what)
  local function pick(key, default)
    if own[key] ~= nil then
      return own[key]
    end
    return all[key] == nil and default or all[key]
  end
  local capacity = options.count(pick("capacity", PAIR_CAPACITY), "pair: capacity", 1)
  if capacity > PAIR_CAPACITY_MAX then
    errors.raise("type", ("pair: capacity must be at most %d, got %s"):format(PAIR_CAPACITY_MAX,
      capacity))
  end
  return capacity, options.number(pick("delay", 0), "pair: delay", 0),
    split_sizes(pick("splits"))
end

---Makes two connected streams in memory, for tests in which the network is not the subject:
---what is written to one is read from the other. They need no descriptors and wait for nothing
---but each other, so that a virtual clock jumps over their delays, and a reader whose peer will
---never write is a deadlock that is found.
---
---Options, for both directions, or in a table `a` for what the first stream receives and `b`
---for what the second one does:
---`capacity`, the bytes that may be under way: a write into a full direction waits (default
---64 KiB); `delay`, the seconds by the loop's clock after which what was written, and the end of
---the stream, can be read (default 0); `splits`, the most bytes that each receiving gives: a list
---of sizes, begun again at its end, or a function that is called with 1, 2, … at once for up to
---4,096 of them or until it gives nil. `{1}` is byte by byte; between two pieces the reader is
---suspended.
---
---Either stream can be closed or collected first; its peer still reads what was under way.
---
---Raises `type` for options that cannot be.
---@param opts {capacity: integer?, delay: number?, splits: any, a: table?, b: table?}?
---@return weft.Stream a
---@return weft.Stream b
function M.pair(opts)
  opts = options.check(opts, PAIR_OPTIONS, "pair")
  local capacity, delay, splits = way_options(opts, opts.a, "pair: a")
  local a, b = core.pair(capacity, delay, splits, way_options(opts, opts.b, "pair: b"))
  if not a then
    error("not enough memory", 0)
  end
  core.stream_table(a).name, core.stream_table(b).name = "pair a", "pair b"
  return a, b
end

---Makes a stream of a pair fail once it has received `after` more bytes (default 0: now), also
---in the middle of a wait. "reset": both streams are broken, with `connection`, code
---"ECONNRESET"; what was under way is lost. "timeout": this one is broken, code "ETIMEDOUT", the
---other is not told, as when a cable is cut. "eof": this one reads the end of the stream, though
---its peer did not end it. There only once `weft.testing` was loaded.
---
---Raises `type`; `closed`; `state` for a stream that is none of a pair.
---@param kind "reset"|"eof"|"timeout"
---@param after integer? bytes
function streams._Stream:fault(kind, after)
  options.expect(kind, "string", "the fault")
  core.pair_fault(self, kind, options.count(after or 0, "the number of bytes", 0))
end

--- leaks ------------------------------------------------------------------------

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do
    set[item] = true
  end
  return set
end

local function snapshot(loop)
  local counts = core.loop_statistics(loop)
  return { tasks = set_of(core.loop_tasks(loop)), handles = counts.handles,
    requests = counts.requests, descriptors = set_of(core.descriptors()) }
end

-- What is there that was not there before, in words; nil for nothing.
local function leaked(loop, before)
  local lines = {}
  for _, task in ipairs(core.loop_tasks(loop)) do
    if not before.tasks[task] then
      lines[#lines + 1] = "a task has not ended: " .. tostring(task)
    end
  end
  local handles = core.loop_statistics(loop).handles - before.handles
  if handles > 0 then
    lines[#lines + 1] = handles .. " handles are open"
  end
  for _, fd in ipairs(core.descriptors()) do
    if not before.descriptors[fd] then
      lines[#lines + 1] = "descriptor " .. fd .. " is open"
    end
  end
  return lines[1] and table.concat(lines, "; ") or nil
end

-- Seconds for which work that nobody waits for any more may go on in other threads.
local SETTLING = 10

-- Lets the work end that was left behind, on its threads, by waits that were broken off: only
-- then does it close and undo what it made.
local function settle(loop, before)
  local deadline = os.time() + SETTLING
  weft.sleep(0)
  while core.loop_statistics(loop).requests > before.requests and os.time() < deadline do
    weft.sleep(0)
  end
end

local function checked(loop, before, ok, ...)
  if not ok then
    error((...), 0)
  end
  settle(loop, before)
  local text = leaked(loop, before)
  if text then
    errors.raise("state", "leak: " .. text, { code = "leak" })
  end
  return ...
end

local function in_loop(fn, ...)
  if core.in_task() then
    return fn(...)
  end
  return weft.run(fn, ...)
end

local function with_leak_check(fn, ...)
  local loop = weft.get_running_loop()
  local before = snapshot(loop)
  return checked(loop, before, errors.guarded(fn, ...))
end

---Calls `fn(...)`, in a fresh run unless inside a task, and returns its results.
---
---Raises what `fn` raised; `state`, code "leak", if tasks, handles or descriptors are left that
---were not there before.
---@async
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function M.leaks(fn, ...)
  options.callable(fn, "the function")
  return in_loop(with_leak_check, fn, ...)
end

--- adversity -----------------------------------------------------------------------

-- One run of fn in which a wait is broken off. Returns whether the wait was reached, and
-- what went wrong, or nil.
local function cancelled_run(fn, n, every_task, check)
  local reached, problem = false, nil
  local ok, e = pcall(M.virtual_clock, function()
    local loop = weft.get_running_loop()
    local before = snapshot(loop)
    local task = weft.create_task(fn)
    if every_task then
      core.loop_trap(loop, nil, n + 1) -- the first wait is the one for the task, just below
    else
      core.loop_trap(loop, task, n)
    end
    local finished, failure = pcall(weft.shield, task)
    reached = core.loop_trap_left(loop) == 0
    core.loop_trap(loop, nil, 0)
    if not finished and not errors.is_error(failure, "cancelled") then
      problem = "it raised " .. tostring(failure)
    end
    settle(loop, before)
    problem = problem or leaked(loop, before)
    if not problem and check then
      local fine, message = pcall(check, n)
      problem = not fine and tostring(message) or nil
    end
  end)
  if not ok then
    problem = tostring(e)
  end
  return reached, problem
end

---Runs `fn()` again and again, each time in a fresh loop with a virtual clock, cancelling it
---at its 1st, 2nd, … wait, until it ends without reaching that many. With the option
---`every_task`, the waits of the tasks that it makes count too, and it is those that are
---cancelled. `check(n)` is called after each run, in its loop: to raise if something is wrong.
---
---Raises `state`, code "leak", with a line for each run that leaked, hung, or raised anything
---but `cancelled`.
---@param fn async fun()
---@param check (async fun(n: integer))?
---@param opts {every_task: boolean?}?
---@return integer runs how many waits were broken off
function M.cancel_everywhere(fn, check, opts)
  options.callable(fn, "the function")
  opts = options.check(opts, { every_task = true }, "cancel_everywhere")
  local problems, n = {}, 0
  repeat
    n = n + 1
    local reached, problem = cancelled_run(fn, n, opts.every_task, check)
    if problem then
      problems[#problems + 1] = ("cancelled at wait %d: %s"):format(n, problem)
    end
  until not reached
  if problems[1] then
    errors.raise("state", table.concat(problems, "\n"), { code = "leak" })
  end
  return n - 1
end

local function restored(loop, ok, ...)
  core.loop_set(loop, "gc_stress", false)
  if not ok then
    error((...), 0)
  end
  return ...
end

---Calls `fn(...)`, in a fresh run unless inside a task, with a full garbage collection before
---each step of a task.
---
---Raises what `fn` raised.
---@async
---@param fn async fun(...): ...
---@param ... any
---@return any ... the results of fn
function M.gc_stress(fn, ...)
  options.callable(fn, "the function")
  return in_loop(function(...)
    local loop = weft.get_running_loop()
    core.loop_set(loop, "gc_stress", true)
    return restored(loop, errors.guarded(fn, ...))
  end, ...)
end

local function allowed(...)
  core.fail_allocation(0)
  return ...
end

---Calls `fn(...)` and lets the n-th allocation of weft's own C code fail. Returns as `pcall`.
---This waits only where `fn` does, and can be called outside tasks too.
---
---Raises nothing that `fn` raised.
---@async
---@param n integer 1 or more
---@param fn async fun(...): ...
---@param ... any
---@return boolean ok
---@return any ... the results, or the error
function M.fail_allocation(n, fn, ...)
  options.count(n, "the number of the allocation", 1)
  options.callable(fn, "the function")
  core.fail_allocation(n)
  return allowed(pcall(fn, ...))
end

return M
