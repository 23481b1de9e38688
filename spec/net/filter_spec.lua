-- SPDX-License-Identifier: MIT
-- src/net/filter.c. The cases are in spec/c/filter.c, a program that runs with the address
-- sanitizer.

local cc = require "spec.c.cc"

describe("a chain of filters", function()
  it("passes on what a filter has no function for, and goes from the top down", function()
    local output, status = cc.run(cc.unit("filter", "src/net/filter.c", "libuv"))
    assert.same({ "", 0 }, { output, status })
  end)
end)
