-- SPDX-License-Identifier: MIT
-- weft.queue: bounded queues between tasks: first in first out, by priority, last in
-- first out.
--
-- Owns: the stored items and the places promised to waiting putters. An item goes
-- straight to the first waiting getter, and a freed place to the first waiting putter;
-- as a wait that was given something does not raise, no item and no place is lost.
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

---A queue. Fair to getters and to putters. `nil` cannot be put.
---@class weft.Queue
---@field maxsize number 0 for no bound
local Queue = {}

local function shut_down()
  raise("queue", "the queue is shut down", { code = "shutdown" })
end

local function check_item(item)
  if item == nil then
    raise("type", "nil cannot be put into a queue")
  end
end

-- Stores the item, or gives it to the first that waits for one.
local function store(self, item)
  self._unfinished = self._unfinished + 1
  if self._size > 0 or not wake(self._getters, item) then
    self:_push(item)
    self._size = self._size + 1
  end
end

-- Once a closed queue can give nothing any more, lets go of those that wait for it.
local function end_getters(self)
  if self._closed and self._size == 0 and self._promised == 0 then
    while wake(self._getters, SHUTDOWN) do end
  end
end

-- Takes an item out; the place goes to the first putter that waits.
local function fetch(self)
  local size = self._size - 1
  self._size = size
  local item = self:_pop()
  if self._full_at <= size + 1 + self._promised and wake(self._putters) then
    self._promised = self._promised + 1
  end
  return item
end

---Puts an item, waiting while the queue is full.
---
---Raises `queue` (code "shutdown") after `shutdown`, `type` for nil.
---@async
---@param item any
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
    self._promised = self._promised - 1
    if not self._discards then
      store(self, item)
    end
    end_getters(self)
    if self._discards then -- shutdown(true) came while the place was promised
      shut_down()
    end
    return
  end
  store(self, item)
end

---Puts an item at once.
---
---Raises `queue` (code "full" or "shutdown"), `type` for nil.
---@param item any
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
---Raises `queue` (code "shutdown") once the queue is shut down and empty.
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
---Raises `queue` (code "empty" or "shutdown").
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

---@return boolean
function Queue:empty()
  return self._size == 0
end

---@return boolean
function Queue:full()
  return self._size + self._promised >= self._full_at
end

---Says that an item that was taken is dealt with; see `join`.
---
---Raises `state` if called more often than items were put.
function Queue:task_done()
  if self._unfinished <= 0 then
    raise("state", "task_done was called too often", { code = "task_done" })
  end
  self._unfinished = self._unfinished - 1
  if self._unfinished == 0 then
    while wake(self._joiners) do end
  end
end

---Waits until every item that was put is dealt with (`task_done`).
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

---Ends the queue: `put` raises from now on, and `get` once it is empty; with `immediate`
---what is stored is dropped, and counts as dealt with.
---@param immediate boolean?
function Queue:shutdown(immediate)
  self._closed = true
  if immediate then
    self._discards = true
    while self._size > 0 do
      self._size = self._size - 1
      self:_pop()
      self:task_done()
    end
  end
  end_getters(self)
  while wake(self._putters, SHUTDOWN) do end
end

---An iterator over the items as they come: `for item in q:iter()`. It ends once the
---queue is shut down and empty.
---@async
---@return fun(): any
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

local function heap_push(self, item)
  local heap, less = self._items, self._less
  local i = self._size + 1
  self._order = self._order + 1
  local entry = { item = item, order = self._order }
  while i > 1 do
    local parent = (i - i % 2) / 2
    if not is_before(less, entry, heap[parent]) then
      break
    end
    heap[i] = heap[parent]
    i = parent
  end
  heap[i] = entry
end

local function heap_pop(self)
  local heap, less, size = self._items, self._less, self._size
  local top, entry = heap[1], heap[size + 1]
  heap[size + 1] = nil
  if size > 0 then
    local i = 1
    while true do
      local child = i * 2
      if child > size then
        break
      end
      if child < size and is_before(less, heap[child + 1], heap[child]) then
        child = child + 1
      end
      if not is_before(less, heap[child], entry) then
        break
      end
      heap[i] = heap[child]
      i = child
    end
    heap[i] = entry
  end
  return top.item
end

local function stack_push(self, item)
  self._items[self._size + 1] = item
end

local function stack_pop(self)
  local items, top = self._items, self._size + 1
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

---A queue, first in, first out. `put` waits while there are `maxsize` items (0 or nil: no
---bound).
---@param maxsize number?
---@return weft.Queue
function M.queue(maxsize)
  return new(FIFO, maxsize)
end

local function by_value(a, b)
  return a < b
end

---A queue from which the least item comes first, by `less(a, b)` (default `a < b`); equals
---come first in, first out.
---@param maxsize number?
---@param less (fun(a: any, b: any): boolean)?
---@return weft.Queue
function M.priority_queue(maxsize, less)
  local self = new(PRIORITY, maxsize)
  self._less = less and options.callable(less, "the order") or by_value
  self._items = {}
  return self
end

---A queue, last in, first out.
---@param maxsize number?
---@return weft.Queue
function M.lifo_queue(maxsize)
  local self = new(LIFO, maxsize)
  self._items = {}
  return self
end

return M
