-- SPDX-License-Identifier: MIT
-- weft.queue: bounded queues between tasks: first in first out, by priority, last in
-- first out.
--
-- Owns: the stored items and the places promised to waiting putters. An item goes
-- straight to the first waiting getter, and a freed place to the first waiting putter;
-- as a wait that was given something does not raise, no item and no place is lost.
-- Invariant: a getter waits only while nothing is stored, a putter only while each place
-- is taken or promised.
-- Must not know: what the items are.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

local gate, park, wake = core.gate, core.park, core.wake
local raise = errors.raise
local checkpoint, interrupted = await._checkpoint, await._interrupted

---@class weft
local M = {}

-- What a parked getter or putter is woken with when the queue was shut down.
local SHUTDOWN = {}

---A queue, of any of the three orders. Fair to getters and to putters. nil cannot be put.
---@class weft.Queue
---@field maxsize number items at most; 0 or less: no bound
local Queue = {}

local function shut_down()
  raise("queue", "the queue is shut down", { code = "shutdown" })
end

local function check_item(item)
  if item == nil then
    raise("type", "nil cannot be put into a queue")
  end
end

-- Stores the item, or gives it to the first that waits for one. Nothing has changed if it
-- raises, as the order of a priority queue may.
local function store(self, item)
  if self._size > 0 or not wake(self._getters, item) then
    self:_push(item)
    self._size = self._size + 1
  end
  self._unfinished = self._unfinished + 1
end

-- A place is free: it goes to the first putter that waits.
local function offer(self)
  if wake(self._putters) then
    self._promised = self._promised + 1
  end
end

-- Items are dealt with.
local function finish(self, count)
  self._unfinished = math.max(0, self._unfinished - count)
  if self._unfinished == 0 then
    while wake(self._joiners) do end
  end
end

-- Once a closed queue can give nothing any more, lets go of those that wait for it.
local function end_getters(self)
  if self._closed and self._size == 0 and self._promised == 0 then
    while wake(self._getters, SHUTDOWN) do end
  end
end

-- Takes an item out.
local function fetch(self)
  local item = self:_pop()
  local size = self._size
  self._size = size - 1
  if self._full_at <= size + self._promised then
    offer(self)
  end
  return item
end

-- Puts the item into the place that was promised. If a getter came for it meanwhile, or the
-- order failed, the place is still free, and goes to the next.
local function redeem(self, item)
  self._promised = self._promised - 1
  if self._discards then -- shutdown(true) came meanwhile
    end_getters(self)
    shut_down()
  end
  local ok, e = errors.guarded(store, self, item)
  if not self:full() then
    offer(self)
  end
  end_getters(self)
  if not ok then
    error(e, 0)
  end
end

---Puts an item, waiting while the queue is full.
---
---Raises `cancelled`; `state` outside a task; `queue`, code "shutdown", after `shutdown`;
---`type` for nil.
---@async
---@param item any not nil
function Queue:put(item)
  if not gate[1] then
    checkpoint()
  end
  if item == nil then
    check_item(item)
  end
  if self._closed then
    shut_down()
  end
  if self._size + self._promised >= self._full_at then
    local ok, signal = park(self._putters)
    if ok ~= true then
      interrupted(ok)
    elseif signal == SHUTDOWN then
      shut_down()
    end
    return redeem(self, item)
  end
  store(self, item)
end

---Puts an item at once.
---
---Raises `queue`, code "full" or "shutdown"; `type` for nil.
---@param item any not nil
function Queue:put_nowait(item)
  check_item(item)
  if self._closed then
    shut_down()
  end
  if self:full() then
    raise("queue", "the queue is full", { code = "full" })
  end
  store(self, item)
end

