-- SPDX-License-Identifier: MIT
-- weft.crawl.heap: the least of many entries first; of equals the one that came first.
--
-- Owns: nothing but the order. Must not know: what the entries are.
-- Invariant: no entry is less than the one at half its index.

local M = {}

---A binary heap. Made by `new`.
---@private
---@class weft.crawl.Heap
---@field size integer how many entries there are
local Heap = {}
Heap.__index = Heap

-- (key, order) of entry a before that of b.
local function is_before(self, a, b)
  local keys, orders = self._keys, self._orders
  if keys[a] ~= keys[b] then
    return keys[a] < keys[b]
  end
  return orders[a] < orders[b]
end

local function swap(self, a, b)
  local items, keys, orders = self._items, self._keys, self._orders
  items[a], items[b] = items[b], items[a]
  keys[a], keys[b] = keys[b], keys[a]
  orders[a], orders[b] = orders[b], orders[a]
end

---Adds an entry.
---@private
---@param key number what is least comes first
---@param item any
function Heap:push(key, item)
  local i = self.size + 1
  self.size, self._order = i, self._order + 1
  self._items[i], self._keys[i], self._orders[i] = item, key, self._order
  while i > 1 do
    local parent = (i - i % 2) / 2
    if not is_before(self, i, parent) then
      break
    end
    swap(self, i, parent)
    i = parent
  end
end

---The key of the first entry, or nil, and the entry.
---@private
---@return number? key
---@return any item
function Heap:first()
  return self._keys[1], self._items[1]
end

---Takes the first entry out, or gives nil.
---@private
---@return any item
function Heap:pop()
  local size = self.size
  if size == 0 then
    return nil
  end
  swap(self, 1, size)
  local item = self._items[size]
  self._items[size], self._keys[size], self._orders[size] = nil, nil, nil
  size = size - 1
  self.size = size
  local i = 1
  while true do
    local child = i * 2
    if child < size and is_before(self, child + 1, child) then
      child = child + 1
    end
    if child > size or not is_before(self, child, i) then
      return item
    end
    swap(self, i, child)
    i = child
  end
end

---An iterator over the entries, in no order.
---@private
---@return fun(): any
function Heap:iter()
  local i = 0
  return function()
    i = i + 1
    return self._items[i]
  end
end

---An empty heap.
---@private
---@return weft.crawl.Heap
function M.new()
  return setmetatable({ size = 0, _order = 0, _items = {}, _keys = {}, _orders = {} }, Heap)
end

return M
