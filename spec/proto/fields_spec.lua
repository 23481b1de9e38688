-- SPDX-License-Identifier: MIT
-- src/proto/fields.c. The cases are in spec/c/fields.c, a program that runs with the address
-- sanitizer.

local cc = require "spec.c.cc"

describe("fields", function()
  it("keeps order and spelling, finds by name, has limits, refuses what splits", function()
    local output, status = cc.run(cc.unit("fields",
      "src/proto/fields.c src/base/err.c src/base/mem.c"))
    assert.same({ "", 0 }, { output, status })
  end)
end)
