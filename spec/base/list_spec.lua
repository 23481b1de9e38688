-- SPDX-License-Identifier: MIT
-- src/base/list.h: the linked list. The operations are in spec/c/list.c, a program that
-- compares each with what an array does.

local cc = require "spec.c.cc"

describe("list", function()
  it("does what an array does, whatever the order of operations", function()
    local output, status = cc.run(cc.unit("list"))
    assert.same({ "", 0 }, { output, status })
  end)
end)
