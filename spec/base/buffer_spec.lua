-- SPDX-License-Identifier: MIT
-- src/base/buffer.c. The cases are in spec/c/buffer.c, a program that runs with the address
-- sanitizer.

local cc = require "spec.c.cc"

describe("buffer", function()
  it("keeps bytes in order, grows, shrinks, and fails without harm", function()
    local output, status = cc.run(cc.unit("buffer", "src/base/buffer.c src/base/mem.c"))
    assert.same({ "", 0 }, { output, status })
  end)
end)
