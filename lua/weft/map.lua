-- SPDX-License-Identifier: MIT
-- weft.map: a bounded parallel map over a list or an iterator.
--
-- Owns: the window of calls that are running or waiting to be taken, which is all
-- that it holds, however long the input is; and the feeder, a task that calls the
-- iterator and starts the calls, so that an iterator that waits holds no result back.
-- The tasks refer to the state of a map, not to the map: it can be collected.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local combine = require "weft.combine"
local options = require "weft.options"

---@class weft
local M = {}

---The calls of a `weft.map`, to be iterated over by `for`. What is left of it when the loop is
---left early is cancelled by `map:close`, or when the map is collected.
---@class weft.Map
local Map = {}
Map.__index = Map

local OPTIONS = { concurrency = true, ordered = true }
local DEFAULT_CONCURRENCY = 16
local FEEDER = 0x7fffffff -- its index in the latch; those of the calls begin at 1

local function source_of(items)
  if type(items) == "table" and not (getmetatable(items) or {}).__call then
    local i = 0
    return function()
      i = i + 1
      return items[i]
    end
  end
  return options.callable(items, "map: the items (a list or an iterator)")
end

-- Starts a call; false at the end of the input.
local function start(state, item, ...)
  if item == nil or state.closed then
    return false
  end
  state.started, state.held = state.started + 1, state.held + 1
  core.latch_add(state.latch, core.create_task(state.fn, item, ...), state.started)
  return true
end

-- The body of the feeder: starts a call whenever the window has room.
local function feed(state)
  repeat
    while state.held >= state.concurrency do
      local ok = core.park(state.room)
      if ok ~= true then
        await._interrupted(ok)
      end
    end
  until state.closed or not start(state, state.next())
end

local function open(state)
  state.latch = core.latch(state.futures)
  core.latch_add(state.latch, core.create_task(feed, state), FEEDER)
end

local function close(state)
  if state.closed then
    return
  end
  state.closed = true
  for _, future in pairs(state.futures) do
    future:cancel()
  end
  if state.latch then
    core.latch_close(state.latch)
  end
end

-- Cancels what runs, and waits until it has ended.
local function stop(state)
  state.closed = true
  combine._cancel_all(state.latch, state.futures)
end

-- Notes that a call, or the feeder, is done. Returns its index if it is to be given now. In an
-- ordered map each waits for its turn, and a failure of the feeder for what it had started.
local function note_done(state, index)
  if index == FEEDER and core.state(state.futures[FEEDER]) == "returned" then
    state.futures[FEEDER] = nil
  elseif not state.ordered then
    return index
  elseif index == FEEDER then
    state.last = FEEDER
  else
    state.done[index] = true
  end
end

-- Returns as latch_wait, and the index of the next to be given, or nil at the end.
local function await_next(state)
  local index
  repeat
    local want = state.taken + 1
    if state.done[want] then
      return true, want
    end
    local ok = core.latch_wait(state.latch, "any")
    local done = ok == true and core.latch_take(state.latch)
    if not done then
      return ok, not state.closed and state.last or nil
    end
    index = note_done(state, done)
  until index
  return true, index
end

local function give(state, index, _, ...)
  state.futures[index], state.done[index] = nil, nil
  state.taken, state.held = state.taken + 1, state.held - 1
  core.wake(state.room)
  return index, ...
end

-- A step that nobody else is in.
local function advance(state)
  local ok, index = await_next(state)
  local future = state.futures[index]
  if ok ~= true then
    stop(state)
    return ok
  elseif not index then
    state.closed = true
  elseif core.state(future) ~= "returned" then
    stop(state)
  end
  return true, index, future
end

local function step(self)
  local state = self._state
  if state.busy then
    errors.raise("state", "map: another task is in a step of this map")
  elseif state.closed then
    await._checkpoint()
    return nil
  end
  local can_wait = core.can_park()
  if can_wait ~= true then
    if state.latch then -- the consumer is cancelled: nothing is left behind
      stop(state)
    end
    return await._interrupted(can_wait)
  elseif not state.latch then
    open(state)
  end
  state.busy = true
  local ok, index, future = advance(state)
  state.busy = false
  if ok ~= true then
    return await._interrupted(ok)
  elseif not index then
    return nil
  elseif core.state(future) ~= "returned" then
    return await._resolve(future, core.outcome(future))
  end
  return give(state, index, core.outcome(future))
end

---The next step of the iteration: the index of an item and the results of its call; nothing
---at the end.
---
---Raises what the call raised, after the calls that run were cancelled and have ended;
---`cancelled`; `state` outside a task and while another task is in a step.
---@async
---@return integer? index
---@return any ... the results
function Map:next()
  return step(self)
end

---The same as `map:next`: what the generic `for` calls.
---
---Raises as `map:next`.
---@async
---@return integer? index
---@return any ... the results
Map.__call = step

---Cancels the calls that run. Nothing more is started, and the iteration is at its end, for a
---step that is under way in another task too. Idempotent.
function Map:close()
  close(self._state)
end

Map.__close = Map.close

---All (first) results, by the index of their item, with `n`.
---
---Raises as `map:next`.
---@async
---@return {[integer]: any, n: integer}
function Map:collect()
  local results, n = {}, 0
  local index, value = step(self)
  while index do
    results[index] = value
    n = math.max(n, index)
    index, value = step(self)
  end
  results.n = n
  return results
end

function Map:__tostring()
  local state = self._state
  return ("Map<%s started=%d taken=%d>"):format(state.closed and "closed" or "open",
    state.started, state.taken)
end

-- Cancels the calls when the map is collected before its end. Tables have no __gc on
-- LuaJIT, so the map holds a small userdata that has.
local function on_collect(state)
  local function collect()
    close(state)
  end
  if rawget(_G, "newproxy") then
    local proxy = newproxy(true) -- luacheck: ignore 113
    getmetatable(proxy).__gc = collect
    return proxy
  end
  return setmetatable({}, { __gc = collect })
end

---Calls `fn(item)` for each item of a list, or `fn(...)` for what each call of an iterator
---gives, at most `concurrency` (default 16) at a time, and gives the results in the order of
---the input, or, with `ordered = false`, as they come.
---
---Starts at the first step; the iterator is called in a task of its own, and may wait. Each
---step waits, and raises a failure, the iterator's too, when it comes to it, after the calls
---that run were cancelled and have ended.
---
---```lua
---local function fetch(n)
---  weft.sleep(1 / n)
---  return n * n
---end
---
---for i, square in weft.map({ 1, 2, 3 }, fetch, { concurrency = 2, ordered = false }) do
---  print(i, square)
---end
--- --> 2 4
--- --> 3 9
--- --> 1 1
---```
---@param items any[] | fun(): any, ...
---@param fn async fun(...): ...
---@param opts {concurrency: integer?, ordered: boolean?}?
---@return weft.Map
function M.map(items, fn, opts)
  opts = options.check(opts, OPTIONS, "map")
  options.callable(fn, "map: the function")
  local state = {
    next = source_of(items), fn = fn, ordered = opts.ordered ~= false,
    concurrency = options.count(opts.concurrency or DEFAULT_CONCURRENCY, "map: concurrency", 1),
    futures = {}, done = {}, room = core.waitlist(), started = 0, taken = 0, held = 0,
    busy = false, closed = false,
  }
  return setmetatable({ _state = state, _guard = on_collect(state) }, Map)
end

return M
