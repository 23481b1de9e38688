-- SPDX-License-Identifier: MIT
-- weft.crawl.heap: the order of what comes out, also while entries come and go, and
-- of equal ones.

local heap = require "weft.crawl.heap"

describe("weft.crawl.heap", function()
  it("gives the least first, and equals in the order in which they came", function()
    local h, entries = heap.new(), {}
    for i = 1, 500 do
      local entry = { key = math.random(20), order = i }
      entries[i] = entry
      h:push(entry.key, entry)
    end
    table.sort(entries, function(a, b)
      return a.key < b.key or a.key == b.key and a.order < b.order
    end)
    for i = 1, 500 do
      local key, first = h:first()
      assert.equal(entries[i], first)
      assert.equal(entries[i].key, key)
      assert.equal(entries[i], h:pop())
    end
    assert.equal(0, h.size)
    assert.is_nil(h:pop())
    assert.is_nil(h:first())
  end)

  it("stays in order while entries come and go", function()
    local h, last, count = heap.new(), 0, 0
    for i = 1, 1000 do
      h:push(i + math.random(50), i)
      h:push(i + math.random(50), i)
      local key = h:first()
      assert.is_true(key >= last - 50)
      last = math.max(last, key)
      h:pop()
    end
    for _ in h:iter() do
      count = count + 1
    end
    assert.equal(1000, count)
  end)
end)
