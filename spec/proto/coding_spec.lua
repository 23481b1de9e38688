-- SPDX-License-Identifier: MIT
-- src/proto/coding*.c. The cases are in spec/c/coding.c, a program that runs with the address
-- sanitizer; with brotli and zstd where they are.

local cc = require "spec.c.cc"

describe("content codings", function()
  it("come off at any split, whole or not at all, and within their limits", function()
    local sources = "src/proto/coding.c src/proto/coding_zlib.c src/proto/coding_brotli.c "
      .. "src/proto/coding_zstd.c src/base/mem.c src/base/err.c"
    local output, status = cc.run(cc.unit("coding", sources, "zlib", {
      libbrotlidec = "-DWEFT_WITH_BROTLI", libbrotlienc = "", libzstd = "-DWEFT_WITH_ZSTD" }))
    assert.same({ "", 0 }, { output, status })
  end)
end)
