-- SPDX-License-Identifier: MIT
-- A write that failed was taken for one that succeeded, when the thread was done with it before
-- the loop had noted that it had begun.

local support = require "spec.support"
local weft = require "weft"

describe("a write to a file that fails", function()
  it("raises each time, however fast it fails", support.run(function()
    if not weft.fs.exists("/dev/full") then
      return
    end
    local file, failures = weft.fs.open("/dev/full", weft.fs.flags.WRONLY), 0
    for _ = 1, 300 do
      local ok, e = weft.try(file.write, file, "x")
      failures = failures + (not ok and e.code == "ENOSPC" and 1 or 0)
    end
    file:close()
    assert.equal(300, failures)
  end))
end)
