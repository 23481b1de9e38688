-- SPDX-License-Identifier: MIT
-- src/base/err.c: weft's own error codes. The table's shape is checked by spec/c/err.c;
-- here, that its kinds are those that errors can have.

local cc = require "spec.c.cc"
local errors = require "weft.error"

describe("err", function()
  it("has a name, a kind and a sentence for each code and for no other number", function()
    local output, status = cc.run(cc.unit("err", "src/base/err.c"))
    assert.equal(0, status, output)
    local n = 0
    for code, name, kind in output:gmatch("(%-%d+) (E%u+) (%l+)\n") do
      n = n + 1
      assert.equal(-20000 - n + 1, tonumber(code), name)
      assert.is_true(errors.KINDS[kind], name .. ": " .. kind)
    end
    assert.is_true(n >= 13)
  end)
end)
