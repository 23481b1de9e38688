-- SPDX-License-Identifier: MIT
-- weft.crawl.hostqueue: the three orders, and what is pushed as first, which comes before
-- all others in each.

local hostqueue = require "weft.crawl.hostqueue"

local function filled(order)
  local queue = hostqueue.new("a", order)
  for i, priority in ipairs { 1, 3, 2 } do
    queue:push({ name = i, priority = priority })
  end
  queue:push({ name = "x", priority = 0 }, true)
  queue:push({ name = "y", priority = 0 }, true)
  return queue
end

local function names(queue)
  local list = {}
  while queue.size > 0 do
    list[#list + 1] = queue:pop().name
  end
  return table.concat(list, " ")
end

describe("weft.crawl.hostqueue", function()
  it("gives what was pushed as first before all others", function()
    assert.equal("y x 1 2 3", names(filled("breadth")))
    assert.equal("y x 2 3 1", names(filled("priority")))
    assert.equal("y x 3 2 1", names(filled("depth")))
  end)

  it("shows all items without taking them", function()
    for _, order in ipairs { "breadth", "depth", "priority" } do
      local queue, count = filled(order), 0
      for item in queue:iter() do
        assert.is_table(item)
        count = count + 1
      end
      assert.equal(5, count)
      assert.equal(5, queue.size)
    end
  end)
end)
