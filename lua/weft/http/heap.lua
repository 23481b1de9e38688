-- SPDX-License-Identifier: MIT
-- weft.http.heap: items by their number `seq`, the lowest first, from which any can be taken out.
--
-- Owns: a field of each item, its place, whose name is the heap's own; so an item can be in
-- several heaps at once.
-- Must not know: what the items are.

local Heap = {}
Heap.__index = Heap

-- Puts the item at the place, or above it where its number wants to be.
local function rise(self, item, at)
  local place = self.place
  while at > 1 do
    local up = (at - at % 2) / 2
    local above = self[up]
    if above.seq < item.seq then
      break
    end
    self[at], above[place] = above, at
    at = up
  end
  self[at], item[place] = item, at
end

-- Puts the item at the place, or below it.
local function sink(self, item, at)
  local place, count = self.place, self.count
  while 2 * at <= count do
    local down = 2 * at
    if down < count and self[down + 1].seq < self[down].seq then
      down = down + 1
    end
    local below = self[down]
    if below.seq > item.seq then
      break
    end
    self[at], below[place] = below, at
    at = down
  end
  self[at], item[place] = item, at
end

function Heap:push(item)
  self.count = self.count + 1
  rise(self, item, self.count)
end

---The item with the lowest number stays in it.
function Heap:top()
  return self[1]
end

---Takes an item out; one that is not in it is left alone.
function Heap:remove(item)
  local at, count = item[self.place], self.count
  if not at then
    return
  end
  local last = self[count]
  self[count], item[self.place], self.count = nil, nil, count - 1
  if last ~= item then
    if last.seq < item.seq then
      rise(self, last, at)
    else
      sink(self, last, at)
    end
  end
end

---`place`: the name of the field.
return function(place)
  return setmetatable({ place = place, count = 0 }, Heap)
end
