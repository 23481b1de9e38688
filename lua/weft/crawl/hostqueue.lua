-- SPDX-License-Identifier: MIT
-- weft.crawl.hostqueue: the items of one host that wait, in one of three orders.
--
-- Owns: the items. Must not know: other hosts, and when an item is taken.
-- Invariant: what was pushed as first comes before all others, the last such first.

local errors = require "weft.error"
local heap = require "weft.crawl.heap"
local options = require "weft.options"

local M = {}

---A URL that is to be visited.
---@class weft.crawl.Item
---@field url string without its fragment
---@field host string with the port, if it has one
---@field depth integer how many links lead to it
---@field priority number the higher the sooner, in a frontier of that order
---@field attempts integer how often it was given back by `frontier:again`
---@field data any what came with it
local Item = {} -- luacheck: ignore 211

---The items of a host that wait.
---@private
---@class weft.crawl.HostQueue
---@field host string
---@field size integer
---@field place string? the frontier's: where the host stands
local Queue = {}
Queue.__index = Queue

local ORDERS = { breadth = true, depth = true, priority = true }

---The order, or raises `type`.
---@private
function M.check_order(order)
  if ORDERS[order] == nil then
    errors.raise("type", ("there is no order '%s' (did you mean '%s'?)"):format(tostring(order),
      options.nearest(tostring(order), ORDERS)))
  end
  return order
end

---Adds an item; with `first` before all others.
---@private
function Queue:push(item, first)
  self.size = self.size + 1
  if first and not self._is_stack then
    local head = self._head - 1
    self._items[head], self._head = item, head
  elseif self._heap then
    self._heap:push(-item.priority, item)
  else
    local tail = self._tail
    self._items[tail], self._tail = item, tail + 1
  end
end

---Takes the item whose turn it is; there must be one.
---@private
function Queue:pop()
  self.size = self.size - 1
  local items, head, tail = self._items, self._head, self._tail
  local item
  if self._heap and head == tail then
    return self._heap:pop()
  elseif self._is_stack then
    tail = tail - 1
    item, items[tail], self._tail = items[tail], nil, tail
  else
    item, items[head], self._head = items[head], nil, head + 1
  end
  return item
end

---An iterator over the items, in such an order that pushing them again makes the same queue (but
---for those that were pushed as first).
---@private
function Queue:iter()
  local i, rest = self._head - 1, nil
  return function()
    i = i + 1
    if i < self._tail then
      return self._items[i]
    end
    rest = rest or self._heap and self._heap:iter()
    return rest and rest()
  end
end

---An empty queue.
---@private
function M.new(host, order)
  return setmetatable({ host = host, size = 0, _items = {}, _head = 1, _tail = 1,
    _is_stack = order == "depth", _heap = order == "priority" and heap.new() or nil }, Queue)
end

return M