---Takes an item, waiting until there is one.
---
---Raises `cancelled`; `state` outside a task; `queue`, code "shutdown", once the queue is shut
---down and empty.
---@async
---@return any item
function Queue:get()
  if not gate[1] then
    checkpoint()
  end
  if self._size > 0 then
    return fetch(self)
  end
  if self._closed and self._promised == 0 then
    shut_down()
  end
  local ok, item = park(self._getters)
  if ok ~= true then
    interrupted(ok)
  elseif item == SHUTDOWN then
    shut_down()
  end
  return item
end

---Takes an item at once.
---
---Raises `queue`, code "empty" or "shutdown".
---@return any item
function Queue:get_nowait()
  if self._size > 0 then
    return fetch(self)
  end
  if self._closed and self._promised == 0 then
    shut_down()
  end
  raise("queue", "the queue is empty", { code = "empty" })
end

---The number of items stored.
---@return integer
function Queue:qsize()
  return self._size
end

---True if no item is stored.
---@return boolean
function Queue:empty()
  return self._size == 0
end

---True if `queue:put` would have to wait.
---@return boolean
function Queue:full()
  return self._size + self._promised >= self._full_at
end

---Says that an item that was taken is dealt with; see `queue:join`.
---
---Raises `state`, code "task_done", if called more often than items were put.
function Queue:task_done()
  if self._unfinished <= 0 then
    raise("state", "task_done was called too often", { code = "task_done" })
  end
  finish(self, 1)
end

---Waits until every item that was put is dealt with (`queue:task_done`).
---
---Raises `cancelled`; `state` outside a task.
---@async
function Queue:join()
  if not gate[1] then
    checkpoint()
  end
  if self._unfinished > 0 then
    local ok = park(self._joiners)
    if ok ~= true then
      interrupted(ok)
    end
  end
end

---Ends the queue: `queue:put` raises from now on, in tasks that wait in it too, and
---`queue:get` once the queue is empty; with `immediate` what is stored is dropped, and counts as
---dealt with. Idempotent.
---@param immediate boolean?
function Queue:shutdown(immediate)
  self._closed = true
  if immediate then
    local count = self._size
    self._discards, self._items, self._size = true, {}, 0 -- nothing is pushed any more
    finish(self, count)
  end
  end_getters(self)
  while wake(self._putters, SHUTDOWN) do end
end

---An iterator over the items as they come: `for item in q:iter()`. Each step waits, and
---raises, as `queue:get` does, but once the queue is shut down and empty the iteration ends.
---@return async fun(): any
function Queue:iter()
  return function()
    local ok, item = errors.guarded(self.get, self)
    if ok then
      return item
    elseif errors.is_error(item, "queue") and item.code == "shutdown" and self._closed then
      return nil
    end
    error(item, 0)
  end
end

---Counts: `size` items stored, of at most `maxsize` (0: no bound); `getters` and `putters`
---that wait; items `unfinished`, which `queue:join` waits for.
---@return {size: integer, maxsize: number, getters: integer, putters: integer, unfinished: integer}
function Queue:statistics()
  return { size = self._size, maxsize = self.maxsize, getters = core.waiting(self._getters),
    putters = core.waiting(self._putters), unfinished = self._unfinished }
end

local function describe(self)
  return ("%s<size=%d%s%s>"):format(self._class, self._size,
    self.maxsize > 0 and " maxsize=" .. self.maxsize or "", self._closed and " shutdown" or "")
end

--- the three orders -----------------------------------------------------------

-- First in, first out: a ring, which stays in a table's array part.
local function fifo_push(self, item)
  local items, capacity = self._items, self._capacity
  if self._size == capacity then -- full: unroll it into one of twice the size
    local unrolled, head = {}, self._head
    for i = 1, capacity do
      unrolled[i] = items[head]
      head = head < capacity and head + 1 or 1
    end
    items, self._items, self._head, self._tail = unrolled, unrolled, 1, capacity + 1
    capacity = capacity * 2
    for i = capacity / 2 + 1, capacity do
      items[i] = false
    end
    self._capacity = capacity
  end
  local tail = self._tail
  items[tail] = item
  self._tail = tail < capacity and tail + 1 or 1
end

