-- SPDX-License-Identifier: MIT
-- src/proto/deflate.c. The cases are in spec/c/deflate.c, a program that runs with the address
-- sanitizer.

local cc = require "spec.c.cc"

describe("compressing", function()
  it("can be undone, at any split and with any room, and leaves nothing behind", function()
    local sources = "src/proto/deflate.c src/proto/coding.c src/proto/coding_zlib.c "
      .. "src/base/mem.c src/base/err.c"
    local output, status = cc.run(cc.unit("deflate", sources, "zlib"))
    assert.same({ "", 0 }, { output, status })
  end)
end)
