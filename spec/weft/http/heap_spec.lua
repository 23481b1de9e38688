-- SPDX-License-Identifier: MIT
-- weft.http.heap: against a plain list, in random order; and that its items can be in another
-- heap too.

local heap = require "weft.http.heap"
local support = require "spec.support"

describe("the heap", function()
  it("gives the lowest number, whatever was put in and taken out", function()
    math.randomseed(5)
    local h, there = heap("_at"), {}
    for seq = 1, support.rounds(5000) do
      local item = { seq = math.random(4) == 1 and -seq or seq }
      h:push(item)
      there[#there + 1] = item
      if math.random(3) == 1 then
        local at = math.random(#there)
        h:remove(there[at])
        h:remove(there[at])
        assert.is_nil(table.remove(there, at)._at)
      end
    end
    assert.equal(#there, h.count)
    table.sort(there, function(a, b) return a.seq < b.seq end)
    for _, item in ipairs(there) do
      assert.equal(item, h:top())
      h:remove(item)
    end
    assert.same({ nil, 0 }, { h:top(), h.count })
  end)

  it("can share its items with another", function()
    local a, b, item = heap("_a"), heap("_b"), { seq = 1 }
    a:push(item)
    b:push(item)
    a:remove(item)
    assert.same({ nil, item }, { a:top(), b:top() })
  end)
end)
