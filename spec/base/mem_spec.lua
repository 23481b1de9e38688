-- SPDX-License-Identifier: MIT
-- src/base/mem.c: counting and failing allocations. The cases are in spec/c/mem.c, a
-- program that runs with the address sanitizer.

local cc = require "spec.c.cc"
local core = require "weft.core"

describe("mem", function()
  it("counts, aligns, keeps, and fails when told", function()
    local output, status = cc.run(cc.unit("mem", "src/base/mem.c"))
    assert.same({ "", 0 }, { output, status })
  end)

  it("is what weft.core counts", function()
    local blocks, bytes, calls = core.memory()
    local loop = core.loop_new()
    local blocks_now, bytes_now, calls_now = core.memory()
    assert.is_true(blocks_now > blocks and bytes_now > bytes and calls_now > calls)
    core.loop_close(loop)
    blocks_now, bytes_now = core.memory()
    assert.same({ blocks, bytes }, { blocks_now, bytes_now })
  end)
end)