local function fifo_pop(self)
  local items, head = self._items, self._head
  local item = items[head]
  items[head] = false
  self._head = head < self._capacity and head + 1 or 1
  return item
end

-- By priority: a binary heap of entries, with the order of arrival to break ties.
local function is_before(less, a, b)
  if less(a.item, b.item) then
    return true
  end
  return a.order < b.order and not less(b.item, a.item)
end

-- Both ask for the whole way before they move anything: `less` may raise.
local function heap_push(self, item)
  local heap, less = self._items, self._less
  local last = self._size + 1
  local entry = { item = item, order = self._order + 1 }
  local i = last
  while i > 1 and is_before(less, entry, heap[(i - i % 2) / 2]) do
    i = (i - i % 2) / 2
  end
  while last > i do
    local parent = (last - last % 2) / 2
    heap[last] = heap[parent]
    last = parent
  end
  heap[i] = entry
  self._order = entry.order
end

-- Where the last entry belongs once the top is gone; `way` gets the entries that move up.
local function way_down(heap, less, size, way)
  local entry, i, n = heap[size], 1, 0
  while true do
    local child = i * 2
    if child + 1 < size and is_before(less, heap[child + 1], heap[child]) then
      child = child + 1
    end
    if child >= size or not is_before(less, heap[child], entry) then
      return n
    end
    n = n + 1
    way[n] = child
    i = child
  end
end

local function heap_pop(self)
  local heap, way, size = self._items, self._way, self._size
  local n = way_down(heap, self._less, size, way)
  local top, i = heap[1], 1
  for k = 1, n do
    heap[i] = heap[way[k]]
    i = way[k]
  end
  heap[i] = heap[size]
  heap[size] = nil
  return top.item
end

local function stack_push(self, item)
  self._items[self._size + 1] = item
end

local function stack_pop(self)
  local items, top = self._items, self._size
  local item = items[top]
  items[top] = nil
  return item
end

local function class(name, push, pop)
  local methods = {}
  for key, value in pairs(Queue) do
    methods[key] = value
  end
  methods._push, methods._pop, methods._class = push, pop, name
  return { __index = methods, __tostring = describe }
end

local FIFO = class("Queue", fifo_push, fifo_pop)
local PRIORITY = class("PriorityQueue", heap_push, heap_pop)
local LIFO = class("LifoQueue", stack_push, stack_pop)

local function new(metatable, maxsize)
  maxsize = options.number(maxsize or 0, "the maximum size")
  return setmetatable({
    maxsize = maxsize, _full_at = maxsize > 0 and maxsize or math.huge,
    _items = { false }, _size = 0, _capacity = 1, _head = 1, _tail = 1, _order = 0,
    _promised = 0, _unfinished = 0, _closed = false, _discards = false,
    _getters = core.waitlist(), _putters = core.waitlist(), _joiners = core.waitlist(),
  }, metatable)
end

---A queue, first in, first out. `queue:put` waits while there are `maxsize` items.
---@param maxsize number? items; nil, 0 or less: no bound
---@return weft.Queue
function M.queue(maxsize)
  return new(FIFO, maxsize)
end

local function by_value(a, b)
  return a < b
end

---A queue from which the least item comes first, by `less(a, b)` (default `a < b`); equals
---come first in, first out. What `less` raises comes out of `queue:put` and `queue:get`, and
---no item is lost.
---@param maxsize number? items; nil, 0 or less: no bound
---@param less (fun(a: any, b: any): boolean)?
---@return weft.Queue
function M.priority_queue(maxsize, less)
  local self = new(PRIORITY, maxsize)
  self._less = less and options.callable(less, "the order") or by_value
  self._items, self._way = {}, {}
  return self
end

---A queue, last in, first out.
---@param maxsize number? items; nil, 0 or less: no bound
---@return weft.Queue
function M.lifo_queue(maxsize)
  local self = new(LIFO, maxsize)
  self._items = {}
  return self
end

return M
