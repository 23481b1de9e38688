-- SPDX-License-Identifier: MIT
-- weft.map: a bounded parallel map over a list or an iterator.
--
-- Owns: the window of calls that are running or waiting to be taken, which is all
-- that it holds, however long the input is.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local combine = require "weft.combine"
local options = require "weft.options"

---@class weft
local M = {}

---The calls of a `weft.map`, to be iterated over.
---@class weft.Map
local Map = {}
Map.__index = Map

local OPTIONS = { concurrency = true, ordered = true }
local DEFAULT_CONCURRENCY = 16

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

local function start(self, item, ...)
  if item == nil then
    self._exhausted = true
    return
  end
  self._started = self._started + 1
  core.latch_add(self._latch, core.create_task(self._fn, item, ...), self._started)
  self._held = self._held + 1
end

-- Starts calls while the window has room.
local function fill(self)
  while not self._exhausted and self._held < self._concurrency do
    start(self, self._next())
  end
end

local function stop(self)
  self._exhausted, self._closed, self._held = true, true, 0
  combine._cancel_all(self._latch, self._futures)
end

local function give(self, index, ok, ...)
  self._futures[index] = nil
  self._done[index] = nil
  self._held = self._held - 1
  if ok == true then
    return index, ...
  end
  return false, ...
end

-- The index of the next call to be given, or nil at the end.
local function await_next(self)
  while true do
    local want = self._taken + 1
    if self._ordered and self._done[want] then
      return want
    end
    if self._held == 0 then
      return nil
    end
    local ok = core.latch_wait(self._latch, "any")
    if ok ~= true then
      stop(self)
      await._interrupted(ok)
    end
    local index = core.latch_take(self._latch)
    if not self._ordered or core.state(self._futures[index]) ~= "returned" then
      return index
    end
    self._done[index] = true
  end
end

local function step(self)
  if self._busy then
    errors.raise("state", "map: another task is in a step of this map")
  elseif self._closed then
    return nil
  end
  await._checkpoint()
  self._latch = self._latch or core.latch(self._futures)
  self._busy = true
  local filled, e = errors.guarded(fill, self)
  if not filled then
    self._busy = false
    stop(self)
    error(e, 0)
  end
  local index = await_next(self)
  if not index then
    self._busy, self._closed = false, true
    return nil
  end
  self._taken = self._taken + 1
  local future = self._futures[index]
  if core.state(future) == "returned" then
    self._busy = false
    return give(self, index, core.outcome(future))
  end
  stop(self)
  self._busy = false
  return await._resolve(future, core.outcome(future))
end

---The next step of the iteration: the index of the item and the results of its call.
---@async
---@return integer? index
---@return any ...
function Map:next()
  return step(self)
end

Map.__call = step

---Cancels the calls that run. Nothing more is started.
function Map:close()
  if self._closed then
    return
  end
  self._closed, self._exhausted = true, true
  for _, future in pairs(self._futures) do
    future:cancel()
  end
  if self._latch then
    core.latch_close(self._latch)
  end
end

Map.__close = Map.close

---All (first) results, by the index of their item, with `n`.
---@async
---@return table
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
  return ("Map<%s started=%d taken=%d>"):format(self._closed and "closed" or "open",
    self._started, self._taken)
end

-- Cancels the calls when the map is collected before its end. Tables have no __gc on
-- LuaJIT, so the map holds a small userdata that has.
local function on_collect(self)
  local function collect()
    Map.close(self)
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
---the input, or, with `ordered = false`, as they come:
---`for i, value in weft.map(items, fn, {concurrency = 8}) do … end`.
---
---A failure is raised at its step, after the calls that run were cancelled and have ended.
---@async
---@param items any[] | fun(): any, ...
---@param fn function
---@param opts {concurrency: integer?, ordered: boolean?}?
---@return weft.Map
function M.map(items, fn, opts)
  opts = options.check(opts, OPTIONS, "map")
  options.callable(fn, "map: the function")
  local futures = {}
  local self = {
    _next = source_of(items), _fn = fn, _futures = futures, _done = {},
    _concurrency = options.count(opts.concurrency or DEFAULT_CONCURRENCY,
      "map: concurrency", 1),
    _ordered = opts.ordered ~= false,
    _started = 0, _taken = 0, _held = 0, _exhausted = false, _closed = false,
  }
  self._guard = on_collect(self)
  return setmetatable(self, Map)
end

return M
